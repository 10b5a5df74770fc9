import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image

from stenoscope.errors import DicomError
from stenoscope.imaging import facts, sequences
from stenoscope.imaging.intensity import to_frame


def write_images(folder, frames, name="frame_{:05d}.png", start=0):
    folder.mkdir(parents=True, exist_ok=True)
    for number, frame in enumerate(frames, start):
        Image.fromarray(frame).save(folder / name.format(number))
    return folder


def write_video(path, frames, fps=15, codec="ffv1"):
    rows, cols = frames[0].shape
    writer = imageio_ffmpeg.write_frames(
        path, (cols, rows), pix_fmt_in="gray", pix_fmt_out="gray", fps=fps, codec=codec, macro_block_size=1
    )
    writer.send(None)
    for frame in frames:
        writer.send(np.ascontiguousarray(frame))
    writer.close()
    return path


def noise(count=3, rows=512, cols=512, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, rows, cols), np.uint8)


@pytest.mark.parametrize("name", ["frame_{:05d}.png", "{}.PNG", "a1b2_{}_x.png"])
def test_frames_come_in_the_order_of_their_numbers(tmp_path, name):
    frames = noise(12)
    clip = sequences.read_image_folder(write_images(tmp_path / "c", frames, name, start=7), "c")
    np.testing.assert_array_equal(clip.frames, frames)
    assert (clip.clip_id, clip.patient_id, clip.frame_time_ms, clip.scale) == ("c", None, None, 1.0)


def test_hash_is_that_of_names_and_contents(tmp_path):
    first = sequences.read_image_folder(write_images(tmp_path / "a", noise()), "a")
    same = sequences.read_image_folder(write_images(tmp_path / "b", noise()), "b")
    other = sequences.read_image_folder(write_images(tmp_path / "c", noise(seed=1)), "c")
    assert first.source_sha256 == same.source_sha256 != other.source_sha256


def test_colour_and_size_are_converted(tmp_path):
    colour = np.zeros((2, 300, 400, 3), np.uint8)
    colour[..., 0] = 200
    folder = write_images(tmp_path / "c", colour)
    clip = sequences.read_image_folder(folder, "c")
    np.testing.assert_array_equal(clip.frames[0], to_frame(np.full((300, 400), 60, np.uint8)))  # 0.299 x 200
    assert clip.scale == 1.28
    found = sequences.image_facts(folder)
    assert (found.num_frames, found.rows, found.cols, found.transfer_syntax) == (2, 300, 400, "PNG")
    assert found.notes == ("colour converted to grey", "resampled from 300 x 400")


def test_sixteen_bit_images_share_one_scale(tmp_path):
    frames = [np.full((512, 512), value, np.uint16) for value in (1000, 2000, 3000)]
    clip = sequences.read_image_folder(write_images(tmp_path / "c", frames), "c")
    assert clip.frames[:, 0, 0].tolist() == [0, 128, 255]


def test_gap_repeat_mixture_and_single_frame(tmp_path):
    folder = write_images(tmp_path / "gap", noise(6, 8, 8))
    (folder / "frame_00002.png").unlink()
    (folder / "frame_00003.png").unlink()
    with pytest.raises(DicomError, match="lacks 2 of the frames 0 to 5, the first being 2"):
        sequences.read_image_folder(folder, "gap")
    folder = write_images(tmp_path / "repeat", noise(2, 8, 8))
    write_images(folder, noise(1, 8, 8), "frame_{:05d}.jpg")
    with pytest.raises(DicomError, match="more than one series"):
        sequences.read_image_folder(folder, "repeat")
    folder = write_images(tmp_path / "two", noise(2, 8, 8))
    write_images(folder, noise(2, 8, 8), "mask_{}.png", start=2)
    with pytest.raises(DicomError, match="more than one series"):
        sequences.read_image_folder(folder, "two")
    with pytest.raises(DicomError, match="holds 1 numbered"):
        sequences.read_image_folder(write_images(tmp_path / "one", noise(1, 8, 8)), "one")


