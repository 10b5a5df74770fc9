"""DICOM files as streams of bytes, and an end in one kind of error for whatever is wrong with them."""

import contextlib
import io
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

from pydicom.dataset import FileMetaDataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

from stenoscope.errors import DicomError
from stenoscope.imaging.bounded import BoundedReader
from stenoscope.imaging.quiet import quiet
from stenoscope.run.access import is_file, open_file

_MAX_INFLATION = 32  # an angiogram grows tenfold when inflated, hostile bytes grow a thousandfold
_ALWAYS_INFLATED = 64 << 20  # bytes, whatever the size of the file

# What pydicom and its plugins raise on damaged files, found by reading and by mutating files.
LIBRARY_ERRORS = (
    InvalidDicomError, BytesLengthException, AttributeError, ValueError, TypeError, LookupError, RuntimeError,
    ArithmeticError, AssertionError, OSError, EOFError, MemoryError, SyntaxError, struct.error, zlib.error,
)  # fmt: skip
_RUST_PANICS = "pyo3_runtime"  # the RLE decoder's PanicException, a BaseException that can't be imported


@contextlib.contextmanager
def reporting(path: Path, doing: str) -> Iterator[None]:
    """Turn what the libraries raise into a DicomError, and keep them quiet: their messages quote headers."""
    try:
        with quiet():
            yield
    except DicomError:
        raise
    except BaseException as problem:
        if not isinstance(problem, LIBRARY_ERRORS) and type(problem).__module__ != _RUST_PANICS:
            raise
        raise DicomError(
            f"{path} is damaged: {doing} failed ({type(problem).__name__}).",
            "a valid multi-frame XA file",
            "copy or export it again.",
        ) from None


def has_magic(path: Path) -> bool:
    """Whether it is a file that has ``DICM`` at byte 128 (PS3.10 7.1)."""
    if not is_file(path):  # opening a named pipe would wait without end
        return False
    try:
        with path.open("rb") as stream:
            return stream.read(132)[128:] == b"DICM"
    except OSError:
        return False


@contextlib.contextmanager
def open_dicom(path: Path) -> Iterator[tuple[BoundedReader, str]]:
    """Open a DICOM file for reading, once; yields the stream and the UID of its transfer syntax.

    A deflated file (PS3.5 A.5) is inflated into memory, with a bound, and then reads as an explicit one.
    Raises DicomError if it can't be opened, is no DICOM file, or names no known transfer syntax.
    """
    with open_file(path) as file, io.BytesIO() as inflated:  # which must not outlive a failure
        if file.read(132)[128:] != b"DICM":
            raise DicomError(
                f"{path} is not a DICOM file.",
                "the letters DICM at byte 128",
                "leave it out; a file without the DICOM preamble can be repaired with `gdcmconv IN OUT`.",
            )
        meta = _read_meta(BoundedReader(file, header=True))
        syntax = str(meta.get("TransferSyntaxUID") or "")
        if not UID(syntax).is_transfer_syntax:
            raise DicomError(
                f"{path} names no known transfer syntax.",
                "a transfer syntax of the DICOM standard",
                "export the file in a standard syntax, for example Explicit VR Little Endian.",
            )
        if syntax != DeflatedExplicitVRLittleEndian:
            yield BoundedReader(file), syntax
            return
        file.seek(132 + 12 + int(meta.FileMetaInformationGroupLength))  # preamble, DICM, the length itself
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        limit = max(_ALWAYS_INFLATED, _MAX_INFLATION * path.stat().st_size)
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        inflated.write(bytes(128) + b"DICM")
        write_file_meta_info(inflated, meta)
        while not inflater.eof and inflated.tell() < limit and (packed := file.read(1 << 16)):
            inflated.write(inflater.decompress(packed))
        if not inflater.eof:
            raise ValueError("truncated, or larger than any clip")
        yield BoundedReader(inflated), syntax


def _read_meta(stream: BoundedReader) -> FileMetaDataset:
    """File Meta Information (PS3.10 7.1), explicit VR little endian; some makers wrote it implicit."""
    stream.seek(136)
    implicit = not stream.read(2).isalpha()
    stream.seek(132)
    return FileMetaDataset(read_dataset(stream, implicit, True, stop_when=lambda tag, *_: tag >> 16 != 2))
