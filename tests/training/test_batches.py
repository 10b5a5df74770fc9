from dataclasses import replace

import numpy as np
import pytest

from stenoscope.augmentation.grid import CENTRE, VARIANTS
from stenoscope.folds.mean_image import frame_rows
from stenoscope.folds.part import Rows
from stenoscope.settings import TrainingSettings
from stenoscope.training.batches import Sample, epoch_plan, render, resize, targets
from stenoscope.training.centre import centre_images

CLIPS = np.array([4, 1, 7], np.int64)


def settings(**changes) -> TrainingSettings:
    return TrainingSettings(
        **{"variants_per_epoch": 2, "frames_per_epoch": 3, "narrowings": False, **changes}
    )


def pixels(*arguments) -> np.ndarray:
    return render(*arguments).images


@pytest.fixture(scope="module")
def frames():
    return np.random.default_rng(3).integers(0, 256, (2, 5, 512, 512), dtype=np.uint8)


def test_a_plan_depends_on_seed_fold_and_epoch_alone():
    first = epoch_plan(CLIPS, 5, settings(), fold=2, epoch=5)
    assert epoch_plan(CLIPS, 5, settings(), 2, 5) == first
    np.random.seed(0)  # noqa: NPY002 - the global state must not matter
    assert epoch_plan(CLIPS, 5, settings(epochs=99, learning_rate=1.0), 2, 5) == first
    for other in (
        epoch_plan(CLIPS, 5, settings(seed=8), 2, 5),
        epoch_plan(CLIPS, 5, settings(), 3, 5),
        epoch_plan(CLIPS, 5, settings(), 2, 6),
    ):
        assert other != first


@pytest.mark.parametrize("variants, frames_", [(1, 1), (2, 3), (25, 5)])
def test_a_plan_visits_what_it_says_once(variants, frames_):
    plan = epoch_plan(CLIPS, 5, settings(variants_per_epoch=variants, frames_per_epoch=frames_), 1, 0)
    assert len(plan) == len(CLIPS) * variants * frames_
    assert len({(sample.clip, sample.keyframe, sample.variant) for sample in plan}) == len(plan)
    for clip in CLIPS:
        mine = [sample for sample in plan if sample.clip == clip]
        assert len({sample.variant for sample in mine}) == variants
        assert len({sample.keyframe for sample in mine}) == frames_
    if variants == 25:
        assert {sample.variant for sample in plan} == set(range(25))


def test_all_frames_of_a_clip_share_its_variants():
    plan = epoch_plan(np.arange(40), 5, settings(), 1, 0)
    seen = {}
    for sample in plan:
        moved = seen.setdefault((sample.clip, sample.variant), (sample.flips, sample.shift))
        assert moved == (sample.flips, sample.shift)
    assert len({sample.clip for sample in plan[:20]}) > 8, "clips are mixed"
    assert {flips for flips, _ in seen.values()} == {(a, b) for a in (False, True) for b in (False, True)}
    shifts = np.array([shift for _, shift in seen.values()])
    assert shifts.min() >= -16 and shifts.max() <= 16 and np.unique(shifts).size > 20


def test_a_normal_clips_samples_are_followed_by_a_narrowed_twin():
    plan = epoch_plan(CLIPS, 5, settings(narrowings=True), 1, 0, normal={1, 7})
    plain = [sample for sample in plan if not sample.narrowing]
    assert plain == epoch_plan(CLIPS, 5, settings(), 1, 0), "the order without twins is the same"
    twins = [place for place, sample in enumerate(plan) if sample.narrowing]
    assert len(twins) == 12 and all(replace(plan[at], narrowing=0) == plan[at - 1] for at in twins)
    assert len({plan[at].narrowing for at in twins}) == 12
    assert {plan[at].clip for at in twins} == {1, 7}