def test_mixed_sizes(tmp_path):
    folder = write_images(tmp_path / "c", noise(2, 8, 8))
    write_images(folder, noise(1, 8, 9), start=2)
    with pytest.raises(
        DicomError, match=r"frame_00002.png has 8 x 9 pixels of uint8, frame_00000.png has 8 x 8"
    ):
        sequences.read_image_folder(folder, "c")


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
@pytest.mark.parametrize("content", [b"", b"text", None])
def test_damaged_image(tmp_path, suffix, content):
    folder = write_images(tmp_path / "c", noise(3), "{}" + suffix)
    path = folder / f"1{suffix}"
    path.write_bytes(path.read_bytes()[:20000] if content is None else content)
    with pytest.raises(DicomError, match=f"1{suffix} can't be decoded"):
        sequences.read_image_folder(folder, "c")


@pytest.mark.parametrize("suffix", [".avi", ".mov"])
def test_lossless_video_is_read_as_it_is(tmp_path, suffix):
    frames = noise(21)  # more than one step of the growing buffer
    clip = sequences.read_video(write_video(tmp_path / f"c{suffix}", frames, fps=12.5), "c")
    np.testing.assert_array_equal(clip.frames, frames)
    assert clip.frame_time_ms == 80.0 and len(clip.source_sha256) == 64


def test_lossy_mp4_is_close_and_resampled(tmp_path):
    frames = np.stack([np.full((256, 320), value, np.uint8) for value in (40, 120, 200)])
    path = tmp_path / "c.mp4"
    writer = imageio_ffmpeg.write_frames(path, (320, 256), pix_fmt_in="gray", fps=10)
    writer.send(None)
    for frame in frames:
        writer.send(frame)
    writer.close()
    clip = sequences.read_video(path, "c")
    assert clip.frames.shape == (3, 512, 512) and clip.scale == 1.6
    np.testing.assert_allclose(clip.frames[:, 256, 256], [40, 120, 200], atol=3)
    found = sequences.video_facts(path)
    assert (found.rows, found.cols, found.frame_time_ms) == (256, 320, 100.0)


@pytest.mark.parametrize(
    "content", [b"", b"hello", b"#EXTM3U\nfile:///etc/passwd\n", b"RIFF\0\0\0\0AVI junk" * 20]
)
def test_what_is_no_video(tmp_path, content):
    path = tmp_path / "c.avi"
    path.write_bytes(content)
    with pytest.raises(DicomError, match=r"c\.avi"):
        sequences.read_video(path, "c")


def test_video_of_one_frame(tmp_path):
    with pytest.raises(DicomError, match="has 1 frames"):
        sequences.read_video(write_video(tmp_path / "c.avi", noise(1, 64, 64)), "c")


def test_real_folder_of_frames(real_data):
    folder = real_data / "angiodata" / "Patient_1" / "Coro_1"
    clip = sequences.read_image_folder(folder, "c")
    assert clip.frames.shape == (20, 512, 512)
    expected = np.asarray(Image.open(folder / "frame_00013.jpg").convert("L"))
    np.testing.assert_array_equal(clip.frames[13], expected)


def test_frames_of_very_many_pixels_are_refused(tmp_path, monkeypatch):
    write_images(tmp_path / "run", noise(3, 16, 16))
    write_video(tmp_path / "film.avi", noise(3, 64, 64))
    monkeypatch.setattr(facts, "MAX_PIXELS", 2 * 16 * 16)
    with pytest.raises(DicomError, match="run has 3 frames of 16 x 16"):
        sequences.read_image_folder(tmp_path / "run", "run")
    with pytest.raises(DicomError, match=r"film\.avi has 1 frames of 64 x 64"):
        sequences.read_video(tmp_path / "film.avi", "film")


@pytest.mark.parametrize("fps, time", [(0.25, None), (0.5, 2000.0), (1000, 1.0), (4000, None)])
def test_frame_times_that_no_machine_has_are_left_out(fps, time):
    found = sequences._facts_of({"size": (64, 64), "fps": fps})
    assert found.frame_time_ms == time
    assert ("frame time can't be read" in found.notes) == (time is None)
