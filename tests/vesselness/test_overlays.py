import cv2
import numpy as np
import pytest

from stenoscope.imaging.find import find_clips
from stenoscope.imaging.intake import admit
from stenoscope.vesselness.overlays import burned_in, clear_field, field_of_view


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


def wedge(column: int, level: float) -> np.ndarray:
    """Noise with a half-transparent wedge, `level` of the grey level beside it, left of a column."""
    frames = np.random.default_rng(4).normal(120, 6, (5, 256, 256))
    frames[:, :, :column] *= level
    return frames.clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("turns", range(4))
def test_a_half_transparent_wedge_is_no_clear_field(turns):
    frames = np.rot90(wedge(48, 0.7), turns, axes=(1, 2))
    clear = np.rot90(clear_field(frames), -turns)
    assert field_of_view(frames).all(), "the beam does reach it"
    assert not clear[:, : 48 + 12].any(), "nor the pixels beside its edge"
    assert clear[:, 48 + 28 :].all()


def test_what_is_no_wedge_is_left(clip):
    assert clear_field(np.random.default_rng(1).normal(120, 6, (5, 256, 256)).astype(np.uint8)).all()
    assert clear_field(wedge(48, 1.3)).all(), "brighter towards the side"
    assert clear_field(wedge(120, 0.7))[:, 130:].all(), "in the middle of the frame"
    assert clear_field(np.zeros((1, 64, 64), np.uint8)).all()
    assert not clear_field(clip)[:, :52].any() and clear_field(clip)[:, 80:180].all()


def test_blades_over_most_of_the_frame_are_found():
    frames = np.zeros((5, 256, 256), np.uint8)
    frames[:, 90:170, 90:170] = np.random.default_rng(3).normal(120, 6, (5, 80, 80)).astype(np.uint8)
    inside = field_of_view(frames)
    assert inside[100:160, 100:160].all() and not inside[:80].any() and inside.mean() < 0.12


def test_the_edge_of_the_wedge_of_a_real_clip_is_no_clear_field(real_data):
    source = find_clips(real_data / "rubo/0002.DCM").sources[0]
    clip, _ = admit(source, str)
    clear = clear_field(clip.frames[76:81])
    assert not clear[:, :56].any(), "the wedge ends at column 45"
    assert clear[120:380, 80:300].all(), "the artery"
    assert (clear != clear_field(clip.frames)).mean() < 0.03
