import numpy as np
import pytest
from skimage.filters import frangi, threshold_otsu
from skimage.morphology import black_tophat, disk, white_tophat

from stenoscope.keyframes.moon2021 import choose_moon2021, vessel_pixels


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(4)
    image = rng.normal(140, 4, (200, 400))
    image[60:66] -= 50
    image[:, 100:104] -= 60
    image[20:140, 330:334] -= 60  # inside the corner that is blanked
    return image.clip(0, 255).astype(np.uint8)


def test_the_count_is_the_published_one(frame):
    white = white_tophat(frame, disk(10)).astype(int)
    black = np.minimum(black_tophat(frame, disk(10)), frame).astype(int)
    enhanced = frame + white - black
    enhanced[0:160, 310:512] = 128
    response = frangi(enhanced)
    assert vessel_pixels(frame) == np.count_nonzero(response > threshold_otsu(response)) > 0


def test_the_corner_is_not_seen(frame):
    other = frame.copy()
    other[0:150, 320:512] = 255
    assert vessel_pixels(other) == vessel_pixels(frame)


def test_an_empty_frame_counts_nothing():
    assert vessel_pixels(np.zeros((40, 50), np.uint8)) == 0


@pytest.mark.parametrize(
    ("counts", "apex", "keyframes"),
    [
        # 12 frames: the middle third is 4 to 7, so the larger counts outside it do not matter
        ([9, 9, 9, 9, 1, 3, 2, 1, 9, 9, 9, 9], 5, (3, 4, 5, 6, 7)),
        ([9, 0, 0, 0, 2, 2, 2, 2, 0, 0, 0, 0], 4, (2, 3, 4, 5, 6)),  # the first of equals
        ([1, 2, 3, 9, 4, 9], 3, (1, 2, 3, 4, 5)),  # 2 to 3; the window is shifted inward
        ([5, 4, 3], 1, (0, 0, 1, 2, 2)),
        ([5, 4], 0, (0, 0, 0, 1, 1)),
        ([5], 0, (0, 0, 0, 0, 0)),
    ],
)
def test_the_choice(monkeypatch, counts, apex, keyframes):
    answers = iter(counts)
    monkeypatch.setattr("stenoscope.keyframes.moon2021.vessel_pixels", lambda _: next(answers))
    choice = choose_moon2021(np.zeros((len(counts), 8, 8), np.uint8))
    assert (choice.apex, choice.keyframes) == (apex, keyframes)
    assert choice.curve.tolist() == counts
    assert choice.start is None and choice.end is None
