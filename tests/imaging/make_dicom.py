"""DICOM files made by hand, with known pixels."""

import struct
from pathlib import Path

import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.tag import Tag
from pydicom.uid import ExplicitVRLittleEndian, RLELossless, generate_uid

from stenoscope.imaging.dicom import open_clip
from stenoscope.imaging.dicom_header import Header
from stenoscope.imaging.facts import Facts

XA = "1.2.840.10008.5.1.4.1.1.12.1"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7.2"  # whose modality LUT is for the display, unlike XA's


def make_dicom(
    path: Path, frames: np.ndarray, syntax: str = ExplicitVRLittleEndian, compress: str = "", **elements
) -> Path:
    """Write `frames`, shape (n, rows, cols) or (n, rows, cols, 3), as a multi-frame XA file.

    `elements` are set by keyword, on top of a plain header; None removes an element. Pixels keep their dtype:
    int16 is stored signed. `compress` is a transfer syntax to compress to.
    """
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.SOPClassUID = XA
    dataset.SOPInstanceUID = generate_uid(entropy_srcs=[path.name])
    dataset.Modality = "XA"
    dataset.PatientName = "Sentinel^Name"
    dataset.PatientID = "sentinel-id"
    dataset.NumberOfFrames, dataset.Rows, dataset.Columns = frames.shape[:3]
    dataset.SamplesPerPixel = 3 if frames.ndim == 4 else 1
    dataset.PhotometricInterpretation = "RGB" if frames.ndim == 4 else "MONOCHROME2"
    if frames.ndim == 4:
        dataset.PlanarConfiguration = 0
    dataset.BitsAllocated = dataset.BitsStored = 8 * frames.dtype.itemsize
    dataset.PixelRepresentation = int(frames.dtype.kind == "i")
    dataset.FrameTime = "66.7"
    dataset.PositionerPrimaryAngle, dataset.PositionerSecondaryAngle = "-30", "25.5"
    little = dataset.file_meta.TransferSyntaxUID.is_little_endian
    dataset.PixelData = frames.astype(frames.dtype.newbyteorder("<" if little else ">")).tobytes()
    dataset["PixelData"].VR = "OW" if frames.dtype.itemsize == 2 else "OB"
    if "BitsStored" in elements:
        dataset.HighBit = elements["BitsStored"] - 1
    else:
        dataset.HighBit = dataset.BitsStored - 1
    for name, value in elements.items():
        if value is None:
            delattr(dataset, name)
        else:
            setattr(dataset, name, value)
    if compress:
        dataset.compress(compress, generate_instance_uid=False)
    dataset.save_as(path, enforce_file_format=True)
    return path


def item(**elements) -> Dataset:
    """An item of a sequence."""
    dataset = Dataset()
    for name, value in elements.items():
        setattr(dataset, name, value)
    return dataset


def levels(*values, dtype=np.uint16) -> np.ndarray:
    """A frame of 8 x 8 pixels for each value."""
    return np.stack([np.full((8, 8), value, dtype) for value in values])


def header_of(path: Path) -> Header:
    """The checked header of a file; raises DicomError if it can't be used."""
    with open_clip(path) as clip:
        return clip.header


def facts_of(path: Path) -> Facts:
    """What a file's header says, whether or not it can be used."""
    with open_clip(path) as clip:
        return clip.facts


def stored_in(path: Path) -> np.ndarray:
    """The stored values of all frames."""
    with open_clip(path) as clip:
        return np.stack(list(clip.stored()))


def write_repeats(root: Path) -> Path:
    """Two clips, each there twice, with labels: of two patients, and of one; one copy is compressed."""
    root.mkdir()
    lines = ["clip_id,patient_id,label"]
    for seed, name, patient in ((1, "a", "p1"), (2, "b", "p2"), (1, "copy", "p9"), (2, "twin", "p2")):
        frames = np.random.default_rng(seed).integers(90, 160, (3, 32, 32), np.uint8)
        make_dicom(
            root / f"{name}.dcm", frames, compress=RLELossless if name == "copy" else "", PatientID=name
        )
        lines.append(f"{name},{patient},{seed - 1}")
    (root / "labels.csv").write_text("\n".join(lines) + "\n")
    return root


def rewrite(path: Path, keyword: str, vr: str, value: bytes) -> Path:
    """Put an element of the top level into an explicit little endian file, with any VR and any bytes."""
    dataset = dcmread(path)
    dataset.add_new(keyword, "LO", "")
    dataset[keyword].VR = "LO"
    dataset.save_as(path)
    tag, data = Tag(keyword), path.read_bytes()
    empty = struct.pack("<HH", tag.group, tag.elem) + b"LO\0\0"
    assert data.count(empty) == 1
    value += b" " * (len(value) % 2)
    long = vr in ("OB", "OW", "SQ", "UN")
    length = struct.pack("<HL", 0, len(value)) if long else struct.pack("<H", len(value))
    path.write_bytes(data.replace(empty, empty[:4] + vr.encode() + length + value))
    return path


def lut(first: int, entries, bits: int) -> list[Dataset]:
    """Value of a Modality or VOI LUT Sequence."""
    descriptor = [len(entries) % (1 << 16), first, bits]
    table = item(LUTDescriptor=descriptor, LUTData=np.asarray(entries, "<u2").tobytes())
    table["LUTDescriptor"].VR = "US" if first >= 0 else "SS"
    table["LUTData"].VR = "OW"
    return [table]


def ramp(count: int = 4, rows: int = 16, cols: int = 16, top: int = 255, dtype=np.uint8) -> np.ndarray:
    """Frames that hold every value up to `top`, each frame rolled by one pixel more."""
    values = np.linspace(0, top, rows * cols).round().astype(dtype)
    return np.stack([np.roll(values, shift).reshape(rows, cols) for shift in range(count)])
