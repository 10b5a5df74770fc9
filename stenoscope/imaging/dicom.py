"""DICOM multi-frame X-ray angiograms, decoded and rendered frame by frame."""

import contextlib
import io
import itertools
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
from pydicom.encaps import generate_frames
from pydicom.pixels import get_decoder
from pydicom.uid import UID

from stenoscope.errors import DicomError
from stenoscope.geometry import source_to_frame
from stenoscope.imaging import intensity
from stenoscope.imaging.dicom_file import LIBRARY_ERRORS, open_dicom, reporting
from stenoscope.imaging.dicom_header import Header, read_header
from stenoscope.imaging.facts import Facts, Pseudonym
from stenoscope.imaging.jpeg import check_segments
from stenoscope.imaging.pixel_data import EMPTY_TABLE, VIDEO_SYNTAXES, wrong_count
from stenoscope.imaging.video import iter_video, known_container
from stenoscope.records import FRAME_SIZE, Clip
from stenoscope.run import provenance

PLUGINS = {
    "1.2.840.10008.1.2.4.50": ("pillow", "gdcm"),  # JPEG Baseline: 0.8 ms a 512 x 512 frame
    "1.2.840.10008.1.2.4.51": ("pillow", "gdcm"),  # JPEG Extended: its 8-bit form
    "1.2.840.10008.1.2.4.57": ("gdcm",),  # JPEG Lossless: 4.5 ms
    "1.2.840.10008.1.2.4.70": ("gdcm",),
    "1.2.840.10008.1.2.4.80": ("pyjpegls", "gdcm"),  # JPEG-LS: 3.8 ms
    "1.2.840.10008.1.2.4.81": ("pyjpegls", "gdcm"),
    "1.2.840.10008.1.2.4.90": ("pylibjpeg", "gdcm"),  # JPEG 2000: 25 ms
    "1.2.840.10008.1.2.4.91": ("pylibjpeg", "gdcm"),
    "1.2.840.10008.1.2.4.201": ("pylibjpeg",),  # High-Throughput JPEG 2000
    "1.2.840.10008.1.2.4.202": ("pylibjpeg",),
    "1.2.840.10008.1.2.4.203": ("pylibjpeg",),
    "1.2.840.10008.1.2.5": ("pylibjpeg", "pydicom"),  # RLE: 0.4 ms
}
"""Decoding plugins of each compressed transfer syntax, fastest first; the first one installed is used.

Others are not tried on a file it can't decode: what one refuses as damaged makes another abort the process
(gdcm on JPEG-LS) or take all memory (pylibjpeg on JPEG and JPEG-LS, therefore not in the list).
"""

_JPEG = frozenset(f"1.2.840.10008.1.2.4.{number}" for number in (50, 51, 57, 70))


def read_dicom(path: str | os.PathLike, clip_id: str, pseudonym: Pseudonym) -> Clip:
    """Read a multi-frame X-ray angiogram, as `DicomClip.read` does."""
    with open_clip(path) as clip:
        return clip.read(clip_id, pseudonym)


@contextlib.contextmanager
def open_clip(path: str | os.PathLike) -> Iterator["DicomClip"]:
    """Open a DICOM file and read its header, both once.

    Raises DicomError if it is no DICOM file or its header is damaged; a file that merely can't be used says
    so when read.
    """
    path = Path(path)
    with contextlib.ExitStack() as stack:
        with reporting(path, "reading its header"):
            stream, syntax = stack.enter_context(open_dicom(path))
        yield DicomClip(path, stream, *read_header(path, stream, syntax))


