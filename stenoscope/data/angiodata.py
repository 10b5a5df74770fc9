"""Reader of AngioData and of folders like it: runs as numbered frames below a folder for each patient.

The data set [1]_ holds 8-bit 512 x 512 JPEG frames, without labels of runs::

    ROOT/Patient_N/Coro_M/*.jpg

References
----------
.. [1] Moalla I, Ghrab F. AngioData, 2023.
"""

import re
from pathlib import Path

from stenoscope.data.catalogue import Catalogue, Entry, catalogue
from stenoscope.imaging.intake import discover

_RUN = re.compile(r"(?P<patient>Patient_\d+)/Coro_\d+", re.IGNORECASE)


def is_angiodata(root: Path) -> bool:
    """Whether a folder has the layout."""
    return any(_RUN.fullmatch(path.relative_to(root).as_posix()) for path in root.glob("[pP]atient_*/*"))


def read_angiodata(root: Path) -> Catalogue:
    """The runs, grouped by their patient's folder; what lies elsewhere has no known patient."""
    found = discover(root)
    matches = [_RUN.match(source.clip_id) for source in found.sources]
    return catalogue(
        [
            Entry(source, match["patient"] if match else "")
            for source, match in zip(found.sources, matches, strict=True)
        ],
        found.rows,
    )
