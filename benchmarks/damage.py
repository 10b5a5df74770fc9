"""Every way to damage a valid DICOM file, for `fuzz.py` and the tests.

A case is a number: it chooses an original and one to three mutations, from a generator seeded with it, so the
same number is the same file wherever the same libraries wrote the originals.
"""

import random
import struct
import zlib
from collections.abc import Callable

from pydicom.encaps import generate_frames
from pydicom.uid import (
    JPEG2000,
    MPEG2MPML,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from benchmarks.originals import (
    DELIMITER,
    ITEM,
    ITEM_END,
    LONG,
    PIXELS,
    TEXT,
    Original,
    deflate,
    end_of_pixels,
    pixel_items,
)

_SYNTAXES = (
    ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian,
    JPEGBaseline8Bit, JPEGExtended12Bit, "1.2.840.10008.1.2.4.57", JPEGLosslessSV1, JPEGLSLossless,
    JPEGLSNearLossless, JPEG2000Lossless, JPEG2000, "1.2.840.10008.1.2.4.201", "1.2.840.10008.1.2.4.202",
    "1.2.840.10008.1.2.4.203", RLELossless, MPEG2MPML, "1.2.840.10008.1.2.4.102", "1.2.3", "",
)  # fmt: skip
_WORDS = (0, 1, 2, 3, 7, 8, 12, 15, 16, 17, 32, 64, 255, 512, 8192, 8193, 32767, 32768, 65535)
_SIZES = (0, 1, 2, 3, 8, 255, 65535, 1 << 20, 1 << 30, (1 << 31) - 1, 1 << 31, (1 << 32) - 2, (1 << 32) - 1)
_NUMBERS = (
    b"0", b"-1", b"1", b"2", b"3", b"5", b"4097", b"8192", b"8193", b"1000000000", b"2147483648", b"9" * 24,
    b"1e9", b"1e400", b"-1e-400", b"nan", b"inf", b"-inf", b"", b" ", b"1\\2\\3", b"\\", b"0x10", b"1_0",
    b"abc", b"\xd9\xa3", b"3\x00", TEXT.encode(),
)  # fmt: skip
_WORDING = (
    b"MONOCHROME1", b"MONOCHROME2", b"RGB", b"YBR_FULL", b"YBR_FULL_422", b"YBR_ICT", b"PALETTE COLOR",
    b"SIGMOID", b"LINEAR_EXACT", b"LOG", b"XA", b"RF", b"ISO 2022 IR 87", b"ISO_IR 192", b"GB18030", b"",
    b"\\" * 64, b"\x1b$B\xff", b"\xff\xfe" * 9, b"A" * 65534, TEXT.encode(),
)  # fmt: skip


def case(number: int, seed: int, files: list[Original]) -> tuple[str, bytes]:
    """What was done to which original, and the damaged file."""
    rng = random.Random(f"{seed}/{number}")
    original = files[number % len(files)]
    data, said = original.data, []
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        mutation = rng.choice(_MUTATIONS)
        data = mutation(rng, original, data, files)
        said.append(mutation.__name__.strip("_"))
    if original.syntax == DeflatedExplicitVRLittleEndian:
        packed = deflate(data[original.body :])
        if rng.random() < 0.1:
            packed = _noise(rng, original, packed, files)
        if rng.random() < 0.05:
            packed, said = _bomb(rng.choice((64, 1024, 8192))), [*said, "bomb"]
        data = data[: original.body] + packed
    return f"{original.name}: {', '.join(said)}", data


# ---- mutations of the bytes, whatever they mean


def _noise(rng, original, data, files) -> bytes:
    """Some bytes replaced, most often near the start: the header."""
    damaged = bytearray(data)
    end = len(damaged) if rng.random() < 0.5 else min(len(damaged), 2000)
    for _ in range(rng.choice((1, 2, 4, 16, 64))):
        if end > 132:
            damaged[rng.randrange(132, end)] = rng.choice((0, 0xFF, 0x7F, 0x80, rng.randrange(256)))
    return bytes(damaged)


def _truncation(rng, original, data, files) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def _removal(rng, original, data, files) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + data[at + rng.choice((1, 2, 8, 100, 1000)) :]


def _insertion(rng, original, data, files) -> bytes:
    at = rng.randrange(len(data) + 1)
    new = rng.choice((b"\0", b"\xff" * 8, ITEM, DELIMITER + bytes(4), rng.randbytes(40), data[at : at + 500]))
    return data[:at] + new * rng.choice((1, 1, 3, 1000)) + data[at:]


def _splice(rng, original, data, files) -> bytes:
    other = rng.choice(files).data
    return data[: rng.randrange(len(data) + 1)] + other[rng.randrange(len(other)) :]


def _word(rng, original, data, files) -> bytes:
    """A number that promises much, anywhere."""
    form = rng.choice(("<H", ">H", "<L", ">L", "<Q", ">Q"))
    new = struct.pack(form, rng.choice(_WORDS if form[1] == "H" else _SIZES))
    at = rng.randrange(132, max(133, len(data)))
    return data[:at] + new + data[at + len(new) :]


# ---- mutations of elements of the data set


def _length(rng, original, data, files) -> bytes:
    """The length of an element is a lie."""
    begin, value, _ = rng.choice(original.elements)
    wide = value - begin == 12 or original.syntax.is_implicit_VR
    new = struct.pack(original.order + ("L" if wide else "H"), rng.choice(_SIZES if wide else _WORDS))
    return data[: value - len(new)] + new + data[value:]


def _value(rng, original, data, files) -> bytes:
    """An element that decoding depends on gets a hostile value, of the right form."""
    begin, value, kind = rng.choice([item for item in original.elements if item[2] not in LONG])
    if kind in (b"US", b"SS"):
        new = struct.pack(original.order + "H", rng.choice(_WORDS)) * rng.choice((1, 1, 1, 2, 0))
    elif kind in (b"IS", b"DS"):
        new = rng.choice(_NUMBERS) * rng.choice((1, 1, 1, 400))
    elif kind in (b"FD", b"FL"):
        new = rng.randbytes(8 if kind == b"FD" else 4)
    else:
        new = rng.choice(_WORDING) * rng.choice((1, 1, 1, 3))
    new = (new + b" " * (len(new) % 2))[:65534]
    form = original.order + ("L" if value - begin == 12 or original.syntax.is_implicit_VR else "H")
    length = struct.pack(form, len(new))
    here = value - len(length)
    (old,) = struct.unpack(form, original.data[here:value])
    return data[:here] + length + new + data[value + old :]


def _frames(rng, original, data, files) -> bytes:
    """NumberOfFrames, Rows or Columns promise 10^9 frames or terabytes."""
    damaged = data
    for tag, new in (((0x28, 8), None), ((0x28, 0x10), _WORDS), ((0x28, 0x11), _WORDS)):
        found = [e for e in original.elements if original.tag(e[0]) == tag]
        if not found or rng.random() < 0.4:
            continue
        value = found[0][1]
        if new is not None:
            word = struct.pack(original.order + "H", rng.choice(new))
            damaged = damaged[:value] + word + damaged[value + 2 :]
            continue
        text = rng.choice((b"1000000000", b"8192", b"2 ", b"9999999999999999", b"-1", b"4096", b"0 "))
        form = original.order + ("L" if original.syntax.is_implicit_VR else "H")
        length = struct.pack(form, len(text))
        here = value - len(length)
        (old,) = struct.unpack(form, original.data[here:value])
        damaged = damaged[:here] + length + text + damaged[value + old :]
        if old != len(text):  # what follows has moved
            return damaged
    return damaged


def _syntax(rng, original, data, files) -> bytes:
    """The file meta information names another transfer syntax."""
    new = str(rng.choice(_SYNTAXES)).encode()
    old = str(original.syntax).encode()
    at = data.find(old, 132)
    if at < 0:
        return data
    form, padded = "<H", new + b"\0" * (len(new) % 2)
    length = struct.unpack(form, data[at - 2 : at])[0]
    return data[: at - 2] + struct.pack(form, len(padded)) + padded + data[at + length :]


def _nesting(rng, original, data, files) -> bytes:
    """A sequence in a sequence in a sequence: a mask, which the reader looks for."""
    depth = rng.choice((2, 50, 900, 20_000))
    tag = struct.pack(original.order + "HH", 0x0028, 0x6100)
    form = b"" if original.syntax.is_implicit_VR else b"SQ\0\0"
    item = struct.pack(original.order + "HHL", 0xFFFE, 0xE000, 0xFFFFFFFF)
    at = next((e[0] for e in original.elements if original.tag(e[0]) >= (0x28, 0x6100)), len(data))
    return data[:at] + (tag + form + b"\xff" * 4 + item) * depth + data[at:]


# ---- mutations of encapsulated pixels


def _encapsulation(rng, original, data, files) -> bytes:
    """Fragments dropped, doubled, emptied, in their thousands; offset tables that point anywhere."""
    if not original.syntax.is_encapsulated:
        return _length(rng, original, data, files)
    begin = next(e[0] for e in original.elements if original.tag(e[0]) == PIXELS)
    count = 3
    frames = list(generate_frames(original.data[begin + 12 :], number_of_frames=count))
    offsets = [rng.choice((*_SIZES, 8, 100)) for _ in range(rng.choice((0, 1, 3, 4, 5000)))]
    table = struct.pack(f"<{len(offsets)}L", *offsets)
    choice = rng.randrange(8)
    if choice == 0:
        frames = frames[: rng.randrange(3)]
    elif choice == 1:
        frames = frames * rng.choice((2, 100, 3000))
    elif choice == 2:
        frames = [b""] * rng.choice((1, 3, 20_000))
    elif choice == 3:
        frames = [frame[i : i + 2] for frame in frames for i in range(0, len(frame), 2)]
    elif choice == 4:
        frames = [rng.randbytes(200) for _ in range(3)]
    elif choice == 5:
        frames = [frame[: rng.randrange(len(frame))] for frame in frames]
    elif choice == 6:
        other = rng.choice([o for o in files if o.syntax.is_encapsulated])
        at = next(e[0] for e in other.elements if other.tag(e[0]) == PIXELS)
        frames = list(generate_frames(other.data[at + 12 :], number_of_frames=count))
    items = bytearray(pixel_items(table, frames))
    if rng.random() < 0.3:
        items[4:8] = struct.pack("<L", rng.choice(_SIZES))
    if rng.random() < 0.3 and frames:
        at = 8 + len(table) + 4
        items[at : at + 4] = struct.pack("<L", rng.choice(_SIZES))
    end = rng.choice((end_of_pixels(), end_of_pixels(), b"", ITEM_END + bytes(4), DELIMITER))
    return data[: begin + 12] + bytes(items) + end


def _codestream(rng, original, data, files) -> bytes:
    """A compressed frame that promises another size, depth or number of components."""
    begin = next(e[0] for e in original.elements if original.tag(e[0]) == PIXELS)
    stream = bytearray(data)
    marks = (
        b"\xff\xc0",
        b"\xff\xc1",
        b"\xff\xc3",
        b"\xff\xf7",
        b"\xff\x51",
        b"\xff\x52",
        b"\xff\xda",
        b"\xff\x90",
    )
    places = [at for mark in marks for at in _find_all(data, mark, begin)]
    if original.syntax == RLELossless:
        places = [at + 6 for at in _find_all(data, ITEM, begin)]
    if not places:
        return _noise(rng, original, data, files)
    for at in rng.sample(places, min(len(places), rng.choice((1, 1, 4)))):
        for _ in range(rng.choice((1, 2, 4))):
            here = at + 2 + rng.randrange(40)
            form = rng.choice((">B", ">H", ">L", "<L"))
            new = struct.pack(
                form, rng.choice(_SIZES) % (256 if form == ">B" else 65536 if form == ">H" else 1 << 32)
            )
            stream[here : here + len(new)] = new
    return bytes(stream)


_MUTATIONS: tuple[Callable[..., bytes], ...] = (
    _noise, _noise, _truncation, _removal, _insertion, _splice, _word, _length, _length, _value, _value,
    _value, _frames, _frames, _syntax, _nesting, _encapsulation, _encapsulation, _codestream, _codestream,
)  # fmt: skip


def _bomb(mebibytes: int) -> bytes:
    """A deflated stream of that many MiB of zeros."""
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    first = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    again = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    return first + again * (mebibytes - 1) + packer.flush()


def _find_all(data: bytes, mark: bytes, begin: int) -> list[int]:
    found, at = [], data.find(mark, begin)
    while at >= 0:
        found.append(at)
        at = data.find(mark, at + 1)
    return found
