"""What a DICOM header says of the display: windows, look-up tables, rescale, padding, palette.

None of them is needed to read the pixels, so one that can't be used is left out, and the next one of its kind
is taken. The rules are those of PS3.3 C.11.1 and C.11.2.
"""

import contextlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
from pydicom.dataset import Dataset

from stenoscope.imaging.elements import numbers, text
from stenoscope.imaging.intensity import Lut, Rendering, RenderingError, Window

VOI, MODALITY = "FrameVOILUTSequence", "PixelValueTransformationSequence"
RELATIONSHIP = "FramePixelDataPropertiesSequence"
"""Macros of the display that enhanced images have (PS3.3 C.7.6.16.2.10, C.7.6.16.2.9, C.8.19.6.4)."""

TAGS = (
    "SOPClassUID", "BitsStored", "PixelRepresentation", "PhotometricInterpretation", "PixelPaddingValue",
    "PixelPaddingRangeLimit", VOI, "VOILUTSequence", "WindowCenter", "WindowWidth", "VOILUTFunction",
    MODALITY, "ModalityLUTSequence", "RescaleSlope", "RescaleIntercept", "LUTDescriptor", "LUTData",
    RELATIONSHIP, "PixelIntensityRelationship",
    *(f"{name}PaletteColorLookupTable{part}" for name in ("Red", "Green", "Blue") for part in
      ("Descriptor", "Data")),
    *(f"Segmented{name}PaletteColorLookupTableData" for name in ("Red", "Green", "Blue")),
)  # fmt: skip
"""Elements that renderings are made of."""

_BACKWARDS = frozenset((
    "1.2.840.10008.5.1.4.1.1.12.1", "1.2.840.10008.5.1.4.1.1.12.2", "1.2.840.10008.5.1.4.1.1.12.3",
))  # fmt: skip
"""XA, XRF and the retired biplane XA: SOP classes whose Modality LUT is not for the display."""

_LEAST_WIDTH = {"LINEAR": 1.0, "LINEAR_EXACT": 1e-9, "SIGMOID": 1e-9}
_LARGEST = 1e100  # of windows and slopes: sums and products of such numbers are finite
Found = TypeVar("Found")


def read_rendering(header: Dataset, macros: Mapping[str, Sequence[Dataset]] | None = None) -> Rendering:
    """The rendering that a DICOM header asks for; an unusable part of it is left out and noted.

    `header` has the Image Pixel, Modality LUT and VOI LUT modules (PS3.3 C.7.6.3, C.11.1, C.11.2), padding
    and palette. `macros` says where else to look for the modules, by the name of the enhanced images' macro:
    the first of them that has something usable is taken (see `functional_groups`). Raises RenderingError if a
    palette image has no usable palette.

    The Modality LUT of XA and XRF images leads back to X-ray intensity and is not part of the display. Their
    IODs have it for the Pixel Intensity Relationships LOG and DISP (PS3.3 A.14.3, A.16.3, C.8.7.1.1.2). DCMTK
    and fo-dicom leave it out beside any other one, or none, as well: they go by the SOP class.
    """
    bits, signed = int(header.BitsStored), bool(header.PixelRepresentation)
    if header.PhotometricInterpretation == "PALETTE COLOR":
        return Rendering(bits, signed, palette=_palette(header, signed))
    notes: list[str] = []
    found = macros or {}
    rescale = _first_usable(found.get(MODALITY, [header]), lambda module: _rescale(module, signed, notes))
    relations = (text(module, "PixelIntensityRelationship") for module in found.get(RELATIONSHIP, [header]))
    if header.get("SOPClassUID") in _BACKWARDS or next(filter(None, relations), "") in ("LOG", "DISP"):
        if rescale not in (None, (1.0, 0.0)):
            notes.append("modality LUT of X-ray intensity present, not part of the display")
        rescale = None
    rescale = rescale or (1.0, 0.0)
    rendering = Rendering(
        bits=bits,
        signed=signed,
        rescale=rescale,
        inverted=header.PhotometricInterpretation == "MONOCHROME1",
    )
    ends = rendering.lowest, rendering.lowest + (1 << bits) - 1
    below_zero = False
    if not isinstance(rescale, Lut):  # a modality LUT gives no negative values
        below_zero = min(end * rescale[0] + rescale[1] for end in ends) < 0
    voi = _first_usable(found.get(VOI, [header]), lambda module: _voi(module, below_zero, notes))
    padding = _padding(header, signed, ends, notes)
    return replace(rendering, voi=voi, padding=padding, notes=tuple(dict.fromkeys(notes)))


