"""From the network's answer at each point in time to actions and key frames."""

from dataclasses import dataclass

import numpy as np

from stenoscope.temporal.labels import clipped

STRIDES = (1, 2, 4, 8)
"""Frames between the points of each level of the pyramid; clips are padded to a multiple of the last one."""
_LEAST_SCORE, _KEPT = 0.02, 200
_OVERLAP, _VOTING = 0.5, 0.75  # tIoU above which a weaker candidate is dropped; above which it has a vote
_REACH = 12.0  # frames from a boundary at which a candidate's vote on it has fallen to 1/e
_TRUST = 2  # power of the scores with which the two actions have a say in the apex
PRESENT = 0.3
"""Score from which an action counts as shown by the clip."""


@dataclass(frozen=True)
class Detections:
    """Candidates of one clip, best first."""

    action: np.ndarray  # int (n,): 0 start to apex, 1 apex to end
    segment: np.ndarray  # float64 (n, 2): first and last frame
    score: np.ndarray  # float64 (n,), 0 to 1


def points(num_frames: int) -> tuple[np.ndarray, np.ndarray]:
    """Time, in frames, and stride of every point of a padded clip, level by level.

    >>> points(8)[0].tolist()[8:]
    [0.5, 2.5, 4.5, 6.5, 1.5, 5.5, 3.5]
    """
    times = [(np.arange(num_frames // stride) + 0.5) * stride - 0.5 for stride in STRIDES]
    return np.concatenate(times), np.repeat(STRIDES, [len(time) for time in times])


def overlap(segment: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Temporal intersection over union of a segment (2,) with others (n, 2)."""
    shared = np.minimum(segment[1], others[:, 1]) - np.maximum(segment[0], others[:, 0])
    joined = (segment[1] - segment[0]) + (others[:, 1] - others[:, 0]) - shared
    return np.clip(shared, 0, None) / np.maximum(joined, 1e-9)


def decode(scores: np.ndarray, offsets: np.ndarray, num_frames: int) -> Detections:
    """Candidates of one clip: non-maximum suppression with a vote on the boundaries, by action.

    `scores`, (num_points, 2), are 0 to 1, of each action; `offsets`, (num_points, 2), the frames from the
    point back to the action's first and on to its last frame; `num_frames` is without padding.

    As ActionFormer's, the boundaries of a candidate that stays are the mean over all candidates that overlap
    it, weighted by score; here a candidate also counts less the farther it is from the boundary in question.
    """
    points_each = sum(STRIDES[-1] // stride for stride in STRIDES)  # of STRIDES[-1] frames
    time, _ = points(len(scores) * STRIDES[-1] // points_each)
    found = []
    inside = time <= num_frames - 1
    for action in (0, 1):
        chosen = np.flatnonzero((scores[:, action] >= _LEAST_SCORE) & inside)
        chosen = chosen[np.argsort(-scores[chosen, action], kind="stable")][:_KEPT]
        score = scores[chosen, action].astype(np.float64)
        reach = offsets[chosen].astype(np.float64)
        segment = time[chosen, None] + reach * (-1, 1)
        segment = np.clip(segment, 0, num_frames - 1)
        weight = score[:, None] * np.exp(-np.abs(reach) / _REACH) + 1e-9
        left = np.ones(len(chosen), bool)
        for k in range(len(chosen)):
            if left[k]:
                shared = overlap(segment[k], segment)
                left &= shared < _OVERLAP
                voters = shared >= _VOTING
                voters[k] = True
                voted = np.average(segment[voters], axis=0, weights=weight[voters])
                found.append((action, *voted, score[k]))
    found.sort(key=lambda item: -item[3])
    table = np.array(found, np.float64).reshape(-1, 4)
    return Detections(table[:, 0].astype(int), table[:, 1:3], table[:, 3])


def best_actions(detections: Detections, num_frames: int) -> tuple[np.ndarray, np.ndarray]:
    """The actions that the clip shows, joined in the apex, and their scores.

    Of all pairs, the one with the highest sum of scores, less the gap between the end of the first and the
    start of the second as a share of both: the two meet in the apex, which is the mean of both boundaries,
    weighted by a power of the scores. Of an action alone, the other one is what the clip holds before or
    after it, if anything. Actions are float64 (2, 2), whole frames, NaN where the clip shows none; scores
    float64 (2,), NaN where the action was not found itself.
    """
    actions, scores = np.full((2, 2), np.nan), np.full(2, np.nan)
    shown = detections.score >= PRESENT
    first, second = (np.flatnonzero(shown & (detections.action == k)) for k in (0, 1))
    best, chosen = -np.inf, list(np.flatnonzero(shown)[:1])
    for i in first:
        for j in second:
            (begin, apex), (again, end) = detections.segment[i], detections.segment[j]
            value = detections.score[i] + detections.score[j] - abs(apex - again) / max(end - begin, 1e-9)
            if (begin + apex) < (again + end) and value > best:
                best, chosen = value, [i, j]
    if not chosen:
        return actions, scores
    for k in chosen:
        row = detections.action[k]
        actions[row], scores[row] = detections.segment[k], detections.score[k]
    found = np.isfinite(scores)
    apex = np.average(actions[[0, 1], [1, 0]][found], weights=scores[found] ** _TRUST)
    start = actions[0, 0] if found[0] else 0
    end = actions[1, 1] if found[1] else num_frames - 1
    return clipped(np.floor(np.array([[start, apex], [apex, end]]) + 0.5), num_frames), scores
