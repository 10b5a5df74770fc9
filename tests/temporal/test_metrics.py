import numpy as np
import pytest

from stenoscope.temporal.decode import Detections
from stenoscope.temporal.metrics import (
    average_precision,
    deviation,
    frame_scores,
    interpolated,
    mean_average_precision,
)

NOTHING = np.full(2, np.nan)


def found(*rows):
    """(segment, score) pairs of one clip."""
    return np.array([row[0] for row in rows], float).reshape(-1, 2), np.array([row[1] for row in rows])


def test_precision_is_made_to_fall_with_recall():
    # After each answer: right 1/1, wrong 1/2, right 2/3, recall 1/3, 1/3, 2/3. The envelope is 1, 2/3, 2/3.
    precision, recall = np.array([1, 1 / 2, 2 / 3]), np.array([1, 1, 2]) / 3
    assert interpolated(precision, recall) == pytest.approx(1 / 3 * 1 + 1 / 3 * 2 / 3)
    # A late success lifts the early precision: envelope 2/3 everywhere.
    assert interpolated(np.array([0, 1 / 2, 2 / 3]), np.array([0, 0.5, 1])) == pytest.approx(2 / 3)


def test_average_precision_by_hand():
    truth = [np.array([0.0, 10]), np.array([5.0, 15]), NOTHING]
    answers = [
        found(([0, 9], 0.9), ([0, 10], 0.8)),  # tIoU 0.9: right; the same action again: wrong
        found(([10, 20], 0.7)),  # shares 5 of 15: tIoU 1/3
        found(([0, 4], 0.6)),  # this clip has no such action
    ]
    # At 0.5: right, wrong, wrong, wrong; recall 1/2 at precision 1.
    assert average_precision(truth, answers, 0.5) == pytest.approx(0.5)
    # At 0.3: right, wrong, right, wrong; 1/2 * 1 + 1/2 * 2/3.
    assert average_precision(truth, answers, 0.3) == pytest.approx(0.5 + 0.5 * 2 / 3)
    assert average_precision(truth, answers, 0.95) == pytest.approx(
        0.5 * 0.5
    )  # only the second answer is right
    assert np.isnan(average_precision([NOTHING], [found()], 0.5))
    assert average_precision(truth[:1], [found()], 0.5) == 0


def test_mean_over_actions():
    truth = [np.array([[0.0, 10], [10, 20]])]
    answer = Detections(np.array([0, 1]), np.array([[0.0, 10], [10, 14.5]]), np.array([0.9, 0.8]))
    # The second action's tIoU is 0.45.
    np.testing.assert_allclose(mean_average_precision(truth, [answer]), [1, 1, 0.5, 0.5, 0.5])


def test_frame_scores_by_hand():
    truth, answer = np.array([0, 0, 1, 1, 1, 2]), np.array([0, 1, 1, 1, 2, 2])
    # Outside: precision 1, recall 1/2; action 1: 2/3, 2/3; action 2: 1/2, 1.
    precision, recall, f = frame_scores(truth, answer)
    assert precision == pytest.approx((1 + 2 / 3 + 1 / 2) / 3)
    assert recall == pytest.approx((1 / 2 + 2 / 3 + 1) / 3)
    assert f == pytest.approx((2 / 3 + 2 / 3 + 2 / 3) / 3)
    # A class that neither has does not count; one that is only answered does.
    assert frame_scores(np.array([1, 1]), np.array([1, 1])) == (1, 1, 1)
    assert frame_scores(np.array([1, 1]), np.array([1, 0]))[0] == pytest.approx(0.5)


def test_deviation_by_hand():
    truth = np.array([[4.0, 10], [10, 18]])
    # Start 1 off; apex (12 + 14) / 2 = 13, 3 off; end 2 off.
    assert deviation(truth, np.array([[5, 12], [14, 20]]), 30) == pytest.approx((1 + 3 + 2) / 3)
    # No second action: the apex is the end of the first, the end the clip's last frame, 29.
    assert deviation(truth, np.array([[4, 10], NOTHING]), 30) == pytest.approx(11 / 3)
    # Nothing: start 0, apex (30 - 1) / 2, end 29.
    assert deviation(truth, np.full((2, 2), np.nan), 30) == pytest.approx((4 + 4.5 + 11) / 3)
    assert deviation(truth, truth, 30) == 0
