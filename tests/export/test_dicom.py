import io
import shutil
import subprocess
from datetime import datetime

import numpy as np
import pydicom
import pytest

from stenoscope.errors import DicomError
from stenoscope.export.dicom import SOURCE_TAGS, Origin, key_objects, overlay
from stenoscope.phantom.clip import simulate_clip
from stenoscope.phantom.dicom_writer import clip_dataset
from stenoscope.phantom.streams import stream

pytest.importorskip("highdicom", reason="highdicom is not installed (requirements-extra.txt)")

MAKING = Origin("demo", datetime(2026, 3, 4, 5, 6, 7), 2)
KEYFRAMES = (3, 4, 5, 6, 7)
PICTURES = np.random.default_rng(0).integers(0, 256, (5, 21, 15, 3), dtype=np.uint8)  # an odd number of bytes


@pytest.fixture(scope="module")
def angiogram():
    """Header of a simulated clip of a patient with a name beyond ASCII."""
    clip = simulate_clip(7, 0, 0, "LCA", 1, size=64, num_frames=10)
    dataset = clip_dataset(clip, 7, 0, 0, stream(7, "header", 0, 0))
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.PatientName, dataset.PatientID = "Müller^Jörg", "ÄB 12"
    dataset.PatientBirthDate, dataset.PatientSex = "19370219", "M"
    dataset.StudyDate, dataset.StudyTime = "20190307", "113757"
    return dataset


@pytest.fixture
def source(angiogram):
    """What is read of the clip's file."""
    stream = io.BytesIO()
    angiogram.save_as(stream, enforce_file_format=True)
    stream.seek(0)
    return pydicom.dcmread(stream, stop_before_pixels=True, specific_tags=list(SOURCE_TAGS))


def written(dataset) -> bytes:
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def both(source, making=MAKING):
    return (
        key_objects(source, KEYFRAMES, "opacification", making),
        overlay(source, PICTURES, KEYFRAMES, "cam", making),
    )


def test_key_objects_point_to_the_frames_of_the_source(source, angiogram):
    document = pydicom.dcmread(io.BytesIO(written(both(source)[0])))
    assert document.SOPClassUID.name == "Key Object Selection Document Storage" and document.Modality == "KO"
    (image,) = [item for item in document.ContentSequence if item.ValueType == "IMAGE"]
    (reference,) = image.ReferencedSOPSequence
    assert reference.ReferencedSOPInstanceUID == angiogram.SOPInstanceUID
    assert reference.ReferencedFrameNumber == [4, 5, 6, 7, 8], "DICOM counts from 1"
    (study,) = document.CurrentRequestedProcedureEvidenceSequence
    (series,) = study.ReferencedSeriesSequence
    assert study.StudyInstanceUID == angiogram.StudyInstanceUID
    assert series.SeriesInstanceUID == angiogram.SeriesInstanceUID
    assert "not a diagnosis" in document.ContentSequence[0].TextValue


def test_a_short_clip_names_each_of_its_frames_once(source):
    document = key_objects(source, (0, 0, 1, 1, 2), "opacification", MAKING)
    assert document.ContentSequence[1].ReferencedSOPSequence[0].ReferencedFrameNumber == [1, 2, 3]


def test_the_overlay_keeps_its_pixels_and_names_its_source(source, angiogram):
    image = pydicom.dcmread(io.BytesIO(written(both(source)[1])))
    np.testing.assert_array_equal(image.pixel_array, PICTURES)
    (reference,) = image.SourceImageSequence
    assert reference.ReferencedSOPInstanceUID == angiogram.SOPInstanceUID
    assert reference.ReferencedFrameNumber == [4, 5, 6, 7, 8]
    assert image.FrameLabelVector == ["frame 4", "frame 5", "frame 6", "frame 7", "frame 8"]
    assert image.NumberOfFrames == 5 and image.ImageType == ["DERIVED", "SECONDARY"]


def test_both_belong_to_the_study_and_patient_of_the_source(source, angiogram):
    for made in both(source):
        found = pydicom.dcmread(io.BytesIO(written(made)))
        for name in (
            "PatientName",
            "PatientID",
            "PatientBirthDate",
            "PatientSex",
            "StudyInstanceUID",
            "StudyDate",
        ):
            assert found[name].value == angiogram[name].value, name
        assert found.SeriesInstanceUID != angiogram.SeriesInstanceUID
        assert (found.ContentDate, found.ContentTime) == ("20260304", "050607")


@pytest.mark.parametrize("said, expected", [("NO", "NO"), ("YES", "YES"), (None, "YES")])
def test_pixels_count_as_naming_the_patient_unless_the_source_denies_it(source, said, expected):
    source.pop("BurnedInAnnotation", None)
    if said:
        source.BurnedInAnnotation = said
    assert both(source)[1].BurnedInAnnotation == expected


def test_a_lossy_source_makes_a_lossy_overlay(source):
    source.LossyImageCompression, source.LossyImageCompressionRatio = "01", 12
    image = both(source)[1]
    assert (image.LossyImageCompression, image.LossyImageCompressionRatio) == ("01", 12)


def test_the_same_time_gives_the_same_bytes_another_time_other_objects(source):
    assert [written(one) for one in both(source)] == [written(one) for one in both(source)]
    later = both(source, Origin("demo", datetime(2026, 3, 4, 5, 6, 8), 2))
    uids = {one.SOPInstanceUID for one in (*both(source), *later)}
    assert len(uids) == 4 and all(len(uid) <= 44 and uid.startswith("2.25.") for uid in uids)


@pytest.mark.parametrize("name", ["SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"])
def test_a_source_without_a_uid_is_refused(source, name):
    setattr(source, name, "")
    for make in (lambda: key_objects(source, KEYFRAMES, "m", MAKING), lambda: both(source)[1]):
        with pytest.raises(DicomError, match=name):
            make()


@pytest.mark.skipif(
    shutil.which("dciodvfy") is None, reason="dciodvfy (Debian: dicom3tools) is not installed"
)
@pytest.mark.parametrize("which", [0, 1])
def test_dciodvfy_finds_no_fault(source, tmp_path, which):
    path = tmp_path / "made.dcm"
    path.write_bytes(written(both(source)[which]))
    done = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, timeout=60)
    said = [
        line for line in (done.stdout + done.stderr).splitlines() if line.startswith(("Error", "Warning"))
    ]
    assert said == [] and done.returncode == 0
