import numpy as np
import pytest

from stenoscope.keyframes.opacification import choose_opacification, contrast_interval
from stenoscope.keyframes.scores import Filling
from tests.keyframes.clips import LEVELS, filling_clip


def test_apex_start_and_end_of_a_drawn_bolus():
    choice = choose_opacification(filling_clip(LEVELS))
    assert choice.contrast and choice.confidence > 0.7
    assert 13 <= choice.apex <= 18
    assert choice.keyframes == tuple(range(choice.apex - 2, choice.apex + 3))
    assert choice.start is not None and abs(choice.start - 6) <= 1
    assert choice.end is not None and abs(choice.end - 23) <= 2
    assert choice.curve.min() == 0 and choice.curve.max() == pytest.approx(1)
    assert 0 <= choice.fit.min() < 0.1 and 0.9 < choice.fit.max() <= 1


@pytest.mark.parametrize("part", [slice(14, None), slice(None, 18)])
def test_start_and_end_outside_the_clip_are_none(part):
    choice = choose_opacification(filling_clip(LEVELS)[part])
    assert (choice.start is None) == (part.start == 14)
    assert (choice.end is None) == (part.stop == 18)


def test_a_clip_cut_during_the_filling_ends_with_its_apex():
    assert choose_opacification(filling_clip(LEVELS[:11])).apex >= 9


@pytest.mark.parametrize("padding", [0, 10, 25])
def test_empty_frames_before_the_bolus_do_not_move_the_apex(padding):
    frames = filling_clip(LEVELS)
    padded = np.concatenate([np.repeat(frames[:1], padding, axis=0), frames])
    assert abs(choose_opacification(padded).apex - padding - choose_opacification(frames).apex) <= 1


@pytest.mark.parametrize(
    "frames",
    [
        filling_clip(np.zeros(16)),
        np.random.default_rng(0).integers(60, 160, (16, 192, 192), dtype=np.uint8),
        np.full((16, 64, 64), 90, np.uint8),
    ],
    ids=["catheter only", "noise", "constant"],
)
def test_a_clip_without_contrast_is_called_so(frames):
    choice = choose_opacification(frames)
    assert not choice.contrast and choice.confidence == 0
    assert choice.start is None and choice.end is None
    assert len(set(choice.keyframes)) == 5


def test_few_frames_are_not_judged():
    choice = choose_opacification(filling_clip(LEVELS)[12:15])
    assert choice.contrast and choice.confidence == 0


def test_confidence_falls_with_the_contrast():
    strong = choose_opacification(filling_clip(LEVELS))
    weak = choose_opacification(filling_clip(LEVELS * 0.35))
    assert weak.confidence < strong.confidence
    assert abs(weak.apex - strong.apex) <= 2


def test_interval_by_hand():
    curve = np.array([0, 0, 0, 0, *[1.0] * 9, 0, 0, 0, 0])
    thinning = np.array(
        [0, 0, 0, 0, *[1.0] * 5, 0.9, 0.7, 0.5, 0.3, 0, 0, 0, 0]
    )  # vessels stay filled until 12

    def interval(share, amount, apex):
        return contrast_interval(Filling(share, amount, 1.0, np.zeros((8, 8), bool)), share, apex)

    first, last = interval(curve, curve, 8)
    assert first in (2, 3) and last in (12, 13)  # a step is blurred: 5 % is passed before it, 40 % at it
    assert interval(curve, thinning, 8) == (first, 11)  # half of the contrast at 11, a third at 12
    assert interval(curve[5:10], curve[5:10], 2) == (None, None)


def test_levels_of_arrival_and_leaving_by_hand():
    share = np.repeat([0, 0.04, 0.065, 1.0, 0], [10, 10, 10, 60, 30])
    amount = np.repeat([0, 1.0, 0.42, 0.38, 0], [30, 25, 20, 25, 20])
    filling = Filling(share, amount, 1.0, np.zeros((8, 8), bool))
    # 5 % lies between the steps of 4 % and 6.5 %, 40 % between those of 42 % and 38 %
    assert contrast_interval(filling, share, 45) == (20, 74)


def test_a_real_clip(real_data):
    import cv2

    folder = real_data / "angiodata" / "Patient_5" / "Coro_3"
    frames = np.stack([cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) for path in sorted(folder.glob("*.jp*g"))])
    choice = choose_opacification(frames)
    assert 25 <= choice.apex <= 36  # every frame a reader accepts
    assert abs(choice.start - 9) <= 2 and abs(choice.end - 42) <= 2
    assert choice.contrast and choice.confidence > 0.3
