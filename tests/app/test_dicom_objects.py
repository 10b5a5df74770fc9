from pathlib import Path

import numpy as np
import pydicom
import pytest

from stenoscope.imaging.find import find_clips
from stenoscope.imaging.intake import admit
from stenoscope.keyframes.registry import choose

pytest.importorskip("highdicom", reason="highdicom is not installed (requirements-extra.txt)")

from stenoscope.app.dicom_objects import DicomFolder


@pytest.fixture(scope="module")
def read(cohort):
    """A clip of the cohort with its source and key frames."""
    path = cohort.folder / "data/phantom/p001_c1.dcm"
    (source,) = find_clips(path).sources
    clip, _ = admit(source, lambda patient_id: "p-1")
    return source, clip, choose(clip.frames, "opacification")


def write(folder, read, source=None):
    own, clip, choice = read
    maps = np.zeros((5, 512, 512), np.float32)
    folder.write(source or own, clip, choice, np.linspace(0.5, 0.9, 5), maps, 4.0, "cam")


def test_two_objects_a_clip_and_a_warning_beside_them(read, tmp_path, capsys):
    folder = DicomFolder(tmp_path / "dicom", "demo")
    assert not (tmp_path / "dicom").exists(), "nothing before there is a clip"
    write(folder, read)
    assert "NOT PSEUDONYMISED" in (tmp_path / "dicom" / "README.txt").read_text()
    assert "1 clips; NOT pseudonymised" in folder.finish()
    source, clip, choice = read
    assert {path.name for path in (tmp_path / "dicom").iterdir()} == {
        "README.txt", "p001_c1.keyframes.dcm", "p001_c1.overlay.dcm"
    }  # fmt: skip
    original = pydicom.dcmread(source.path, stop_before_pixels=True)
    image = pydicom.dcmread(tmp_path / "dicom" / "p001_c1.overlay.dcm")
    assert image.PatientName == original.PatientName == "Phantom^001"
    said = capsys.readouterr().out
    assert "NOT PSEUDONYMISED" in said and "Phantom^001" not in said
    frames = [frame - 1 for frame in image.SourceImageSequence[0].ReferencedFrameNumber]
    assert tuple(frames) == choice.keyframes
    np.testing.assert_array_equal(image.pixel_array[:, :512, :, 0], clip.frames[frames])


def test_each_key_frame_lies_under_its_own_map(read, tmp_path):
    source, clip, choice = read
    maps = np.zeros((5, 512, 512), np.float32)
    for number, heatmap in enumerate(maps):
        heatmap[80 * number + 60 : 80 * number + 100, 200:240] = 4.0
    folder = DicomFolder(tmp_path / "dicom", "demo")
    folder.write(source, clip, choice, np.linspace(0.5, 0.9, 5), maps, 4.0, "cam")
    image = pydicom.dcmread(tmp_path / "dicom" / "p001_c1.overlay.dcm")
    for number, picture in enumerate(image.pixel_array[:, :512]):
        coloured = np.argwhere(np.ptp(picture.astype(int), axis=2) > 0)
        assert coloured.min(axis=0).tolist() == [80 * number + 60, 200], number
        assert coloured.max(axis=0).tolist() == [80 * number + 99, 239], number


def test_what_can_not_be_referred_to_is_listed_and_stops_nothing(read, tmp_path):
    source, *_ = read
    anonymous = pydicom.dcmread(source.path)
    del anonymous.SeriesInstanceUID
    anonymous.PatientName = "Zebrafink^Ottokar"
    anonymous.save_as(tmp_path / "anonymous.dcm")
    (without,) = find_clips(tmp_path / "anonymous.dcm").sources
    folder = DicomFolder(tmp_path / "dicom", "demo")
    write(folder, read, without)
    assert "SeriesInstanceUID" in folder.refused["p001_c1"]
    images = type(source)(Path("run"), "run", "images", "run")
    write(folder, read, images)
    assert "no DICOM file" in folder.refused["p001_c1"] and folder.written == 0
    folder.finish()
    text = (tmp_path / "dicom" / "README.txt").read_text()
    assert "p001_c1: The source is no DICOM file" in text and "Zebrafink" not in text
    assert [path.name for path in (tmp_path / "dicom").iterdir()] == ["README.txt"]


@pytest.mark.filterwarnings("ignore:Unknown encoding")
@pytest.mark.parametrize(
    "charset, name, made",
    [
        ("", b"Zebrafink^Ottokar", True),
        ("", b"K\xe4uzchen^Ottokar", False),
        ("ISO_IR 100", b"K\xe4uzchen^Ottokar", True),
        ("ISO_IR 192", b"K\xe4uzchen^Ottokar", False),
        ("ISO_IR 192", "Käuzchen^Ottokar".encode(), True),
        ("ISO_IR 999", b"K\xe4uzchen^Ottokar", False),
        ("ISO_IR 999", b"Zebrafink^Ottokar", True),
        (["", "ISO 2022 IR 87"], b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B", True),
    ],
)
def test_a_name_in_an_undeclared_character_set_is_not_guessed(read, tmp_path, charset, name, made):
    dataset = pydicom.dcmread(read[0].path)
    dataset.SpecificCharacterSet, dataset.PatientName = charset, "N" * len(name)
    dataset.save_as(tmp_path / "new.dcm")
    data = (tmp_path / "new.dcm").read_bytes()
    (tmp_path / "new.dcm").write_bytes(data.replace(b"N" * len(name), name))
    (source,) = find_clips(tmp_path / "new.dcm").sources
    folder = DicomFolder(tmp_path / "dicom", "demo")
    write(folder, read, source)
    assert folder.written == made
    if made:
        for path in (tmp_path / "dicom").glob("*.dcm"):
            assert name in path.read_bytes()
    else:
        (reason,) = folder.refused.values()
        assert "undeclared character set" in reason and "dcmodify" in reason and "damaged" not in reason
        assert "uzchen" not in reason and not list((tmp_path / "dicom").glob("*.dcm"))