def test_targets_say_what_is_known_of_image_and_cells():
    labels = np.array([[0, 1], [1, np.nan], [np.nan, 0]], np.float32)
    plan = [
        Sample(1, 0, 0),
        Sample(0, 0, 0),
        Sample(0, 0, 0, narrowing=5),
        Sample(2, 0, 0),
        Sample(0, 0, 0, narrowing=6),
    ]
    places = np.full((5, 2), np.nan, np.float32)
    places[2] = 11.5, 19.5  # the middle of cell (1, 2) of 8 x 8 pixels
    images, cells = targets(plan, labels, places, 64, (8, 8))
    np.testing.assert_array_equal(images[:3], [[1, np.nan], [0, 1], [1, np.nan]])
    assert np.isnan(images[3, 0]) and np.isnan(images[4, 0]), "a twin without a narrowing says nothing"
    assert images.dtype == cells.dtype == np.float32 and cells.shape == (5, 8, 8, 2)
    assert (
        np.isnan(cells[..., 1]).all() and np.isnan(cells[[0, 3, 4]]).all() and (cells[1, ..., 0] == 0).all()
    )
    twin = cells[2, ..., 0]
    assert np.argwhere(twin == 1).tolist() == [[1, 2]]
    rows, cols = np.mgrid[:8, :8]
    distance = np.hypot(rows - 1, cols - 2)
    assert (twin[distance >= 2.5] == 0).all() and np.isnan(twin[(distance > 0) & (distance < 2.5)]).all()


def test_a_narrowings_place_moves_with_its_image():
    frames = np.random.default_rng(0).integers(157, 164, (1, 5, 512, 512), dtype=np.uint8)
    frames[..., 60:450, 150:162] -= 100  # a vessel that runs down
    straight = render(frames, [Sample(0, 0, CENTRE, narrowing=9)], 250)
    moved = render(frames, [Sample(0, 0, CENTRE, (True, True), (3, -5), narrowing=9)], 250)
    plain = pixels(frames, [Sample(0, 0, CENTRE)], 250)
    row, col = straight.places[0]
    np.testing.assert_allclose(moved.places[0], [249 - row + 3, 249 - col - 5])
    assert abs(col - (156 - 6) / 2) < 2, "it lies on the vessel"
    changed = np.argwhere(np.abs(straight.images - plain)[0, ..., 0] > 4)
    assert len(changed) and np.abs(changed.mean(axis=0) - [row, col]).max() < 4, "and where the image changed"
    assert np.isnan(render(frames, [Sample(0, 0, CENTRE)], 250).places).all()


def test_without_augmentation_nothing_moves():
    plan = epoch_plan(CLIPS, 5, settings(flip=False, shift=0), 1, 0)
    assert {(sample.flips, sample.shift) for sample in plan} == {((False, False), (0, 0))}


def test_augmentation_off_leaves_the_centre_crop_and_the_narrowings():
    plan = epoch_plan(CLIPS, 5, settings(augmentation=False, narrowings=True), 1, 0, normal={1})
    assert {(sample.variant, sample.flips, sample.shift) for sample in plan} == {
        (CENTRE, (False, False), (0, 0))
    }
    plain = [sample for sample in plan if not sample.narrowing]
    assert len(plain) == 9 and {sample.clip for sample in plan if sample.narrowing} == {1}


def test_frame_rows_are_visited_instead_of_clips():
    rows = np.array([3, 20, 21, 23, 24, 7])  # clips 0, 4, 4, 4, 4, 1
    plan = epoch_plan(rows, 5, settings(variants_per_epoch=1), 1, 0, frame_wise=True)
    found = sorted((sample.clip, sample.keyframe) for sample in plan)
    assert len(found) == 5 and (0, 3) in found and (1, 2) in found
    assert {keyframe for clip, keyframe in found if clip == 4} < {0, 1, 3, 4}
    whole = np.array([5, 6, 7, 8, 9, 20, 21, 22, 23, 24])
    assert epoch_plan(whole, 5, settings(), 2, 1, frame_wise=True) == epoch_plan(
        np.array([1, 4]), 5, settings(), 2, 1
    )


