import io
from dataclasses import replace

import numpy as np
import pydicom
import pytest
from pydicom.pixels import apply_voi_lut
from pydicom.uid import ExplicitVRLittleEndian, XRayAngiographicImageStorage

from stenoscope.phantom.clip import WINDOWS
from stenoscope.phantom.dicom_writer import clip_dataset, uid, write_clip
from stenoscope.phantom.streams import stream

# The modules of PS3.3 A.14 that an angiogram must have.
TYPE_1 = """
    SOPClassUID SOPInstanceUID StudyInstanceUID SeriesInstanceUID Modality ImageType SamplesPerPixel
    PhotometricInterpretation Rows Columns BitsAllocated BitsStored HighBit PixelRepresentation PixelData
    NumberOfFrames FrameIncrementPointer PixelIntensityRelationship RadiationSetting PositionerMotion
"""
TYPE_2 = """
    PatientName PatientID PatientBirthDate PatientSex StudyDate StudyTime ReferringPhysicianName StudyID
    AccessionNumber SeriesNumber InstanceNumber Manufacturer KVP PositionerPrimaryAngle
    PositionerSecondaryAngle
"""


@pytest.fixture(params=[8, 12])
def written(request, small_clip, tmp_path):
    assert small_clip.bits == 8
    clip = small_clip
    if request.param == 12:
        black, white = WINDOWS[12]
        frames = np.rint(black + clip.frames * ((white - black) / 255)).astype(np.uint16)
        clip = replace(clip, frames=frames, bits=12, window=WINDOWS[12])
    path = tmp_path / "clip.dcm"
    write_clip(path, clip_dataset(clip, 7, 0, 0, stream(7, "header", 0, 0)))
    return clip, path


def test_header_is_a_valid_angiogram(written):
    clip, path = written
    ds = pydicom.dcmread(path)
    assert ds.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert ds.SOPClassUID == ds.file_meta.MediaStorageSOPClassUID == XRayAngiographicImageStorage
    assert ds.SOPInstanceUID == ds.file_meta.MediaStorageSOPInstanceUID
    for name in TYPE_1.split():
        assert name in ds and ds[name].value not in (None, ""), name
    for name in TYPE_2.split():
        assert name in ds, name
    assert (ds.Modality, ds.PhotometricInterpretation) == ("XA", "MONOCHROME2")
    assert ds.PatientName == "Phantom^001" and ds.PatientID == "PHANTOM00001"
    assert (ds.BitsStored, ds.HighBit) == (clip.bits, clip.bits - 1)
    assert ds.PositionerPrimaryAngle == pytest.approx(clip.view.primary)
    if clip.bits == 12:
        shown = apply_voi_lut(ds.pixel_array, ds)
        black, white = clip.window
        assert shown == pytest.approx((clip.frames - black) * (4095 / (white - black)), abs=0.01)
    assert ds[ds.FrameIncrementPointer].value is not None


def test_pixels_survive_and_two_readers_agree(written):
    clip, path = written
    assert np.array_equal(pydicom.dcmread(path).pixel_array, clip.frames)
    sitk = pytest.importorskip("SimpleITK")
    assert np.array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(path))), clip.frames)


def test_frame_times_come_as_one_number_or_as_a_vector(small_clip):
    seen = set()
    for patient in range(12):
        ds = clip_dataset(small_clip, 7, patient, 0, stream(7, "header", patient, 0))
        name = pydicom.datadict.keyword_for_tag(ds.FrameIncrementPointer)
        seen.add(name)
        if name == "FrameTime":
            assert float(ds.FrameTime) == pytest.approx(small_clip.frame_time_ms, rel=1e-4)
        else:
            assert len(ds.FrameTimeVector) == len(small_clip.frames) and ds.FrameTimeVector[0] == 0
    assert seen == {"FrameTime", "FrameTimeVector"}


def test_uids_are_valid_fixed_and_distinct(small_clip):
    assert uid("a", 1) == uid("a", 1) != uid("a", 2)
    first = clip_dataset(small_clip, 7, 0, 0, stream(7, "header", 0, 0))
    second = clip_dataset(small_clip, 7, 0, 1, stream(7, "header", 0, 1))
    assert first.StudyInstanceUID == second.StudyInstanceUID
    assert first.SeriesInstanceUID != second.SeriesInstanceUID
    for name in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
        assert first[name].value.is_valid


def test_no_clock_and_no_path_in_the_bytes(small_clip):
    def encoded():
        stream_out = io.BytesIO()
        dataset = clip_dataset(small_clip, 7, 0, 0, stream(7, "header", 0, 0))
        dataset.save_as(stream_out, enforce_file_format=True)
        return stream_out.getvalue()

    assert encoded() == encoded()
    assert clip_dataset(small_clip, 7, 0, 0, stream(7, "header", 0, 0)).StudyDate == ""
