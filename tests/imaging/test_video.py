import shutil
import struct
import subprocess

import cv2
import imageio_ffmpeg
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.encaps import encapsulate

from stenoscope.errors import DicomError
from stenoscope.imaging import dicom, facts, video
from stenoscope.imaging.containers import read_container
from stenoscope.imaging.intensity import to_frame
from tests.imaging.make_dicom import make_dicom
from tests.imaging.test_sequences import noise, write_video


def read_video(path, clip_id):
    with video.open_video(path) as opened:
        return opened.read(clip_id, str)


SMOOTH = np.stack([np.full((96, 128), 20 + 8 * number, np.uint8) for number in range(24)])
UNEVEN = "setpts=N+2*floor(N/5)"


def encode(path, *options, frames=SMOOTH, rate=12.5):
    """Encode frames with ffmpeg's own options."""
    rows, cols = frames.shape[1:]
    command = [
        imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-v", "error", "-f", "rawvideo", "-pix_fmt", "gray",
        "-s", f"{cols}x{rows}", "-r", str(rate), "-i", "-", *options, "-threads", "1", str(path),
    ]  # fmt: skip
    subprocess.run(command, input=frames.tobytes(), check=True)
    return path


def copy(path, source, *before):
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-v", "error", *before, "-i", str(source)]
    subprocess.run([*command, "-c", "copy", "-map", "0", str(path)], check=True)
    return path


@pytest.mark.parametrize("suffix", [".avi", ".mov", ".mkv"])
def test_lossless_video_is_read_as_it_is(tmp_path, suffix):
    frames = noise(21)  # more than one step of the growing buffer
    clip = read_video(write_video(tmp_path / f"c{suffix}", frames, fps=12.5), "c")
    np.testing.assert_array_equal(clip.frames, frames)
    assert clip.frame_time_ms == 80.0 and len(clip.source_sha256) == 64 and clip.notes == ()


def test_lossy_mp4_is_close_and_resampled(tmp_path):
    frames = np.stack([np.full((256, 320), value, np.uint8) for value in (40, 120, 200)])
    path = encode(tmp_path / "c.mp4", "-c:v", "libx264", "-pix_fmt", "yuv420p", frames=frames, rate=10)
    clip = read_video(path, "c")
    assert clip.frames.shape == (3, 512, 512) and clip.scale == 1.6 and clip.frame_time_ms == 100.0
    np.testing.assert_allclose(clip.frames[:, 256, 256], [40, 120, 200], atol=3)
    with video.open_video(path) as opened:
        found = opened.facts
    assert (found.num_frames, found.rows, found.cols, found.transfer_syntax) == (3, 256, 320, "h264")
    assert found.notes == ("resampled from 256 x 320",)