@pytest.mark.parametrize("count", [1, 4, 7])
def test_any_number_of_key_frames(count):
    plan = epoch_plan(CLIPS, count, settings(frames_per_epoch=99, variants_per_epoch=1), 1, 0)
    assert sorted({sample.keyframe for sample in plan}) == list(range(count))
    assert len(plan) == count * len(CLIPS)
    noise = np.random.default_rng(3).integers(0, 256, (2, count, 512, 512), dtype=np.uint8)
    image = pixels(noise, [Sample(1, count - 1, CENTRE)], 500)[0, ..., 0]
    np.testing.assert_array_equal(image, noise[1, -1, 6:506, 6:506])
    rows = Rows(noise, frame_rows(np.array([1, 0]), count))
    np.testing.assert_array_equal(rows[:], np.concatenate([noise[1], noise[0]]))


def test_the_test_view_is_the_centre_crop_unchanged(frames):
    found = centre_images(frames[[1, 0], [3, 3]], 100)
    np.testing.assert_array_equal(found, pixels(frames, [Sample(1, 3, CENTRE), Sample(0, 3, CENTRE)], 100))


def test_render_takes_the_variants_crop_of_the_right_frame(frames):
    for variant in (0, 7, CENTRE, 24):
        row, col, offset = VARIANTS[variant]
        image = pixels(frames, [Sample(1, 3, variant)], 500)
        expected = np.clip(frames[1, 3, row : row + 500, col : col + 500].astype(int) + offset, 0, 255)
        assert image.shape == (1, 500, 500, 1) and image.dtype == np.float32
        np.testing.assert_allclose(image[0, ..., 0], expected, atol=1e-3)


def test_render_averages_areas(frames):
    image = pixels(frames, [Sample(0, 0, CENTRE)], 100)[0, ..., 0]
    expected = frames[0, 0, 6:506, 6:506].astype(float).reshape(100, 5, 100, 5).mean(axis=(1, 3))
    np.testing.assert_allclose(image, expected, atol=1e-3)
    np.testing.assert_array_equal(resize(frames[0, :1, :500, :500], 500)[0], frames[0, 0, :500, :500])


def test_flips_and_shifts_by_hand(frames):
    plain = pixels(frames, [Sample(0, 0, CENTRE)], 50)[0, ..., 0]
    flipped = pixels(frames, [Sample(0, 0, CENTRE, (True, False))], 50)[0, ..., 0]
    np.testing.assert_array_equal(flipped, plain[::-1])
    flipped = pixels(frames, [Sample(0, 0, CENTRE, (False, True))], 50)[0, ..., 0]
    np.testing.assert_array_equal(flipped, plain[:, ::-1])
    moved = pixels(frames, [Sample(0, 0, CENTRE, (False, False), (2, -3))], 50)[0, ..., 0]
    np.testing.assert_array_equal(moved[2:, :-3], plain[:-2, 3:])
    np.testing.assert_array_equal(moved[:2, :-3], plain[[0, 0], 3:])  # the border is repeated
    np.testing.assert_array_equal(moved[2:, -3:], plain[:-2, [-1, -1, -1]])


def test_the_networks_subtraction_stays_exact_for_moved_samples(frames):
    mean = np.random.default_rng(5).uniform(50, 200, (500, 500)).astype(np.float32)
    small = resize(mean[None], 50)[0]
    plain = pixels(frames, [Sample(0, 0, CENTRE)], 50, mean)[0, ..., 0] - small
    moved = pixels(frames, [Sample(0, 0, CENTRE, (True, True), (1, 0))], 50, mean)[0, ..., 0] - small
    np.testing.assert_allclose(moved[1:], plain[::-1, ::-1][:-1], atol=1e-3)


def test_a_mean_image_does_not_touch_samples_that_stay(frames):
    plan = [Sample(0, 2, 3)]
    np.testing.assert_array_equal(
        pixels(frames, plan, 64, np.ones((500, 500), np.float32)), pixels(frames, plan, 64)
    )