def _first_usable(modules: Sequence[Dataset], read: Callable[[Dataset], Found | None]) -> Found | None:
    return next((found for module in modules if (found := read(module)) is not None), None)


def _rescale(module: Dataset, signed: bool, notes: list[str]) -> Lut | tuple[float, float] | None:
    """First usable modality LUT, else slope and intercept, else None (PS3.3 C.11.1)."""
    if lut := _sequence(module, "ModalityLUTSequence", "modality LUT", signed, notes):
        return lut
    slopes, intercepts = numbers(module.get("RescaleSlope")), numbers(module.get("RescaleIntercept"))
    for slope, intercept in zip(slopes, intercepts, strict=False):
        if slope != 0 and abs(slope) < _LARGEST and abs(intercept) < _LARGEST:
            return slope, intercept
    if slopes or intercepts:
        notes.append("rescale can't be used")
    return None


def _voi(module: Dataset, signed: bool, notes: list[str]) -> Lut | Window | None:
    """First usable VOI LUT, else first usable window, else None; `signed` if its input can be negative.

    All of them are views of the same image (PS3.3 C.11.2.1.2), of which a viewer shows one at a time.
    """
    if lut := _sequence(module, "VOILUTSequence", "VOI LUT", signed, notes):
        bits = max(8, int(lut.entries.max()).bit_length())
        if bits != lut.bits:  # other viewers, too, believe the values rather than the descriptor
            notes.append(f"VOI LUT scaled by the {bits} bits it holds, not the {lut.bits} it declares")
        return replace(lut, bits=bits)
    function = text(module, "VOILUTFunction") or "LINEAR"
    if function not in _LEAST_WIDTH:
        notes.append("VOI LUT Function unknown, LINEAR taken")
        function = "LINEAR"
    centers, widths = numbers(module.get("WindowCenter")), numbers(module.get("WindowWidth"))
    pairs = list(zip(centers, widths, strict=False))
    for index, (center, width) in enumerate(pairs):
        # a smaller width is void (C.11.2.1.2.1, C.11.2.1.3); makers write 0 for "unset"
        if abs(center) < _LARGEST and _LEAST_WIDTH[function] <= width < _LARGEST:
            _note_choice(index, len(pairs), "window", notes)
            return Window(center, width, function)
    if any(pair != (0, 0) for pair in pairs) or len(centers) != len(widths):
        notes.append("window can't be used")
    return None


def _sequence(module: Dataset, keyword: str, name: str, signed: bool, notes: list[str]) -> Lut | None:
    """First usable LUT of a sequence (PS3.3 C.11.1.1, C.11.2.1.1); `signed` if its input can be negative."""
    items = module.get(keyword) or ()
    for index, item in enumerate(items):
        with contextlib.suppress(RenderingError):
            lut = _make_lut(item.get("LUTDescriptor"), item.get("LUTData"), signed)
            _note_choice(index, len(items), name, notes)
            return lut
    if items:
        notes.append(f"{name} can't be used")
    return None


def _note_choice(index: int, count: int, name: str, notes: list[str]) -> None:
    if index:
        notes.append(f"{name} {index + 1} of {count} used, the first that can be used")
    elif count > 1:
        notes.append(f"first of {count} {name}s")


