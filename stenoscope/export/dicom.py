"""Key frames and heatmaps as DICOM objects that belong to the source's study.

Two objects a clip: a Key Object Selection document (PS3.3 A.35.4, template PS3.16 TID 2010) that points to
the key frames in the source instance, and a Multi-frame True Color Secondary Capture (PS3.3 A.8.5) of the key
frames under their heatmaps. A Parametric Map (PS3.3 A.75) would keep the evidence as numbers, but needs a
frame of reference, which a projection has not, and few viewers draw one over its source.

Both carry the patient and study modules of the source, as an archive demands: they are not pseudonymised.
"""

import hashlib
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import ExplicitVRLittleEndian, MultiFrameTrueColorSecondaryCaptureImageStorage

from stenoscope import __version__
from stenoscope.errors import DicomError
from stenoscope.export.extras import extra

_TYPE_2 = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID",
    "ReferringPhysicianName", "AccessionNumber",
)  # fmt: skip
_COPIED = (
    "SpecificCharacterSet", *_TYPE_2, "IssuerOfPatientID", "StudyInstanceUID", "StudyDescription",
    "PatientAge", "PatientSize", "PatientWeight", "PatientIdentityRemoved", "DeidentificationMethod",
    "DeidentificationMethodCodeSequence", "LongitudinalTemporalInformationModified",
)  # fmt: skip
_LOSSY = ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod")
_IDENTITY = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")

SOURCE_TAGS = (*_COPIED, *_LOSSY, *_IDENTITY, "BurnedInAnnotation", "Rows", "Columns", "NumberOfFrames")
"""What has to be read of a source's header."""

_KEY_OBJECTS, _OVERLAY = "key frames", "overlay"
_SERIES = {_KEY_OBJECTS: 9101, _OVERLAY: 9102}  # numbers that no angiography system gives


@dataclass(frozen=True)
class Origin:
    """Where an object comes from.

    All objects of a kind, run and study share a series. DICOM wants the true time, so these outputs differ
    from run to run; the same time gives the same bytes.
    """

    experiment: str  # name of the one whose models were applied
    created: datetime  # when the run started
    number: int  # instance number in its series, from 1


def check_source(source: Dataset) -> None:
    """Refuse a source that can't be referred to.

    A DicomError if one of the UIDs that name the instance is missing.
    """
    missing = [name for name in _IDENTITY if not source.get(name)]
    if missing:
        raise DicomError(
            f"The header lacks {', '.join(missing)}.",
            "the UIDs by which an archive finds the source again",
            "export the clip from the archive with its UIDs.",
        )


def key_objects(source: Dataset, keyframes: Sequence[int], method: str, origin: Origin) -> Dataset:
    """Key Object Selection document that points to the key frames of a clip; Explicit VR Little Endian.

    `source` is the clip's header, with the elements of `SOURCE_TAGS` that it has; `keyframes` are indices
    from 0, and the document counts from 1 (PS3.3 C.17.3.5). A DicomError if the source can't be referred to;
    a SettingsError if highdicom is not installed.
    """
    check_source(source)
    ko, sr = extra("highdicom.ko"), extra("highdicom.sr")
    evidence = deepcopy(source)
    for name in _TYPE_2:  # the document is filled in below, from the source's elements as they are
        setattr(evidence, name, "")
    evidence.pop("SpecificCharacterSet", None)
    evidence.setdefault(Tag("Rows"), DataElement(Tag("Rows"), "US", 0))  # an image, to highdicom
    evidence.setdefault(Tag("Columns"), DataElement(Tag("Columns"), "US", 0))
    content = ko.KeyObjectSelection(
        document_title=sr.CodedConcept("113000", "DCM", "Of Interest"),  # PS3.16 CID 7010
        referenced_objects=[evidence],
        description=(
            f"Key frames by the method '{method}' of Stenoscope {__version__}. "
            "Research software: not a diagnosis."
        ),
    )
    (image,) = content.get_references()
    image.ReferencedSOPSequence[0].ReferencedFrameNumber = _frame_numbers(keyframes)
    document = ko.KeyObjectSelectionDocument(
        evidence=[evidence],
        content=content,
        transfer_syntax_uid=ExplicitVRLittleEndian,
        **_arguments(source, _KEY_OBJECTS, origin),
    )
    return _finish(document, source, origin)


