import cv2
import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image

from stenoscope.errors import DicomError
from stenoscope.imaging import facts
from stenoscope.imaging.intensity import to_frame
from stenoscope.imaging.readers import READERS


def read(kind, path, clip_id):
    with READERS[kind].open(path) as opened:
        return opened.read(clip_id, str)


def facts_in(kind, path):
    with READERS[kind].open(path) as opened:
        return opened.facts


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
    clip = read("images", write_images(tmp_path / "c", frames, name, start=7), "c")
    np.testing.assert_array_equal(clip.frames, frames)
    assert (clip.clip_id, clip.patient_id, clip.frame_time_ms, clip.scale) == ("c", None, None, 1.0)


def test_hash_is_that_of_names_and_contents(tmp_path):
    first = read("images", write_images(tmp_path / "a", noise()), "a")
    same = read("images", write_images(tmp_path / "b", noise()), "b")
    other = read("images", write_images(tmp_path / "c", noise(seed=1)), "c")
    assert first.source_sha256 == same.source_sha256 != other.source_sha256


def test_colour_and_size_are_converted(tmp_path):
    colour = np.zeros((2, 300, 400, 3), np.uint8)
    colour[..., 0] = 200
    folder = write_images(tmp_path / "c", colour)
    clip = read("images", folder, "c")
    np.testing.assert_array_equal(clip.frames[0], to_frame(np.full((300, 400), 60, np.uint8)))  # 0.299 x 200
    assert clip.scale == 1.28
    found = facts_in("images", folder)
    assert (found.num_frames, found.rows, found.cols, found.transfer_syntax) == (2, 300, 400, "PNG")
    assert found.notes == ("colour converted to grey", "resampled from 300 x 400")


def test_sixteen_bit_images_share_one_scale(tmp_path):
    frames = [np.full((512, 512), value, np.uint16) for value in (1000, 2000, 3000)]
    clip = read("images", write_images(tmp_path / "c", frames), "c")
    assert clip.frames[:, 0, 0].tolist() == [0, 128, 255]
    colour = [np.dstack([frame] * 3) for frame in frames]  # 200 apart in the low byte would be lost in 8 bits
    folder = tmp_path / "d"
    folder.mkdir()
    for number, frame in enumerate(colour):
        cv2.imwrite(str(folder / f"{number}.png"), frame)
    np.testing.assert_array_equal(read("images", folder, "d").frames, clip.frames)


def test_gap_repeat_mixture_and_single_frame(tmp_path):
    folder = write_images(tmp_path / "gap", noise(6, 8, 8))
    (folder / "frame_00002.png").unlink()
    (folder / "frame_00003.png").unlink()
    with pytest.raises(DicomError, match="lacks 2 of the frames 0 to 5, the first being 2"):
        read("images", folder, "gap")
    folder = write_images(tmp_path / "repeat", noise(2, 8, 8))
    write_images(folder, noise(1, 8, 8), "frame_{:05d}.jpg")
    with pytest.raises(DicomError, match="more than one series"):
        read("images", folder, "repeat")
    folder = write_images(tmp_path / "two", noise(2, 8, 8))
    write_images(folder, noise(2, 8, 8), "mask_{}.png", start=2)
    with pytest.raises(DicomError, match="more than one series"):
        read("images", folder, "two")
    with pytest.raises(DicomError, match="holds 1 numbered"):
        read("images", write_images(tmp_path / "one", noise(1, 8, 8)), "one")


def test_mixed_sizes(tmp_path):
    folder = write_images(tmp_path / "c", noise(2, 8, 8))
    write_images(folder, noise(1, 8, 9), start=2)
    with pytest.raises(
        DicomError, match=r"frame_00002.png has 8 x 9 pixels of uint8, frame_00000.png has 8 x 8"
    ):
        read("images", folder, "c")


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
@pytest.mark.parametrize("content", [b"", b"text", None])
def test_damaged_image(tmp_path, suffix, content):
    folder = write_images(tmp_path / "c", noise(3), "{}" + suffix)
    path = folder / f"1{suffix}"
    path.write_bytes(path.read_bytes()[:20000] if content is None else content)
    with pytest.raises(DicomError, match=f"1{suffix} can't be decoded"):
        read("images", folder, "c")


