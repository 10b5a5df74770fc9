import cv2
import numpy as np
import pytest

from stenoscope.vesselness.overlays import burned_in, field_of_view


@pytest.fixture(scope="module")
def clip():
    """Noise and a moving shadow behind blades of 40 px, with a line of text at the lower left."""
    rng = np.random.default_rng(2)
    frames = rng.normal(120, 6, (12, 256, 256))
    for i, frame in enumerate(frames):
        frame[:, 60 + 4 * i : 90 + 4 * i] -= 25
    frames[:, :, :40] = 12
    frames[:, :, 216:] = 12
    frames = frames.clip(0, 255).astype(np.uint8)
    for frame in frames:
        cv2.putText(frame, "RAO 30", (60, 230), cv2.FONT_HERSHEY_SIMPLEX, 0.6, 255, 1)
    return frames


def test_the_field_lies_between_the_blades(clip):
    inside = field_of_view(clip)
    assert inside[:, 56:200].mean() > 0.99
    assert not inside[:, :40].any() and not inside[:, 216:].any()


def test_text_is_found_where_it_is(clip):
    text = burned_in(clip)
    assert text[218:230, 62:118].mean() > 0.9
    assert not text[:200].any()


def test_a_clip_without_either_is_left_whole():
    frames = np.random.default_rng(1).normal(120, 6, (9, 100, 130)).clip(0, 255).astype(np.uint8)
    assert field_of_view(frames).all()
    assert not burned_in(frames).any()
    assert not burned_in(frames[:1]).any()