def overlay(
    source: Dataset, pictures: np.ndarray, keyframes: Sequence[int], method: str, origin: Origin
) -> Dataset:
    """Multi-frame colour Secondary Capture of the key frames under their heatmaps.

    `pictures`, uint8 (n, rows, cols, 3), RGB, are from `export.pictures.overlay_pictures`, one for each of
    `keyframes`; `method` is that of the heatmaps. Uncompressed, Explicit VR Little Endian. Other parameters
    and errors are as of `key_objects`.
    """
    check_source(source)
    base, sr = extra("highdicom.base"), extra("highdicom.sr")
    image = base.SOPClass(
        study_instance_uid=source.StudyInstanceUID,
        sop_class_uid=MultiFrameTrueColorSecondaryCaptureImageStorage,
        modality="OT",
        transfer_syntax_uid=ExplicitVRLittleEndian,
        **_arguments(source, _OVERLAY, origin),
    )
    # General Image, General Reference (C.7.6.1, C.12.4)
    image.ImageType = ["DERIVED", "SECONDARY"]
    image.PatientOrientation = ""
    image.BodyPartExamined = "HEART"  # not paired, so no laterality
    image.DerivationDescription = (
        f"Key frames under heatmaps by '{method}' of Stenoscope {__version__}, resampled to "
        f"{pictures.shape[2]} columns. Research software: not a diagnosis."
    )
    reference = Dataset()
    reference.ReferencedSOPClassUID = source.SOPClassUID
    reference.ReferencedSOPInstanceUID = source.SOPInstanceUID
    reference.ReferencedFrameNumber = _frame_numbers(keyframes)
    reference.PurposeOfReferenceCodeSequence = [
        sr.CodedConcept("121322", "DCM", "Source image for image processing operation")  # CID 7202
    ]
    image.SourceImageSequence = [reference]
    for name in _LOSSY:
        _copy(source, image, name)
    # SC Equipment, SC Image, SC Multi-frame Image and Vector (C.8.6.1 to C.8.6.4)
    image.ConversionType = "WSD"
    image.DateOfSecondaryCapture = origin.created.strftime("%Y%m%d")
    image.TimeOfSecondaryCapture = origin.created.strftime("%H%M%S")
    # Whether the pixels name the patient is the source's to say; without a word it can't be excluded.
    image.BurnedInAnnotation = "NO" if source.get("BurnedInAnnotation") == "NO" else "YES"
    image.NumberOfFrames = len(pictures)
    image.FrameIncrementPointer = Tag("FrameLabelVector")
    image.FrameLabelVector = [f"frame {frame + 1}" for frame in keyframes]
    # Image Pixel (C.7.6.3)
    image.SamplesPerPixel, image.PhotometricInterpretation, image.PlanarConfiguration = 3, "RGB", 0
    image.Rows, image.Columns = pictures.shape[1:3]
    image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 8, 8, 7, 0
    data = np.ascontiguousarray(pictures).tobytes()
    image.add_new(Tag("PixelData"), "OB", data + b"\0" * (len(data) % 2))
    return _finish(image, source, origin)


def _arguments(source: Dataset, kind: str, origin: Origin) -> dict:
    """What the constructors of highdicom ask for, beside patient and study."""
    identity = (source.StudyInstanceUID, origin.experiment, origin.created.isoformat(), kind)
    return {
        "series_instance_uid": _uid(*identity),
        "sop_instance_uid": _uid(*identity, source.SOPInstanceUID, origin.number),
        "series_number": _SERIES[kind],
        "instance_number": origin.number,
        "series_description": f"Stenoscope {kind} (research only)",
        "manufacturer": "Stenoscope",
        "manufacturer_model_name": "Stenoscope",
        "software_versions": __version__,
        "content_date": origin.created.date(),
        "content_time": origin.created.time(),
    }


def _finish(made: Dataset, source: Dataset, origin: Origin) -> Dataset:
    """Give an object patient and study of the source, element by element as they are, and its time."""
    for name in _TYPE_2:
        setattr(made, name, "")
    for name in _COPIED:
        _copy(source, made, name)
    made.InstanceCreationDate = origin.created.strftime("%Y%m%d")
    made.InstanceCreationTime = origin.created.strftime("%H%M%S")
    for item in made.get("ContributingEquipmentSequence", ()):
        item.ContributionDateTime = made.InstanceCreationDate + made.InstanceCreationTime
    return made


def _copy(source: Dataset, target: Dataset, name: str) -> None:
    if name in source:
        target[Tag(name)] = deepcopy(source[name])


def _frame_numbers(keyframes: Sequence[int]) -> list[int]:
    """Frame numbers from 1, each once, also where a short clip repeats its frames."""
    return sorted({int(frame) + 1 for frame in keyframes})


def _uid(*names) -> str:
    """UID below 2.25 (PS3.5 B.2) that is a function of `names`."""
    digest = hashlib.sha256("/".join(map(str, names)).encode()).digest()
    return f"2.25.{int.from_bytes(digest[:16], 'big') >> 6}"