def test_real_folder_of_frames(real_data):
    folder = real_data / "angiodata" / "Patient_1" / "Coro_1"
    clip = read("images", folder, "c")
    assert clip.frames.shape == (20, 512, 512)
    expected = np.asarray(Image.open(folder / "frame_00013.jpg").convert("L"))
    np.testing.assert_array_equal(clip.frames[13], expected)


def test_frames_of_very_many_pixels_are_refused(tmp_path, monkeypatch):
    write_images(tmp_path / "run", noise(3, 16, 16))
    monkeypatch.setattr(facts, "MAX_PIXELS", 2 * 16 * 16)
    with pytest.raises(DicomError, match="run has 3 frames of 16 x 16"):
        read("images", tmp_path / "run", "run")


def test_frames_that_differ_are_told(tmp_path):
    folder = write_images(tmp_path / "c", noise(2, 8, 8))
    Image.fromarray(noise(1, 8, 8)[0]).convert("RGB").save(folder / "frame_00002.png")
    turned = Image.Exif()
    turned[274] = 3
    Image.fromarray(noise(1, 8, 8)[0]).save(folder / "frame_00003.png", exif=turned)
    clip = read("images", folder, "c")
    assert clip.notes == ("frames differ in mode: L, RGB", "frames differ in orientation: 1, 3")
    same = read("images", write_images(tmp_path / "d", noise(2, 8, 8)), "d")
    assert same.notes == ()
    write_images(folder, noise(1, 8, 8).astype(np.uint16), start=4)
    with pytest.raises(
        DicomError, match=r"00004\.png has 8 x 8 pixels of uint16, frame_00000.png has 8 x 8 of"
    ):
        read("images", folder, "c")


def save_stack(path, frames, **options):
    images = [Image.fromarray(frame) for frame in frames]
    images[0].save(path, save_all=True, append_images=images[1:], **options)
    return path


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_adobe_deflate"])
def test_tiff_of_several_pages(tmp_path, dtype, compression):
    frames = noise(5, 512, 512).astype(dtype) * (257 if dtype == np.uint16 else 1)
    frames[0, 0, 0], frames[0, 0, 1] = 0, np.iinfo(dtype).max
    path = save_stack(tmp_path / "run.tif", frames, compression=compression)
    clip = read("stack", path, "run")
    np.testing.assert_array_equal(clip.frames, frames // (257 if dtype == np.uint16 else 1))
    assert (clip.frame_time_ms, clip.notes, clip.scale) == (None, (), 1.0)
    found = facts_in("stack", path)
    assert (found.num_frames, found.rows, found.transfer_syntax) == (5, 512, "TIFF")
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    with pytest.raises(DicomError, match=r"run\.tif"):
        read("stack", path, "run")


def test_gif_keeps_every_frame_and_its_times(tmp_path):
    frames = np.stack([np.full((512, 512), value, np.uint8) for value in (0, 50, 100, 200, 250)])
    frames[:, 10:20, 10:20] = 255
    path = save_stack(tmp_path / "run.gif", frames, duration=[40, 80, 40, 80, 40])
    clip = read("stack", path, "run")
    np.testing.assert_array_equal(clip.frames, frames)
    assert clip.frame_time_ms == 60.0 and clip.notes == ("frame times are uneven: 40 to 80 ms",)
    for cut in (1, 200, path.stat().st_size // 2):
        (tmp_path / "cut.gif").write_bytes(path.read_bytes()[:-cut])
        with pytest.raises(DicomError, match=r"cut\.gif"):
            read("stack", tmp_path / "cut.gif", "cut")


def test_pages_of_two_sizes_are_no_clip(tmp_path):
    images = [Image.fromarray(noise(1, 8, 8 + number)[0]) for number in range(2)]
    images[0].save(tmp_path / "run.tif", save_all=True, append_images=images[1:])
    with pytest.raises(DicomError, match=r"run\.tif, image 1, has 8 x 9 pixels of uint8, image 0 has 8 x 8"):
        read("stack", tmp_path / "run.tif", "run")


@pytest.mark.parametrize("suffix", [".bmp", ".tif", ".TIFF", ".gif", ".JPG"])
def test_numbered_images_of_any_format(tmp_path, suffix):
    frames = np.stack([np.full((512, 512), value, np.uint8) for value in (30, 90, 150)])
    clip = read("images", write_images(tmp_path / "c", frames, "{}" + suffix), "c")
    np.testing.assert_allclose(clip.frames, frames, atol=1)
