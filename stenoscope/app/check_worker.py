"""What a worker process does with a source in ``--check``: read it as step 1 would, and measure it.

Only a row travels back. It imports only what this takes: each worker process pays for its imports.
"""

from dataclasses import asdict

import cv2

from stenoscope.app.keyframe_methods import choose
from stenoscope.app.keyframe_worker import LEFT_OUT, missing_files
from stenoscope.data.check import CheckRow
from stenoscope.errors import DicomError
from stenoscope.imaging.intake import Source, admit, quarantine
from stenoscope.keyframes.published import PUBLISHED, choose_published
from stenoscope.run.cluster import UnseenError
from stenoscope.vesselness.overlays import burned_in, field_of_view

_JUDGE = "opacification"  # the only method that says whether there is contrast at all


def check_source(job: tuple[Source, tuple[int, ...], bool], pseudonym, method: str) -> CheckRow:
    """The row of one source, with the status that step 1 would give it; never raises for a bad file.

    `job` has the clip, the key frames that its data set publishes, and whether the user gave some. An
    UnseenError if this machine does not see the source.
    """
    source, published, corrected = job
    for path in missing_files(source):
        raise UnseenError.of(path)
    cv2.setNumThreads(1)
    clip, row = admit(source, pseudonym)
    if clip is None:
        return CheckRow(**asdict(row))
    contrast = ""
    if len(clip.frames) > 1:
        contrast = "yes" if choose(clip.frames, _JUDGE).contrast else "no"
    if method == PUBLISHED and not corrected:
        try:
            choose_published(published, len(clip.frames))
        except DicomError as problem:
            row = quarantine(row, problem.one_line)
    elif method == _JUDGE and contrast == "no" and not corrected:
        row = quarantine(row, LEFT_OUT)
    return CheckRow(
        **asdict(row),
        contrast=contrast,
        beam_share=round(float(field_of_view(clip.frames).mean()), 4),
        text_share=round(float(burned_in(clip.frames).mean()), 4),
        header_patient=clip.patient_id or "",
    )