class DicomClip:
    """An open DICOM file; `facts` is what its header says, whether or not the file can be used."""

    def __init__(self, path: Path, stream: BinaryIO, facts: Facts, header: Header | DicomError):
        self.facts = facts
        self._path, self._stream, self._header = path, stream, header

    @property
    def header(self) -> Header:
        """The checked header; raises DicomError if the file can't be used."""
        if isinstance(self._header, DicomError):
            raise self._header
        return self._header

    def read(self, clip_id: str, pseudonym: Pseudonym) -> Clip:
        """Read the clip; frames are decoded and rendered one at a time, so memory holds the uint8 ones alone.

        `pseudonym` turns the header's PatientID into what `Clip.patient_id` holds; it is not called if the
        file has none. Raises DicomError if the file is not a readable multi-frame XA clip: why, and what to
        do.
        """
        frames = self.frames()
        if len(frames) < 2:
            raise DicomError(
                f"{self._path} is a single frame.",
                "a run of at least 2 frames; key frames are chosen from the course of the contrast",
                "export the whole run.",
            )
        return Clip(
            clip_id=clip_id,
            frames=frames,
            frame_time_ms=self.facts.frame_time_ms,
            view=self.header.view,
            source_sha256=provenance.sha256_file(self._path),
            patient_id=self.patient(pseudonym),
            scale=source_to_frame(self.facts.rows, self.facts.cols).scale[0],
        )

    def patient(self, pseudonym: Pseudonym) -> str | None:
        """Pseudonym of the header's PatientID, None if it has none."""
        patient_id = self.header.patient_id
        return pseudonym(patient_id) if patient_id else None

    def frames(self) -> np.ndarray:
        """All frames as grey levels, uint8, shape (num_frames, 512, 512).

        If the file has more than 8 bits and no VOI, the smallest and the largest value of the whole clip
        become black and white, which takes a first pass over the frames. Raises DicomError as `stored` does.
        """
        num_frames, renderings = self.header.facts.num_frames, self.header.renderings
        renderings = renderings * (1 if len(renderings) > 1 else num_frames)
        value_range = None
        if any(rendering.needs_range for rendering in renderings):
            ends = [how.extent(stored) for how, stored in zip(renderings, self.stored(), strict=True)]
            low, high = zip(*[pair for pair in ends if pair is not None] or [(0, 0)], strict=True)
            value_range = min(low), max(high)
        frames = np.empty((num_frames, FRAME_SIZE, FRAME_SIZE), np.uint8)
        rendering, table = None, None
        for index, stored in enumerate(self.stored()):
            if not renderings:
                grey = cv2.cvtColor(stored, cv2.COLOR_RGB2GRAY) if stored.ndim == 3 else stored
            else:
                if renderings[index] != rendering:
                    rendering = renderings[index]
                    table = rendering.table(value_range)
                grey = intensity.apply_table(stored, table, rendering.lowest)
            frames[index] = intensity.to_frame(grey)
        return frames

    def stored(self) -> Iterator[np.ndarray]:
        """Yield the stored values of each frame, as decoded: (rows, cols) in uint8, uint16 or int16.

        Colour images are RGB, uint8 (rows, cols, 3); videos are grey levels. Raises DicomError if a frame
        can't be decoded or the number of frames is not the header's.
        """
        stated, count = self.header.facts.num_frames, 0
        doing = f"decoding its frames ({self.facts.transfer_syntax})"
        with contextlib.closing(_decoded(self._path, self._stream, self.header)) as frames:
            while True:
                with reporting(self._path, doing):
                    frame = next(frames, None)
                if frame is None:
                    break
                if count == stated:
                    raise wrong_count(self._path, stated, "more")
                count += 1
                yield frame
        if count < stated:
            raise wrong_count(self._path, stated, str(count))