@pytest.mark.parametrize(
    "name, options",
    [
        ("b.mp4", ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-bf", "3", "-g", "8"]),
        ("f.MP4", ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-movflags", "frag_keyframe+empty_moov"]),
        ("v.m4v", ["-c:v", "mpeg4", "-bf", "2", "-qscale", "2"]),
        ("v.mkv", ["-c:v", "libx264", "-pix_fmt", "yuv420p"]),
        ("v.webm", ["-c:v", "libvpx", "-b:v", "1M", "-auto-alt-ref", "1", "-lag-in-frames", "8"]),
        ("v.wmv", ["-c:v", "wmv2", "-qscale", "2"]),
        ("v.avi", ["-c:v", "mpeg4", "-bf", "2", "-qscale", "2"]),
    ],
)
@pytest.mark.parametrize("uneven", [False, True])
def test_every_coded_frame_comes_once(tmp_path, name, options, uneven):
    filters = ["-vf", UNEVEN] if uneven else []
    path = encode(tmp_path / name, *filters, "-fps_mode", "passthrough", *options)
    clip = read_video(path, "c")
    np.testing.assert_allclose(clip.frames[:, 256, 256], SMOOTH[:, 0, 0], atol=4)
    assert [note.split(":")[0] for note in clip.notes] == ["frame times are uneven"] * uneven
    assert clip.frame_time_ms == pytest.approx((23 + 2 * 4) / 23 * 80 if uneven else 80, abs=0.2)


def test_an_edit_list_hides_no_frame(tmp_path):
    whole = encode(tmp_path / "w.mov", "-c:v", "libx264", "-pix_fmt", "yuv420p", "-g", "8", "-bf", "2")
    path = copy(tmp_path / "c.mov", whole, "-ss", "0.9")
    clip = read_video(path, "c")  # from the key frame before 0.9 s, which is frame 8
    np.testing.assert_allclose(clip.frames[:, 256, 256], SMOOTH[8:, 0, 0], atol=4)
    assert clip.notes == ("4 frames that its edit list hides are read",)


def test_odd_sizes_and_turned_videos(tmp_path):
    frames = noise(3, 37, 51)
    clip = read_video(write_video(tmp_path / "c.avi", frames), "c")
    np.testing.assert_array_equal(clip.frames[2], to_frame(frames[2]))
    whole = encode(tmp_path / "w.mp4", "-c:v", "libx264rgb", "-qp", "0", frames=frames)
    turned = copy(tmp_path / "t.mp4", whole, "-display_rotation", "90")
    expected = to_frame(np.rot90(frames[2]))
    np.testing.assert_allclose(read_video(turned, "t").frames[2], expected, atol=1)
    with video.open_video(turned) as opened:
        assert opened.facts.rows == 51


def test_a_second_stream_and_sound(tmp_path):
    options = ["-f", "lavfi", "-i", "sine=d=9", "-map", "0:v", "-map", "0:v", "-map", "1:a", "-c:v", "mpeg4"]
    path = encode(tmp_path / "c.mkv", *options)
    clip = read_video(path, "c")
    assert len(clip.frames) == 24 and clip.notes == ("2 video streams, the first one read",)


@pytest.mark.parametrize("suffix, codec", [
    (".avi", "mjpeg"), (".avi", "mpeg4"), (".avi", "ffv1"), (".mp4", "libx264"), (".mov", "mpeg4"),
    (".mkv", "libx264"), (".webm", "libvpx"), (".wmv", "wmv2"),
])  # fmt: skip
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95, 1.0])
def test_a_cut_video_is_refused(tmp_path, suffix, codec, share):
    options = ["-pix_fmt", "yuv420p"] if codec.startswith("lib") else []
    options += ["-movflags", "+faststart"] if suffix == ".mp4" else []
    path = encode(tmp_path / f"c{suffix}", "-c:v", codec, *options, frames=noise(24, 96, 128))
    whole = path.read_bytes()
    assert len(read_video(path, "c").frames) == 24
    path.write_bytes(whole[: int(share * len(whole)) - 1])
    with pytest.raises(DicomError, match=rf"c\{suffix} is truncated: \d+( of 24| of about 2.)? frames could"):
        read_video(path, "c")


@pytest.mark.parametrize("suffix, codec", [(".mp4", "libx264"), (".avi", "mpeg4"), (".mkv", "ffv1")])
def test_damaged_frames_are_refused(tmp_path, suffix, codec):
    path = encode(tmp_path / f"c{suffix}", "-c:v", codec, "-g", "8", frames=noise(24, 96, 128))
    data = bytearray(path.read_bytes())
    for share in (0.4, 0.5, 0.6):
        start = int(share * len(data))
        data[start : start + 40] = bytes(range(0, 240, 6))
    path.write_bytes(data)
    with pytest.raises(DicomError, match=r"is damaged: .* and the decoder reports errors"):
        read_video(path, "c")


def test_fewer_frames_than_stated_are_told(tmp_path):
    path = encode(tmp_path / "c.avi", "-c:v", "mjpeg")
    data = path.read_bytes()
    at = data.index(b"vids") + 32
    assert struct.unpack("<L", data[at : at + 4]) == (24,)
    path.write_bytes(data[:at] + struct.pack("<L", 30) + data[at + 4 :])
    with pytest.raises(DicomError, match="is damaged: 24 of 30 frames could be read"):
        read_video(path, "c")
    path.write_bytes(data.replace(b"idx1", b"JUNK"))  # the index is no frame
    assert len(read_video(path, "c").frames) == 24


