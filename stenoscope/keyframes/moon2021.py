"""The frame score of Moon et al. 2021, kept exactly, for comparison.

Moon et al., "Automatic stenosis recognition from coronary angiography using convolutional neural networks",
Comput Methods Programs Biomed 198 (2021) 105819, section 2.2, and the program published with it.
"""

import numpy as np

from stenoscope.keyframes.selection import neighbours
from stenoscope.records import KeyframeChoice
from stenoscope.settings import KeyframeSettings
from stenoscope.vesselness.enhance import enhance_contrast

TEXT_CORNER = (slice(0, 160), slice(310, 512))
"""Rows and columns of the upper right corner, where their frames have burned-in text."""
_BLANK = 128


def vessel_pixels(frame: np.ndarray) -> int:
    """Number of vessel pixels of one frame: top-hat enhancement, blanked corner, Frangi's filter, Otsu.

    `frame` is uint8 (rows, cols), vessels dark. scikit-image's filter at its defaults (scales 1, 3, 5, 7, 9
    px) takes its gamma, and Otsu its threshold, from each frame, so the counts of two frames are on different
    scales.
    """
    from skimage.filters import frangi, threshold_otsu  # here: slow to import, and few runs need them

    enhanced = enhance_contrast(frame, radius=10)
    enhanced[TEXT_CORNER] = _BLANK
    response = frangi(enhanced)
    if response.min() == response.max():
        return 0  # an empty frame has no threshold
    return int(np.count_nonzero(response > threshold_otsu(response)))


def choose_moon2021(frames: np.ndarray, count: int = KeyframeSettings.keyframes) -> KeyframeChoice:
    """The frame with the most vessel pixels in the middle third of the clip, and its neighbours.

    From frames, uint8 (num_frames, rows, cols). `curve` holds the counts; the method knows no start and no
    end of the contrast.
    """
    return choose_from_counts(np.array([vessel_pixels(frame) for frame in frames], np.float32), count)


def choose_from_counts(counts: np.ndarray, count: int = KeyframeSettings.keyframes) -> KeyframeChoice:
    """The choice from the vessel pixels of each frame; float32, shape (num_frames,)."""
    first = len(counts) // 3
    last = max(2 * len(counts) // 3, first + 1)
    apex = first + int(np.argmax(counts[first:last]))
    return KeyframeChoice("moon2021", neighbours(apex, len(counts), count), apex, None, None, counts)