def _decoded(path: Path, stream: BinaryIO, header: Header) -> Iterator[np.ndarray]:
    """Decoded frames by the first plugin installed for the transfer syntax."""
    syntax, plugin = header.syntax, ""
    if syntax.startswith(VIDEO_SYNTAXES):
        yield from _video(path, stream, header)
        return
    if UID(syntax).is_encapsulated:
        installed = get_decoder(syntax).available_plugins if syntax in PLUGINS else ()
        plugin = next((name for name in PLUGINS.get(syntax, ()) if name in installed), "")
        if not plugin:
            raise _undecodable(path, header, "no plugin")
    facts = header.facts
    options = {
        "transfer_syntax_uid": UID(syntax),
        "rows": facts.rows,
        "columns": facts.cols,
        "number_of_frames": facts.num_frames,
        "samples_per_pixel": header.samples,
        "photometric_interpretation": header.photometric,
        "planar_configuration": header.planar,
        "bits_allocated": header.bits_allocated,
        "bits_stored": header.bits_stored,
        "pixel_representation": int(bool(header.rendering and header.rendering.signed)),
        "pixel_keyword": "PixelData",
        "allow_excess_frames": False,
        **(header.frame_table or {}),
    }
    if header.pixels.vr:
        unknown = "OW" if header.bits_allocated > 8 else "OB"
        options["pixel_vr"] = unknown if header.pixels.vr == "UN" else header.pixels.vr
    if header.pixels.fragments and header.frame_table is None:
        stream.seek(header.pixels.first)
        stream = io.BytesIO(EMPTY_TABLE + stream.read())
    else:
        stream.seek(header.pixels.at)
    if plugin == "gdcm" and syntax in _JPEG:
        _check_jpegs(stream, header)
    decoder = get_decoder(syntax)
    if header.photometric == "YBR_FULL_422" and not plugin:
        # pydicom 3.0 takes every frame but the first of a call for YBR_FULL, and reads the wrong bytes
        each = (decoder.iter_array(stream, indices=[index], **options) for index in range(facts.num_frames))
        frames = itertools.chain.from_iterable(each)
    else:
        frames = decoder.iter_array(stream, decoding_plugin=plugin, **options)
    frames = (array for array, _ in frames)
    try:
        first = next(frames)
    except LIBRARY_ERRORS as problem:
        raise _undecodable(path, header, type(problem).__name__) from None
    yield first
    yield from frames


def _video(path: Path, stream: BinaryIO, header: Header) -> Iterator[np.ndarray]:
    """Frames of a video in a DICOM file: one bit stream, in one fragment or many (PS3.5 8.2.5 to 8.2.11)."""
    with tempfile.NamedTemporaryFile(prefix="stenoscope-", suffix=".video") as file:
        file.writelines(header.pixels.contents(stream))
        file.flush()
        container = known_container(Path(file.name))
        if container is None:
            raise DicomError(
                f"{path} can't be decoded: its transfer syntax is {header.facts.transfer_syntax}, but its "
                "pixel data is no such video.",
                "an MP4 file or a stream of MPEG-2, H.264 or HEVC",
                "export the run again, without compression or as JPEG.",
            )
        for frame in iter_video(Path(file.name), container, path):
            if frame.shape != (header.facts.rows, header.facts.cols):
                raise DicomError(
                    f"{path} holds a video of {frame.shape[0]} x {frame.shape[1]} pixels, but states "
                    f"{header.facts.rows} x {header.facts.cols}.",
                    "one size",
                    "export the run again.",
                )
            yield frame


def _check_jpegs(stream: BinaryIO, header: Header) -> None:
    """Refuse frames on which gdcm aborts the process."""
    facts, here = header.facts, stream.tell()
    table = (header.frame_table or {}).get("extended_offsets")
    for frame in generate_frames(stream, number_of_frames=facts.num_frames, extended_offsets=table):
        check_segments(frame, facts.rows, facts.cols, header.samples)
    stream.seek(here)


def _undecodable(path: Path, header: Header, why: str) -> DicomError:
    fix = "convert the file with `dcmdjpeg IN OUT` (DCMTK; 12-bit JPEG, too) or `gdcmconv --raw IN OUT`"
    if why == "no plugin" and header.syntax in PLUGINS:
        missing = [text for text in get_decoder(header.syntax).missing_dependencies if text]
        fix = f"install one of: {'; '.join(missing)}; or {fix}"
    return DicomError(
        f"{path} can't be decoded: transfer syntax {header.facts.transfer_syntax}, "
        f"{header.bits_stored} bits stored ({why}).",
        "a syntax and bit depth that a decoding plugin of pydicom reads",
        f"{fix}; or export it again without compression.",
    )
