"""Writes a simulated clip as DICOM X-Ray Angiographic Image Storage (PS3.3 A.14), uncompressed."""

import hashlib
import os

import numpy as np
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, XRayAngiographicImageStorage

from stenoscope.imaging.facts import SIMULATOR
from stenoscope.phantom.clip import Clip
from stenoscope.phantom.projection import SOURCE_TO_ISOCENTRE_MM
from stenoscope.run.provenance import atomic_path

_IMPLEMENTATION = "2.25.302141557862415672390746912635470119842"


def uid(*names) -> str:
    """UID below 2.25 (PS3.5 B.2) that is a function of `names`."""
    digest = hashlib.sha256("/".join(map(str, names)).encode()).digest()
    return f"2.25.{int.from_bytes(digest[:16], 'big') >> 6}"


def clip_dataset(
    clip: Clip, seed: int, patient: int, number: int, header: np.random.Generator
) -> FileDataset:
    """Data set of a clip, ready to write.

    `seed`, `patient` and `number` (of the patient's clips, from 0) name the UIDs and the pseudonym; `header`
    draws what varies between installations and has no bearing on the label.
    """
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\0\1"
    meta.MediaStorageSOPClassUID = XRayAngiographicImageStorage
    meta.MediaStorageSOPInstanceUID = uid("stenoscope", seed, patient, number, "instance")
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = _IMPLEMENTATION
    meta.ImplementationVersionName = "STENOSCOPE"
    ds = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    num_frames, rows, columns = clip.frames.shape

    # Patient, General Study, General Series (C.7.1.1, C.7.2.1, C.7.3.1): type 2 is present and empty.
    ds.PatientName = f"Phantom^{patient + 1:03d}"
    ds.PatientID = f"PHANTOM{patient + 1:05d}"
    ds.PatientBirthDate = ds.PatientSex = ""
    ds.StudyInstanceUID = uid("stenoscope", seed, patient, "study")
    ds.StudyDate = ds.StudyTime = ds.ReferringPhysicianName = ds.AccessionNumber = ""
    ds.StudyID = "1"
    ds.Modality = "XA"
    ds.SeriesInstanceUID = uid("stenoscope", seed, patient, number, "series")
    ds.SeriesNumber = number + 1
    ds.Manufacturer, ds.ManufacturerModelName = SIMULATOR

    # General Image, X-Ray Image (C.7.6.1, C.8.7.1)
    ds.SOPClassUID = XRayAngiographicImageStorage
    ds.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    ds.InstanceNumber = 1
    ds.PatientOrientation = ""
    ds.ImageType = ["ORIGINAL", "PRIMARY", "SINGLE PLANE"]
    ds.PixelIntensityRelationship = "DISP"
    ds.LossyImageCompression = "00"
    ds.BurnedInAnnotation = "YES" if clip.text else "NO"

    # Image Pixel (C.7.6.3)
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.Rows, ds.Columns = rows, columns
    ds.BitsAllocated = 8 * clip.frames.itemsize
    ds.BitsStored, ds.HighBit = clip.bits, clip.bits - 1
    ds.PixelRepresentation = 0
    if clip.bits > 8:
        # The linear VOI function maps centre - 0.5 -+ (width - 1) / 2 to black and white (C.11.2.1.2.1).
        black, white = clip.window
        ds.WindowCenter, ds.WindowWidth = 0.5 * (black + white + 1), white - black + 1

    # Cine and Multi-frame (C.7.6.5, C.7.6.6): either a constant frame time or a vector of them
    ds.NumberOfFrames = num_frames
    if header.random() < 0.8:
        ds.FrameTime = f"{clip.frame_time_ms:g}"
        ds.FrameIncrementPointer = 0x00181063
    else:
        ds.FrameTimeVector = ["0", *[f"{clip.frame_time_ms:g}"] * (num_frames - 1)]
        ds.FrameIncrementPointer = 0x00181065

    # X-Ray Acquisition, XA Positioner (C.8.7.2, C.8.7.5)
    ds.RadiationSetting = "GR"
    ds.KVP = str(int(header.integers(68, 96)))
    ds.XRayTubeCurrent = int(header.integers(300, 800))
    ds.ExposureTime = int(header.integers(4, 9)) * num_frames
    ds.ImagerPixelSpacing = [f"{clip.view.pixel:.4f}"] * 2
    ds.DistanceSourceToDetector = f"{clip.view.source_to_detector:.0f}"
    ds.DistanceSourceToPatient = f"{SOURCE_TO_ISOCENTRE_MM:.0f}"
    ds.PositionerMotion = "STATIC"
    ds.PositionerPrimaryAngle = f"{clip.view.primary:g}"
    ds.PositionerSecondaryAngle = f"{clip.view.secondary:g}"

    pixels = clip.frames.astype(clip.frames.dtype.newbyteorder("<"), copy=False).tobytes()
    ds.add_new(0x7FE00010, "OW" if clip.bits > 8 else "OB", pixels + b"\0" * (len(pixels) % 2))
    return ds


def write_clip(path: str | os.PathLike, dataset: FileDataset) -> None:
    """Write a data set atomically as a DICOM file."""
    with atomic_path(path) as temporary:
        dataset.save_as(temporary, enforce_file_format=True)
