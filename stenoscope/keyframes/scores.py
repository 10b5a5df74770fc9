"""How much of the vessel tree is filled in each frame, on one scale for the whole clip.

1. Thin dark structures: the Hessian filter at 2 px, the width of distal branches, which fill last.
2. What was there all along does not count: a low temporal quantile of the response, once in the image (the
   collimator's edge, dirt on the detector) and once following the patient through pans and breaths (ribs,
   wires, the catheter), is subtracted. It is dilated first, because both quiver.
3. One threshold for the clip on what is left, and only connected structures as long as a vessel count: noise
   and remnants of the background are short.
4. The score of a frame is the share of the field that these structures cover. Their summed response is kept
   as well: it follows the amount of contrast, the share says how much of the tree it has reached.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from stenoscope.keyframes.motion import MotionTracker
from stenoscope.vesselness.enhance import disk
from stenoscope.vesselness.hessian import VesselFilter
from stenoscope.vesselness.overlays import burned_in, field_of_view


# Lengths are in pixels of the 512 x 512 frame; the work is done at half resolution.
@dataclass(frozen=True)
class VesselRule:
    """What counts as a filled vessel; ``benchmarks/keyframes.py --refit`` chose the defaults."""

    sigma: float = 2.0  # scale of the filter, pixels
    length: float = 32.0  # diagonal of the box around a connected structure that counts as a vessel, pixels
    area: float = 0.08  # share of all pixels of the clip that the threshold lets through


VESSELS = VesselRule()
BACKGROUND_QUANTILE = 0.1
BACKGROUND_MARGIN = 8
"""How far the background may move without counting as new, pixels."""
_BACKGROUND_FRAMES = 32  # the quantile is taken over at most so many frames, evenly spread
_STEPS = 8  # responses are kept as uint8 in steps of 1/8 grey level
_STILL = 4  # pixels of motion below which following the patient changes nothing


@dataclass(frozen=True)
class Filling:
    """What was measured of a clip; the curves are float64 (num_frames,)."""

    share: np.ndarray  # share of the field of view covered by filled vessels, 0 to 1
    # summed response of the pixels above the threshold, in grey levels, divided by the pixels of the field
    amount: np.ndarray
    threshold: float  # response, in grey levels, from which a pixel counts
    masked: np.ndarray  # bool (rows, cols): nothing was measured (outside the collimator, burned-in text)


def measure_filling(frames: np.ndarray, rule: VesselRule = VESSELS) -> Filling:
    """Measure the filled vessels of every frame, uint8 (num_frames, rows, cols), vessels dark.

    Time is linear in the number of frames. Beside `frames`, memory holds one byte for every fourth pixel.
    """
    masked = ~field_of_view(frames) | burned_in(frames)
    rows, cols = (-(-size // 2) for size in frames.shape[1:])
    seen = cv2.resize((~masked).astype(np.uint8), (cols, rows), interpolation=cv2.INTER_NEAREST)
    ridge = VesselFilter((rows, cols), [rule.sigma / 2], fine=np.inf)
    tracker = MotionTracker()
    responses = np.empty((len(frames), rows, cols), np.uint8)
    for frame, response in zip(frames, responses, strict=True):
        half = cv2.resize(frame.astype(np.float32), (cols, rows), interpolation=cv2.INTER_AREA)
        tracker.add(half)
        cv2.convertScaleAbs(ridge(half), dst=response, alpha=_STEPS)
        cv2.multiply(response, seen, dst=response)
    _subtract_background(responses, tracker.positions())

    field = max(1, cv2.countNonZero(seen))
    histogram = sum(cv2.calcHist([response], [0], seen, [256], [0, 256]).ravel() for response in responses)
    above = np.cumsum(histogram[::-1])[::-1] / (field * len(frames))
    threshold = max(1, int(np.argmax(above <= rule.area)))
    pixels = [_vessel_pixels(response, threshold, rule.length) for response in responses]
    amount = np.array([_response_above(response, threshold) for response in responses]) / (field * _STEPS)
    return Filling(np.array(pixels, np.float64) / field, amount, threshold / _STEPS, masked)


def _subtract_background(responses: np.ndarray, positions: np.ndarray) -> None:
    """Subtract, in place, what stands still in the image or in the patient."""
    num_frames, rows, cols = responses.shape
    count = min(num_frames, _BACKGROUND_FRAMES)
    sample = np.linspace(0, num_frames - 1, count).round().astype(int)
    rank = round(BACKGROUND_QUANTILE * (len(sample) - 1))
    margin = disk(BACKGROUND_MARGIN // 2)
    fixed = cv2.dilate(_low_rank((responses[index] for index in sample), rank), margin)

    # Where each frame lies in a canvas that holds them all, so that the patient stands still in it.
    offsets = np.round(positions.max(axis=0) - positions).astype(int)
    span = offsets.max(axis=0)
    moving = None
    if span.max() >= _STILL // 2:

        def placed(index):
            canvas = np.full((rows + span[1], cols + span[0]), 255, np.uint8)  # 255: not seen in this frame
            _window(canvas, offsets[index], rows, cols)[...] = responses[index]
            return canvas

        moving = cv2.dilate(_low_rank((placed(index) for index in sample), rank), margin)
    for response, offset in zip(responses, offsets, strict=True):
        background = fixed
        if moving is not None:
            background = cv2.max(fixed, _window(moving, offset, rows, cols))
        cv2.subtract(response, background, dst=response)


def _window(canvas: np.ndarray, offset: np.ndarray, rows: int, cols: int) -> np.ndarray:
    x, y = offset
    return canvas[y : y + rows, x : x + cols]


def _low_rank(images, rank: int) -> np.ndarray:
    """The value of this rank (0 = minimum) among the images at each pixel, by insertion: small ranks only."""
    lowest: list[np.ndarray] = []
    for image in images:
        carried = image.copy()
        for index, kept in enumerate(lowest):
            larger = cv2.max(kept, carried)
            lowest[index] = cv2.min(kept, carried)
            carried = larger
        if len(lowest) <= rank:
            lowest.append(carried)
    return lowest[rank]


def _vessel_pixels(change: np.ndarray, threshold: int, shortest: float) -> int:
    """Pixels at or above the threshold that belong to a structure as long as a vessel."""
    _, binary = cv2.threshold(change, threshold - 1, 1, cv2.THRESH_BINARY)
    _, _, stats, _ = cv2.connectedComponentsWithStatsWithAlgorithm(binary, 8, cv2.CV_32S, cv2.CCL_BBDT)
    stats = stats[1:]  # without the background
    length = np.hypot(stats[:, cv2.CC_STAT_WIDTH], stats[:, cv2.CC_STAT_HEIGHT])
    return int(stats[length >= shortest / 2, cv2.CC_STAT_AREA].sum())


def _response_above(change: np.ndarray, threshold: int) -> float:
    """Sum of the response over the pixels at or above the threshold."""
    _, kept = cv2.threshold(change, threshold - 1, 255, cv2.THRESH_TOZERO)
    return cv2.sumElems(kept)[0]
