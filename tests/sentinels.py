"""Marks in every text of a DICOM file, and a search for them in everything that was written."""

import base64
import io
import re
import zipfile
from pathlib import Path

from PIL import Image
from pydicom import config, dcmread
from pydicom.datadict import DicomDictionary
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag

from stenoscope.imaging.dicom_header import _TAGS

PREFIX_OF_UIDS = "1.2.276.0.7230010.9"
PATTERNS = re.compile(
    rb"ZQ[0-9A-F]{8}|zq[0-9a-f]{8}"  # all free text, person names, codes, addresses, titles of applications
    + rb"|" + re.escape(PREFIX_OF_UIDS.encode())
    + rb"|18371119|1837-11-19|19\.11\.1837|113757\.48|11:37:57"  # dates and times
    + rb"|7734901\.62|773490162"  # decimal and integer strings: weights, numbers of a series
    + "|ゼク".encode()
)  # fmt: skip
_INLINE = re.compile(rb"data:[\w/+.-]+;base64,([\w+/=]+)")
_FREE = ("AE", "CS", "LO", "LT", "SH", "ST", "UC", "UT")
_OTHER = {
    "PN": "{mark}F^{mark}G^{mark}M^{mark}P^{mark}S={mark}I^{mark}J=ゼク^{mark}",
    "UR": "http://{mark}.example/",
    "UI": PREFIX_OF_UIDS + ".{number}",
    "DA": "18371119",
    "DT": "18371119113757.482913+0100",
    "TM": "113757.482913",
    "AS": "099Y",
    "DS": "7734901.625",
    "IS": "773490162",
}
_NEEDED = {*_TAGS, "FrameIncrementPointer", "LossyImageCompression"}
_LEFT_OUT = (0x0000, 0x0002, 0x0004, 0x0028, 0x5200, 0x7FE0, 0xFFFA, 0xFFFC)  # groups, some set by hand below


def text(tag: int, vr: str) -> str:
    """The sentinel of an element."""
    mark = f"ZQ{tag:08X}"
    return mark if vr in _FREE else _OTHER[vr].format(mark=mark, number=tag)


def plant(source: Path, target: Path) -> Path:
    """Copy a DICOM file with a sentinel in every element of text that decoding does not need."""
    dataset = dcmread(source)
    for tag, (vr, _, _, _, keyword) in DicomDictionary.items():
        if Tag(tag).group in _LEFT_OUT or not keyword or keyword in {*_NEEDED, "SpecificCharacterSet"}:
            continue
        if vr in _FREE or vr in _OTHER:
            dataset.add_new(tag, vr, text(tag, vr))
        elif vr == "SQ":
            dataset.add_new(tag, vr, Sequence([_item(tag)]))
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.PatientID = text(0x00100020, "LO")
    # Explanations inside of what is read
    dataset.WindowCenterWidthExplanation = text(0x00281055, "LO")
    dataset.MaskSubtractionSequence = Sequence([_item(0x00286100, 3)])
    dataset.MaskSubtractionSequence[0].MaskOperationExplanation = text(0x00286190, "ST")
    # Overlays and curves repeat by group
    for group in (0x6000, 0x6002, 0x501E):
        for element, vr in ((0x0022, "LO"), (0x0045, "LO"), (0x1500, "LO")):
            tag = group << 16 | element
            dataset.add_new(tag, vr, text(tag, vr))
    block = dataset.private_block(0x0019, "ZQ00190010 Makers", create=True)
    for element, vr in enumerate((*_FREE, *_OTHER), start=1):
        block.add_new(element, vr, text(0x00191000 + element, vr))
    block.add_new(0x40, "SQ", Sequence([_item(0x00191040, 3)]))
    block.add_new(0x41, "UN", b"ZQ00191041 in bytes ")
    block.add_new(0x42, "OB", b"ZQ00191042 in bytes ")
    dataset.add_new(0xFFFCFFFC, "OB", b"ZQFFFCFFFC padding")
    meta = dataset.file_meta
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.ImplementationClassUID = text(0x00020012, "UI")
    meta.ImplementationVersionName = text(0x00020013, "SH")
    meta.SourceApplicationEntityTitle = text(0x00020016, "AE")
    meta.PrivateInformationCreatorUID = text(0x00020100, "UI")
    meta.PrivateInformation = b"ZQ00020102 in bytes "
    dataset.preamble = b"ZQ00000000 in the preamble".ljust(128, b"\0")
    _write(dataset, target)
    return target