def _padding(
    header: Dataset, signed: bool, ends: tuple[int, int], notes: list[str]
) -> tuple[int, int] | None:
    """Stored values that are padding, in order; None without Pixel Padding Value (PS3.3 C.7.5.1.1.2)."""
    value, limit = (
        next(iter(numbers(header.get(name))), None)
        for name in ("PixelPaddingValue", "PixelPaddingRangeLimit")
    )
    if value is None:
        return None
    if not math.isnan(value):
        others = [] if limit is None or math.isnan(limit) else [limit]
        words = [_word(end, signed) for end in (value, *others)]
        if max(words) < ends[0] or min(words) > ends[1]:  # no stored value
            return None
        if min(words) > ends[0] or max(words) < ends[1]:
            return min(words), max(words)
    notes.append("pixel padding can't be used")  # no number, or every stored value
    return None


def _word(value: float, signed: bool) -> int:
    """A value of 16 bits whose VR, US or SS, need not follow the values that it belongs to."""
    word = int(value) & 0xFFFF
    return word - (1 << 16) if signed and word >= 1 << 15 else word


def _palette(header: Dataset, signed: bool) -> Lut:
    """Grey levels of the Palette Color LUTs (PS3.3 C.7.6.3.1.5 and C.7.6.3.1.6)."""
    luts = []
    for name in ("Red", "Green", "Blue"):
        descriptor = header.get(f"{name}PaletteColorLookupTableDescriptor")
        data = header.get(f"{name}PaletteColorLookupTableData")
        if descriptor is None or data is None:
            kind = "a segmented" if f"Segmented{name}PaletteColorLookupTableData" in header else "no"
            raise RenderingError(f"{kind} palette")
        luts.append(_make_lut(descriptor, data, signed, constant=True))
    if len({(lut.first, lut.bits, len(lut.entries)) for lut in luts}) != 1:
        raise RenderingError("palettes of different length or depth")
    highest = max(int(lut.entries.max()) for lut in luts)
    bits = luts[0].bits if 255 < highest < 1 << min(luts[0].bits, 16) else 8 if highest < 256 else 16
    red, green, blue = (lut.entries / ((1 << bits) - 1) for lut in luts)  # some declare 16 bits and hold 8
    grey = 255 * (0.299 * red + 0.587 * green + 0.114 * blue)  # ITU-R BT.601, as for RGB
    return Lut(luts[0].first, np.floor(np.clip(grey, 0, 255) + 0.5).astype(np.int64), 8)


def _make_lut(descriptor, data, signed: bool, constant: bool = False) -> Lut:
    """A LUT from its descriptor (entries, first input, bits) and data; `signed` if its input can be negative.

    Of fewer or more entries than stated those that are there are taken, as DCMTK takes them.
    """
    values = numbers(descriptor)
    if len(values) < 3 or not all(map(math.isfinite, values)):
        raise RenderingError("a look-up table without a descriptor")
    count = int(values[0]) & 0xFFFF or 1 << 16  # 0 stands for 65536, which 16 bits can't hold
    if not isinstance(data, bytes):
        data = np.atleast_1d(np.asarray([] if data is None else data)).astype("<u2").tobytes()
    bits = int(values[2])
    if len(data) in (count, count + 1) and (count > 1 or bits <= 8) and not (count == 1 << 16 and bits > 8):
        # two entries of 8 bits in a word
        entries = np.frombuffer(data, np.uint8)[:count]
    else:
        entries = np.frombuffer(data[: len(data) // 2 * 2], "<u2")[: 1 << 16]
    if not entries.size or (entries.min() == entries.max() and not constant):
        raise RenderingError("a look-up table without entries, or of one value")
    first = int(values[1]) if values[1] < 0 else _word(values[1], signed)
    return Lut(first, entries.astype(np.int64), bits)