def test_containers(tmp_path):
    assert read_container(encode(tmp_path / "c.avi", "-c:v", "mjpeg")).frames == 24
    found = read_container(encode(tmp_path / "c.mp4", "-c:v", "mpeg4"))
    assert (found.kind, found.frames, found.is_cut) == ("mov", 24, False)
    path = tmp_path / "x"
    for start in (b"", b"RIFF", b"\x1a\x45\xdf\xa3\0", b"#EXTM3U\n" * 9, b"\0\0\0\4ftyp" + bytes(9)):
        path.write_bytes(start)
        try:
            found = read_container(path)
        except (ValueError, struct.error, IndexError):
            continue
        assert found is None, start
    segment = b"\x1a\x45\xdf\xa3\x81\0" + b"\x18\x53\x80\x67\x84"  # a segment of 4 bytes
    for content, is_cut in ((b"1234", False), (b"123", True)):
        path.write_bytes(segment + content)
        assert read_container(path).is_cut is is_cut
    path.write_bytes(segment[:-1] + b"\xff")  # of unknown size
    assert not read_container(path).is_cut


@pytest.mark.parametrize(
    "content", [b"", b"hello", b"#EXTM3U\nfile:///etc/passwd\n", b"RIFF\0\0\0\0AVI junk" * 20]
)
def test_what_is_no_video(tmp_path, content):
    path = tmp_path / "c.avi"
    path.write_bytes(content)
    with pytest.raises(DicomError, match=r"c\.avi"):
        read_video(path, "c")


def test_video_of_one_frame(tmp_path):
    with pytest.raises(DicomError, match="has 1 frames"):
        read_video(write_video(tmp_path / "c.avi", noise(1, 64, 64)), "c")


def test_very_many_pixels_are_refused(tmp_path, monkeypatch):
    write_video(tmp_path / "film.avi", noise(3, 64, 64))
    monkeypatch.setattr(facts, "MAX_PIXELS", 2 * 16 * 16)
    with pytest.raises(DicomError, match=r"film\.avi has 1 frames of 64 x 64"):
        read_video(tmp_path / "film.avi", "film")
    monkeypatch.setattr(facts, "MAX_PIXELS", 1 << 32)
    monkeypatch.setattr(video, "MAX_FRAMES", 2)
    with pytest.raises(DicomError, match=r"film\.avi has more than 2 frames"):
        read_video(tmp_path / "film.avi", "film")


@pytest.mark.parametrize("fps, time", [(0.25, None), (0.5, 2000.0), (1000, 1.0), (2000, None)])
def test_frame_times_that_no_machine_has_are_left_out(tmp_path, fps, time):
    clip = read_video(write_video(tmp_path / "c.mov", noise(3, 64, 64), fps=fps), "c")
    assert clip.frame_time_ms == time
    assert ("frame time can't be read" in clip.notes) == (time is None)


def test_no_process_is_left_behind(tmp_path, monkeypatch):
    started = []

    class Popen(subprocess.Popen):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            started.extend([self] if "-nostdin" in args[0] else [])

    monkeypatch.setattr(video.subprocess, "Popen", Popen)
    path = write_video(tmp_path / "c.avi", noise(40))
    with video.open_video(path):  # after its first frame
        pass
    monkeypatch.setattr(video, "MAX_FRAMES", 3)
    with pytest.raises(DicomError):
        read_video(path, "c")
    assert len(started) == 2 and all(process.poll() is not None for process in started)


