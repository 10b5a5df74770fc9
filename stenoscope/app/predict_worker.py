"""What a worker process does with a clip for a prediction: decode it and choose its key frames.

It runs in a process of its own because native decoders can crash on damaged files; it imports only what this
takes.
"""

import cv2

from stenoscope.app.keyframe_methods import choose
from stenoscope.app.keyframe_worker import NO_CONTRAST
from stenoscope.errors import DicomError
from stenoscope.imaging.intake import IntakeRow, Source, admit, quarantine
from stenoscope.records import Clip, KeyframeChoice

Job = tuple[Source, str, tuple[int, ...]]
"""A clip, its key-frame method, and the key frames that its data set publishes."""


def read_clip(job: Job, pseudonym, count: int) -> tuple[Clip | None, KeyframeChoice | None, IntakeRow]:
    """A clip with its key frames, or the reason why it can't be used; never raises for a bad file.

    `count` is the number of key frames to choose.
    """
    source, method, published = job
    cv2.setNumThreads(1)
    clip, row = admit(source, pseudonym)
    if clip is None:
        return None, None, row
    try:
        choice = choose(clip.frames, method, published=published, count=count)
    except DicomError as problem:
        return None, None, quarantine(row, problem.one_line)
    if not choice.contrast:
        return None, None, quarantine(row, NO_CONTRAST)
    return clip, choice, row
