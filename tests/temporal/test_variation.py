import numpy as np
import pytest

from stenoscope.temporal.batches import (
    LENGTHS,
    Batches,
    Example,
    contrast_targets,
    frame_labels,
    point_targets,
)
from stenoscope.temporal.decode import best_actions, decode, points
from stenoscope.temporal.labels import actions_of
from stenoscope.temporal.variation import _course, vary


def example(num_frames=40, start=8, apex=20, end=32):
    values = np.random.default_rng(0).integers(0, 60, (num_frames, 64, 64, 2), dtype=np.uint8)
    return Example("c", "p", values, actions_of(start, apex, end, num_frames))


@pytest.mark.parametrize("longest", LENGTHS)
def test_labels_move_with_the_frames(longest):
    clip = example()
    met = {"first": 0, "second": 0, "both": 0}
    for seed in range(300):
        time, actions = _course(40, clip.actions, np.random.default_rng(seed), longest)
        assert 5 <= len(time) <= longest and time.min() >= 0 and time.max() <= 39
        inside = ~np.isnan(actions)
        for k, j in zip(*np.nonzero(inside), strict=True):
            frame = actions[k, j]
            if 0 < frame < len(time) - 1 and len(np.unique(time)) == len(time):
                there = np.interp(frame, np.arange(len(time)), time)
                assert abs(there - clip.actions[k, j]) <= 1.01
        kept = [0 <= actions[k, 0] < len(time) - 1 for k in (0, 1)]
        met["both" if all(kept) else "second" if kept[1] else "first"] += 1
    assert min(met.values()) > 3  # clips without one of the phases are among them


def test_changed_clips_stay_in_range():
    clip, without = example(), 0
    for seed in range(60):
        values, actions = vary(clip.values, clip.actions, np.random.default_rng(seed), 48)
        assert values.dtype == np.float32 and 5 <= len(values) <= 48
        assert values.min() >= 0 and values.max() <= 255
        known = actions[np.isfinite(actions)]
        assert ((known >= 0) & (known <= len(values) - 1)).all()
        without += not len(known)
    assert 0 < without < 20  # catheter alone


def test_targets_and_decoding_are_inverse():
    actions = actions_of(8, 20, 32, 40)
    target = point_targets(actions, 40, 48)
    assert target.shape == (len(points(48)[0]), 5)
    found, _ = best_actions(decode(0.9 * target[:, :2], target[:, 3:], 40), 40)
    np.testing.assert_allclose(found, actions, atol=1e-5)


def test_targets_of_padding_and_of_nothing():
    nothing = np.full((2, 2), np.nan)
    target = point_targets(nothing, 10, 48)
    assert not target[:, :2].any() and target[:, 2].sum() == sum(points(48)[0] <= 9)
    labels, patches = contrast_targets(np.array([[0, 5], [5, 9]]), 10, 48, np.random.default_rng(0))
    assert (labels == -1).all()  # no background: nothing to compare with
    assert patches.shape == (8,) and (patches < 10 * 64).all()


def test_frames_of_both_actions():
    np.testing.assert_array_equal(
        frame_labels(np.array([[2, 5], [5, 7]]), 10), [0, 0, 1, 1, 1, 2, 2, 2, 0, 0]
    )


def test_the_same_numbers_give_the_same_batch():
    examples = [example(), example(30, 3, 9, None)]
    first, second = (Batches(examples, 2, 5, True).batch(1, 0) for _ in range(2))
    other = Batches(examples, 2, 6, True).batch(1, 0)
    for group in (0, 1):
        for name, values in first[group].items():
            np.testing.assert_array_equal(values, second[group][name])
    assert first[0]["maps"].shape != other[0]["maps"].shape or (first[0]["maps"] != other[0]["maps"]).any()
    assert "patches" not in Batches(examples, 2, 5, False).batch(0, 0)[0]
