import numpy as np
import pytest

from stenoscope.app.keyframe_methods import METHODS, choose
from stenoscope.errors import DicomError, SettingsError


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("num_frames", [1, 2, 4, 7])
def test_every_method_on_short_clips(method, num_frames):
    frames = np.random.default_rng(0).integers(80, 120, (num_frames, 64, 64), dtype=np.uint8)
    before = frames.copy()
    choice = choose(frames, method)
    assert choice.method == method
    assert len(choice.keyframes) == 5 and choice.apex in choice.keyframes
    assert len(set(choice.keyframes)) == min(5, num_frames)
    assert choice.curve.dtype == np.float32 and choice.curve.shape == (num_frames,)
    np.testing.assert_array_equal(frames, before)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("spread", [False, True])
def test_every_method_chooses_as_many_as_asked_for(method, spread):
    frames = np.random.default_rng(0).integers(80, 120, (40, 64, 64), dtype=np.uint8)
    for count in (1, 2, 7, 40, 99):
        choice = choose(frames, method, spread, count=count)
        assert len(choice.keyframes) == count and choice.apex in choice.keyframes
        assert list(choice.keyframes) == sorted(choice.keyframes)
        assert len(set(choice.keyframes)) == min(count, 40)


def test_errors_say_what_to_do():
    frames = np.zeros((3, 8, 8), np.uint8)
    with pytest.raises(SettingsError, match="moon2021"):
        choose(frames, "magic")
    for wrong in (frames[0], frames.astype(float), frames[:0]):
        with pytest.raises(DicomError, match="uint8"):
            choose(wrong, "opacification")
