"""How well actions and key frames are found, as published.

- Mean average precision at temporal IoU 0.3 to 0.7: the evaluation of ActivityNet [1]_, whose interpolation
  makes precision fall with recall.
- Precision, recall and F of the frames of a clip, macro over outside, action 1 and action 2, then the mean
  over clips; a class counts in a clip if the truth or the answer has it there.
- Average deviation: mean over clips of (start + apex + end) / 3 absolute errors, in frames.

References
----------
.. [1] F. Caba Heilbron et al., "ActivityNet", CVPR 2015; evaluation code, `eval_detection.py`.
"""

from collections.abc import Sequence

import numpy as np

from stenoscope.temporal.decode import Detections, overlap
from stenoscope.temporal.labels import keyframes_of

THRESHOLDS = (0.3, 0.4, 0.5, 0.6, 0.7)


def average_precision(
    truth: Sequence[np.ndarray], found: Sequence[tuple[np.ndarray, np.ndarray]], threshold: float
) -> float:
    """Interpolated average precision of one action; NaN if no clip has it.

    `truth` holds the action's segment in each clip, (2,), NaN where there is none; `found` the segments (n,
    2) and scores (n,) found in each. A segment found is right from the tIoU `threshold` on, if the true one
    was not found before.
    """
    total = sum(bool(np.isfinite(segment).all()) for segment in truth)
    if not total:
        return float("nan")
    rows = [
        (score, clip, segment)
        for clip, (segments, scores) in enumerate(found)
        for segment, score in zip(segments, scores, strict=True)
    ]
    rows.sort(key=lambda row: -row[0])
    taken, hits = set(), np.zeros(len(rows))
    for k, (_, clip, segment) in enumerate(rows):
        right = np.isfinite(truth[clip]).all() and overlap(segment, truth[clip][None])[0] >= threshold
        if right and clip not in taken:
            taken.add(clip)
            hits[k] = 1
    precision = np.cumsum(hits) / (np.arange(len(rows)) + 1)
    recall = np.cumsum(hits) / total
    return interpolated(precision, recall)


def interpolated(precision: np.ndarray, recall: np.ndarray) -> float:
    """Area below the precision's upper envelope, ActivityNet's `interpolated_prec_rec`.

    >>> interpolated(np.array([1.0, 0.5, 2 / 3]), np.array([0.5, 0.5, 1.0]))  # 0.5 * 1 + 0.5 * 2 / 3
    0.8333333333333333
    """
    precision = np.concatenate([[0], precision, [0]])
    recall = np.concatenate([[0], recall, [1]])
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    steps = np.flatnonzero(recall[1:] != recall[:-1]) + 1
    return float(np.sum((recall[steps] - recall[steps - 1]) * envelope[steps]))


def mean_average_precision(truth: Sequence[np.ndarray], found: Sequence[Detections]) -> np.ndarray:
    """Mean over the two actions of the average precision at each of `THRESHOLDS`, float64 (5,).

    `truth` holds the actions (2, 2) of each clip.
    """
    table = [
        [
            average_precision(
                [actions[k] for actions in truth],
                [(item.segment[item.action == k], item.score[item.action == k]) for item in found],
                threshold,
            )
            for k in (0, 1)
        ]
        for threshold in THRESHOLDS
    ]
    return np.nanmean(np.array(table, np.float64), axis=1)


def frame_scores(truth: np.ndarray, found: np.ndarray) -> tuple[float, float, float]:
    """Precision, recall and F of one clip's frames, each the mean over its classes.

    Takes two ints (num_frames,): 0 outside, 1 and 2 the actions (`batches.frame_labels`).
    """
    rows = []
    for kind in np.union1d(truth, found):
        hits = np.count_nonzero((truth == kind) & (found == kind))
        precision = hits / max(np.count_nonzero(found == kind), 1)
        recall = hits / max(np.count_nonzero(truth == kind), 1)
        rows.append((precision, recall, 2 * precision * recall / max(precision + recall, 1e-12)))
    return tuple(float(value) for value in np.mean(rows, axis=0))


def deviation(truth: np.ndarray, found: np.ndarray, num_frames: int) -> float:
    """Mean absolute error of start, apex and end of one clip, in frames; both are actions (2, 2).

    A start or end that one of the two puts outside the clip counts as the clip's first or last frame, an apex
    that was not found as the clip's middle; the true apex must be known.
    """
    elsewhere = np.array([0, (num_frames - 1) / 2, num_frames - 1])
    true, answer = (
        np.where(np.isfinite(frames), frames, elsewhere) for frames in map(keyframes_of, (truth, found))
    )
    return float(np.abs(true - answer).mean())