def like(planted: Path, source: Path, target: Path, patient: int) -> None:
    """Write the image of `source` with the texts of a planted file, and the id of another patient."""
    dataset, image = dcmread(planted), dcmread(source)

    def is_image(element) -> bool:
        return element.tag.group in (0x0028, 0x7FE0) or element.keyword in _NEEDED

    for tag in [element.tag for element in dataset if is_image(element)]:
        del dataset[tag]
    dataset.update({element.tag: element for element in image if is_image(element)})
    dataset.PatientID = f"ZQ00100020-{patient}"
    _write(dataset, target)


def spoil(planted: Path, target: Path, values: dict[str, bytes]) -> None:
    """Copy a planted file with other raw values of some elements, by keyword."""
    dataset = dcmread(planted)
    for keyword, value in values.items():
        tag = Tag(keyword)
        value += b" " * (len(value) % 2)
        dataset._dict[tag] = RawDataElement(tag, DicomDictionary[tag][0], len(value), value, 0, False, True)
    _write(dataset, target)


def _write(dataset: Dataset, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    checked = config.settings.writing_validation_mode
    config.settings.writing_validation_mode = config.IGNORE
    try:
        dataset.save_as(target)
    finally:
        config.settings.writing_validation_mode = checked


def _item(tag: int, depth: int = 0) -> Dataset:
    """An item of a sequence with text and, down to some depth, sequences of its own."""
    item = Dataset()
    item.PatientName = text(tag, "PN")
    item.CodeMeaning = text(tag, "LO")
    item.ReferencedSOPInstanceUID = text(tag, "UI")
    item.AcquisitionDateTime = text(tag, "DT")
    if depth:
        item.RequestAttributesSequence = Sequence([_item(tag, depth - 1)])
    return item


def found_in(folder: Path, more: bytes = b"never in any file") -> list[str]:
    """What of the sentinels, or of `more`, the files below a folder hold, in whatever wrapping; and where."""
    looked, hits = 0, []
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            looked += 1
            for content in (path.name.encode(), *_unwrapped(path)):
                hits += [f"{path.relative_to(folder)}: {hit}" for hit in search(content, more)]
    if not looked:
        raise ValueError(f"{folder} holds no file to search")
    return hits


def search(content: bytes, more: bytes = b"never in any file") -> set[str]:
    """Sentinels, and whether `more`, in some bytes, also spelled in UTF-16."""
    dense = content.replace(b"\0", b"")
    hits = {match.group().decode() for match in PATTERNS.finditer(dense)}
    return hits | ({"more"} if more in dense else set())


def _unwrapped(path: Path) -> list[bytes]:
    """Content of a file, and what lies in it in another form: members, pictures, texts of pictures."""
    data = path.read_bytes()
    inside = [base64.b64decode(match[1]) for match in _INLINE.finditer(data)]
    contents = [_INLINE.sub(b"", data), *inside]  # in base64 itself chance would find something
    if zipfile.is_zipfile(io.BytesIO(data)):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            contents += [archive.read(name) for name in archive.namelist()]
    for picture in (data, *inside):
        if picture.startswith((b"\x89PNG", b"GIF8")):  # its texts can be compressed
            with Image.open(io.BytesIO(picture)) as opened:
                opened.load()
                contents.append(repr(opened.info).encode())
    return contents
