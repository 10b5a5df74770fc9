"""Reader of AngioData and of folders like it: runs as numbered frames below a folder for each patient.

The data set [1]_ holds 8-bit 512 x 512 JPEG frames, without labels of runs::

    ROOT/Patient_N/Coro_M/*.jpg

References
----------
.. [1] Moalla I, Ghrab F. AngioData, 2023.
"""

import re
from pathlib import Path

from stenoscope.data.data_set import DataSet, Entry
from stenoscope.imaging.find import find_clips

_RUN = re.compile(r"(?P<patient>Patient_\d+)/Coro_\d+", re.IGNORECASE)


def is_angiodata(root: Path) -> bool:
    """Whether a folder has the layout."""
    return any(_RUN.fullmatch(path.relative_to(root).as_posix()) for path in root.glob("[pP]atient_*/*"))


def read_angiodata(root: Path) -> DataSet:
    """The runs, grouped by their patient's folder; what lies elsewhere has no known patient."""
    found = find_clips(root)
    matches = ((source, _RUN.match(source.clip_id)) for source in found.sources)
    entries = [Entry(source, match["patient"] if match else "") for source, match in matches]
    return DataSet.of(entries, found.rows)
