"""Elements of a DICOM header, each read as well as it can be: a malformed one never costs the others.

Makers and anonymisers write decimal commas, texts where numbers belong, value representations of other
elements (PS3.5 6.2), and sequences that are none. What is wanted of a header is set right here, before
anything else looks at it: a number is a float, NaN where it is none; an empty element is absent.
"""

import contextlib
import math
import re
import struct
from collections.abc import Iterable
from typing import BinaryIO

from pydicom import dcmread
from pydicom.datadict import dictionary_VR, keyword_for_tag
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence
from pydicom.tag import Tag

MALFORMED = (
    ValueError, TypeError, LookupError, ArithmeticError, AttributeError, BytesLengthException, EOFError,
    NotImplementedError, struct.error,
)  # fmt: skip
"""What pydicom raises when it converts a malformed element."""

DECIMAL_COMMA = "decimal comma read as a point"

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_LIST_OF_NUMBERS = re.compile(rb"[+\-.,eE\\ \0]*\d[\d+\-.,eE\\ \0]*")
_TEXTS = frozenset((
    "AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI", "UR", "UT",
))  # fmt: skip
_FORMATS = {"US": "H", "SS": "h", "UL": "L", "SL": "l", "FL": "f", "FD": "d", "US or SS": "H"}


def read_elements(
    stream: BinaryIO, keywords: Iterable[str | int], others: Iterable[str | int] = ()
) -> tuple[Dataset, list[str]]:
    """Read some elements of a DICOM file, up to its pixel data, where `stream` is left.

    `stream` stands at its beginning. `keywords` are keywords or tags of the elements, at the top level and in
    sequences; `others` are further ones, of which nothing is noted. In the data set numbers are floats, NaN
    where they can't be read or are not finite; look-up tables are bytes in little endian order; sequences are
    sequences; empty and unreadable elements are absent. The notes say what had to be set right.
    """
    noted = frozenset(map(Tag, keywords))
    wanted = noted.union(map(Tag, others))
    dataset = dcmread(stream, stop_before_pixels=True, specific_tags=list(wanted))
    notes: list[str] = []
    _mend(dataset, wanted, noted, notes)
    return dataset, list(dict.fromkeys(notes))


def numbers(value) -> list[float]:
    """The values of a numeric element, none if it is absent."""
    if value is None or value == "":
        return []
    return [float(value)] if isinstance(value, str | int | float) else [float(number) for number in value]


def text(dataset: Dataset, keyword: str) -> str:
    """First value of a coded text in capitals, empty if it is absent."""
    value = dataset.get(keyword)
    value = next(iter(value), "") if isinstance(value, MultiValue) else value
    return str(value or "").strip().upper()


def _mend(dataset: Dataset, wanted: frozenset, noted: frozenset, notes: list[str]) -> None:
    for tag in sorted(wanted & dataset.keys()):
        said = notes if tag in noted else []
        element = dataset.get_item(tag)
        known = dictionary_VR(tag)
        if known == "SQ":
            for item in _items(dataset, tag, said):
                _mend(item, wanted, noted, notes)
        elif not element.value or isinstance(element.value, Sequence):
            del dataset[tag]
        elif not isinstance(element, RawDataElement):  # converted already
            continue
        elif known in _FORMATS or known in ("DS", "IS"):
            dataset[tag] = DataElement(tag, "FD", _numbers(element, known, said))
        elif known in ("OV", "OW", "US or OW"):
            dataset[tag] = DataElement(tag, "OB", _little_endian(element))
        elif known in _TEXTS and element.VR not in _TEXTS:
            dataset[tag] = element._replace(VR=known)


def _items(dataset: Dataset, tag: int, notes: list[str]) -> Sequence:
    """Items of a sequence; one that is none is taken out."""
    with contextlib.suppress(*MALFORMED):
        if isinstance(items := dataset[tag].value, Sequence):
            return items
    notes.append(f"{keyword_for_tag(tag)} can't be read")
    del dataset[tag]
    return Sequence()


def _numbers(element: RawDataElement, known: str, notes: list[str]) -> list[float]:
    """The numbers of an element, by its value representation if they fit it, else by the dictionary's."""
    data, order = element.value, "<" if element.is_little_endian else ">"
    is_text = element.VR in _TEXTS or (known in ("DS", "IS") and _LIST_OF_NUMBERS.fullmatch(data))
    for code in () if is_text else (_FORMATS.get(element.VR), _FORMATS.get(known)):
        size = struct.calcsize(f"<{code}") if code else len(data) + 1
        if len(data) % size == 0:
            values = struct.unpack(f"{order}{len(data) // size}{code}", data)
            return [float(value) if math.isfinite(value) else math.nan for value in values]
    return [_number(text, notes) for text in data.decode("latin-1").split("\\")]


def _number(text: str, notes: list[str]) -> float:
    text = text.strip(" \0")
    if "," in text and _NUMBER.fullmatch(text.replace(",", ".", 1)):
        notes.append(DECIMAL_COMMA)
        text = text.replace(",", ".", 1)
    value = float(text) if _NUMBER.fullmatch(text) else math.nan
    return value if math.isfinite(value) else math.nan


def _little_endian(element: RawDataElement) -> bytes:
    """Words in little endian order; bytes as they are."""
    data = element.value
    if element.is_little_endian or element.VR == "OB":
        return data
    words = len(data) // 2
    return struct.pack(f"<{words}H", *struct.unpack(f">{words}H", data[: 2 * words])) + data[2 * words :]