def make_video_dicom(path, video, count=24, fragments=1, syntax="1.2.840.10008.1.2.4.102"):
    """A DICOM file that holds a video in so many fragments."""
    data = video.read_bytes()
    step = -(-len(data) // fragments // 2) * 2
    make_dicom(path, np.zeros((1, 96, 128, 3), np.uint8))
    dataset = dcmread(path)
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.NumberOfFrames, dataset.PhotometricInterpretation = count, "YBR_PARTIAL_420"
    dataset.PixelData = encapsulate([data[at : at + step] for at in range(0, len(data), step)], has_bot=False)
    dataset["PixelData"].is_undefined_length = True
    dataset.save_as(path)
    return path


@pytest.mark.parametrize("fragments", [1, 5])
@pytest.mark.parametrize(
    "suffix, codec", [(".mp4", "libx264"), (".ts", "libx264"), (".mpg", "mpeg2video"), (".h264", "libx264")]
)
def test_videos_in_dicom_files(tmp_path, suffix, codec, fragments):
    options = ["-c:v", codec, "-pix_fmt", "yuv420p", "-bf", "2"]
    options += ["-r", "25", "-qscale", "2"] if codec == "mpeg2video" else []
    stream = encode(tmp_path / f"v{suffix}", *options, rate=25 if codec == "mpeg2video" else 12.5)
    clip = dicom.read_dicom(make_video_dicom(tmp_path / "c.dcm", stream, fragments=fragments), "c", str)
    np.testing.assert_allclose(clip.frames[:, 256, 256], SMOOTH[:, 0, 0], atol=4)
    assert clip.frame_time_ms == 66.7 and clip.view == (-30.0, 25.5)


def test_videos_in_dicom_files_that_are_damaged(tmp_path):
    stream = encode(tmp_path / "v.mp4", "-c:v", "libx264", "-pix_fmt", "yuv420p", "-movflags", "+faststart")
    for count in (23, 25):
        with pytest.raises(DicomError, match=rf"c\.dcm states {count} frames"):
            dicom.read_dicom(make_video_dicom(tmp_path / "c.dcm", stream, count), "c", str)
    stream.write_bytes(stream.read_bytes()[: stream.stat().st_size // 2])
    with pytest.raises(DicomError, match=r"c\.dcm is truncated: \d+ of 24 frames") as caught:
        dicom.read_dicom(make_video_dicom(tmp_path / "c.dcm", stream), "c", str)
    assert "stenoscope-" not in str(caught.value)  # the temporary file
    stream.write_bytes(b"#EXTM3U\nfile:///etc/passwd\n")
    with pytest.raises(DicomError, match=r"c\.dcm can't be decoded: its transfer syntax is MPEG-4 AVC"):
        dicom.read_dicom(make_video_dicom(tmp_path / "c.dcm", stream), "c", str)
    other = encode(tmp_path / "o.mp4", "-c:v", "libx264", "-pix_fmt", "yuv420p", frames=noise(24, 64, 64))
    with pytest.raises(DicomError, match="video of 64 x 64 pixels, but states 96 x 128"):
        dicom.read_dicom(make_video_dicom(tmp_path / "c.dcm", other), "c", str)


def test_real_video_in_dicom(real_data):
    path = real_data / "cases/09-mpeg4-in-dicom/in/mpeg4.dcm"
    clip = dicom.read_dicom(path, "c", str)
    assert clip.frames.shape == (40, 512, 512) and clip.frame_time_ms == 66.7


def test_real_videos(real_data, tmp_path):
    cases = real_data / "cases"
    for path in sorted([*cases.glob("21-vfr/in/*"), *cases.glob("24-truncated-video/whole/*")]):
        clip = read_video(path, "c")
        reader = cv2.VideoCapture(str(path))
        others = [cv2.cvtColor(image, cv2.COLOR_BGR2GRAY) for _, image in iter(reader.read, (False, None))]
        assert len(clip.frames) == len(others) == 40
        assert np.abs(clip.frames - np.stack(others).astype(int)).mean() < 0.5
        assert bool(clip.notes) == path.name.startswith("vfr")
    for path in sorted(cases.glob("24-truncated-video/in/*")):
        with pytest.raises(DicomError, match=r"truncated: 2[123] of 40 frames"):
            read_video(path, "c")
    shutil.copy(cases / "21-vfr/in/cfr.mp4", tmp_path / "C.MOV")  # any container under any of the suffixes
    assert len(read_video(tmp_path / "C.MOV", "c").frames) == 40
