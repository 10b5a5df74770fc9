import numpy as np
import pytest

from stenoscope.temporal.decode import (
    STRIDES,
    Detections,
    best_actions,
    decode,
    overlap,
    points,
)


def answers(length, *segments):
    """Scores and offsets as if every point knew the segment (action, first, last, score) that it lies in."""
    time, _ = points(length)
    scores, offsets = np.zeros((len(time), 2)), np.full((len(time), 2), 3.0)
    for action, first, last, score in segments:
        inside = (time >= first) & (time <= last)
        scores[inside, action] = score
        offsets[inside] = np.stack([time - first, last - time], axis=1)[inside]
    return scores, offsets


def test_points_cover_the_clip_at_every_level():
    time, stride = points(16)
    assert len(time) == 16 + 8 + 4 + 2
    for step in STRIDES:
        assert time[stride == step].mean() == 7.5  # centred on frames 0..15


def test_overlap_by_hand():
    others = np.array([[0, 10], [5, 15], [10, 20], [2, 4]], float)
    np.testing.assert_allclose(overlap(np.array([0.0, 10]), others), [1, 5 / 15, 0, 0.2])


def test_one_candidate_is_left_of_each_action():
    found = decode(*answers(48, (0, 4, 14, 0.8), (1, 14.25, 30, 0.9)), 40)
    np.testing.assert_array_equal(found.action, [1, 0])
    np.testing.assert_allclose(found.segment, [[14.25, 30], [4, 14]], atol=1e-6)
    np.testing.assert_allclose(found.score, [0.9, 0.8])


def test_two_passages_stay_two():
    found = decode(*answers(48, (1, 5, 15, 0.6), (1, 25, 40, 0.9)), 44)
    np.testing.assert_allclose(found.segment, [[25, 40], [5, 15]], atol=1e-6)


def test_the_nearer_point_decides_a_boundary():
    time, _ = points(16)
    scores, offsets = np.zeros((len(time), 2)), np.zeros((len(time), 2))
    scores[[2, 9], 0] = 0.5  # at frame 2: first frame 1 (near), last 11 (far); at 9: 3 (far) and 10 (near)
    offsets[2], offsets[9] = (1, 9), (6, 1)
    # Their tIoU is 7 / 10: neither has a vote on the other's boundaries. Brought closer, 8 / 10, both have.
    np.testing.assert_allclose(decode(scores, offsets, 16).segment, [[1, 11]])
    offsets[9] = 7, 1
    (first, last), *_ = decode(scores, offsets, 16).segment
    assert 1 < first < 1.5 and 10 < last < 10.5


def test_padding_and_low_scores_say_nothing():
    assert not len(decode(*answers(48, (0, 32, 46, 0.9)), 30).score)
    assert not len(decode(*answers(48, (0, 4, 14, 0.01)), 40).score)
    segment = decode(*answers(48, (0, 20, 46, 0.9)), 30).segment
    np.testing.assert_allclose(segment, [[20, 29]])  # cut to the clip


def detections(*rows):
    table = np.array(rows, float).reshape(-1, 4)
    return Detections(table[:, 0].astype(int), table[:, 1:3], table[:, 3])


def test_the_pair_that_meets_in_the_apex_wins():
    # The strongest second action is a later passage; it does not join the first action.
    found = detections((1, 40, 60, 0.6), (0, 5, 15, 0.6), (1, 20, 30, 0.5))
    actions, scores = best_actions(found, 64)
    np.testing.assert_array_equal(scores, [0.6, 0.5])
    # The apex: (0.36 * 15 + 0.25 * 20) / 0.61 = 17.05.
    np.testing.assert_array_equal(actions, [[5, 17], [17, 30]])


@pytest.mark.parametrize("found", [detections(), detections((0, 2, 9, 0.1))])
def test_no_action_is_an_answer(found):
    actions, scores = best_actions(found, 20)
    assert np.isnan(actions).all() and np.isnan(scores).all()


def test_one_action_implies_the_other_where_the_clip_has_it():
    def alone(*row):
        return best_actions(detections(row), 20)[0]

    np.testing.assert_array_equal(alone(1, 6, 12, 0.9), [[0, 6], [6, 12]])
    np.testing.assert_array_equal(alone(1, 0, 9, 0.9), [[np.nan, np.nan], [0, 9]])
    np.testing.assert_array_equal(alone(0, 4, 10, 0.9), [[4, 10], [10, 19]])
    np.testing.assert_array_equal(alone(0, 4, 19, 0.9), [[4, 19], [np.nan, np.nan]])


def test_actions_in_the_wrong_order_are_no_pair():
    actions, _ = best_actions(detections((1, 2, 9, 0.9), (0, 20, 30, 0.5)), 40)
    np.testing.assert_array_equal(actions, [[0, 2], [2, 9]])
