import numpy as np
import pytest

from stenoscope.errors import DicomError
from stenoscope.keyframes.published import choose_published


@pytest.mark.parametrize(
    ("published", "chosen"),
    [
        (range(4, 9), (4, 5, 6, 7, 8)),
        (range(20), (0, 5, 10, 14, 19)),
        ((2, 9), (2, 2, 2, 9, 9)),
        ((3,), (3, 3, 3, 3, 3)),
    ],
)
def test_five_are_spread_over_the_published_frames(published, chosen):
    choice = choose_published(published, 25)
    assert choice.keyframes == chosen and choice.apex == chosen[2] and choice.contrast
    assert np.flatnonzero(choice.curve).tolist() == list(published) and len(choice.curve) == 25


@pytest.mark.parametrize(
    ("published", "count", "chosen"),
    [
        (range(4, 9), 7, (4, 5, 5, 6, 7, 7, 8)),
        (range(4, 9), 4, (4, 5, 7, 8)),
        (range(4, 9), 1, (6,)),
        (range(4), 1, (2,)),
        ((3,), 7, (3,) * 7),
    ],
)
def test_another_number_is_spread_over_the_published_frames(published, count, chosen):
    choice = choose_published(published, 25, count)
    assert choice.keyframes == chosen and choice.apex == chosen[count // 2]


def test_nothing_published_and_frames_beyond_the_clip_are_refused():
    with pytest.raises(DicomError, match="publishes no key frames"):
        choose_published((), 10)
    with pytest.raises(DicomError, match="3 to 10 of 10"):
        choose_published((3, 10), 10)
