"""`clips.pickle`: the key frames of all clips, with their labels and the evidence for their choice.

The file is a plain protocol-5 pickle (see `plain_pickle`) of one dict::

    schema        'stenoscope/clips'
    version       1
    frames        uint8 (5 num_clips, 512, 512); key frame k of clip i is frames[5 i + k]
    method        key-frame method
    label_names   list of str
    labels        float32 (num_clips, num_labels); 0, 1 or NaN
    clip_ids, patient_ids, source_sha256             lists of str
    keyframes     int64 (num_clips, 5), indices into the clip, from 0
    apex, num_frames                                 int64 (num_clips,)
    start, end                                       lists of int or None
    curves        list of float32 (num_frames,)
    frame_time_ms, view                              lists of float, of (float, float), or None
    scale         float64 (num_clips,), stored pixels per source pixel
    lesions       per clip a list of {'kind', 'severity', 'boxes'}; boxes float32 (5, 4), one a key frame, NaN
                  where the lesion is not marked in it

Protocol 5 writes a large array's bytes in one piece. `ClipSetWriter` puts them into the file as the clips
come and the rest of the pickle around them at the end; `ClipSet` reads the rest and maps the frames in place.
Neither ever holds more than one clip's frames in memory.
"""

import contextlib
import io
import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from stenoscope.run import provenance
from stenoscope.run.commands import again
from stenoscope.data import plain_pickle
from stenoscope.errors import DatasetError
from stenoscope.records import FRAME_SIZE, KEYFRAMES_PER_CLIP, KeyframeChoice
from stenoscope.settings import KeyframeSettings

FILE_NAME = "clips.pickle"
SCHEMA = "stenoscope/clips"
VERSION = 1

_FRAME_SHAPE = (FRAME_SIZE, FRAME_SIZE)
_FRAME_BYTES = FRAME_SIZE * FRAME_SIZE
_BYTEARRAY8 = b"\x96"  # opcode before the frames: then their length in 8 bytes, then themselves
_MAX_TAIL = 4 << 30  # bytes of everything but the frames that `ClipSet` is ready to read
_LISTS = (
    "clip_ids", "patient_ids", "source_sha256", "start", "end", "curves", "frame_time_ms", "view", "lesions",
)  # fmt: skip
_ARRAYS = {
    "labels": np.float32,
    "keyframes": np.int64,
    "apex": np.int64,
    "num_frames": np.int64,
    "scale": np.float64,
}


@dataclass(frozen=True)
class ClipSet:
    """The key frames of all clips, frames memory-mapped, everything else in memory.

    Attributes
    ----------
    frames : ndarray, uint8, shape (5 num_clips, 512, 512)
        Read-only. Key frame k of clip i is ``frames[5 * i + k]``.
    clip_ids, patient_ids : list of str
        `patient_ids` are empty where unknown (key frames without labels).
    labels : ndarray, float32, shape (num_clips, num_labels)
        0, 1, or NaN for unknown.
    label_names : list of str
    keyframes : ndarray, int64, shape (num_clips, 5)
        Indices into the clip, from 0.
    apex, num_frames : ndarray, int64, shape (num_clips,)
    start, end : list of int or None
    curves : list of ndarray, float32, shape (num_frames,)
    lesions : list of list of dict
        Per clip: ``kind``, ``severity`` and ``boxes``, float32 (5, 4), [x0, y0, x1, y1] in each key frame.
    frame_time_ms : list of float or None
    view : list of tuple of float or None
    scale : ndarray, float64, shape (num_clips,)
    source_sha256 : list of str
    method : str
    sha256 : str
        Of the file, by the manifest; empty for a set from `load`.
    path : Path
    """

    frames: np.ndarray = field(repr=False)
    clip_ids: list[str]
    patient_ids: list[str]
    labels: np.ndarray
    label_names: list[str]
    keyframes: np.ndarray
    apex: np.ndarray
    num_frames: np.ndarray
    start: list[int | None]
    end: list[int | None]
    curves: list[np.ndarray] = field(repr=False)
    lesions: list[list[dict]] = field(repr=False)
    frame_time_ms: list[float | None]
    view: list[tuple[float, float] | None]
    scale: np.ndarray
    source_sha256: list[str] = field(repr=False)
    method: str
    sha256: str
    path: Path

    def __len__(self) -> int:
        return len(self.clip_ids)

    def clip_frames(self, index: int) -> np.ndarray:
        """The key frames of clip `index`, uint8 (5, 512, 512)."""
        return self.frames[KEYFRAMES_PER_CLIP * index : KEYFRAMES_PER_CLIP * (index + 1)]

    @classmethod
    def open(cls, folder: str | os.PathLike) -> "ClipSet":
        """Open the clips that step 1 wrote, with the frames mapped in place.

        The whole file is not hashed, which would take minutes for large sets; `verify` does.

        Raises
        ------
        DatasetError
            If the folder is not finished, the file is not the manifest's, or it is damaged.
        """
        path = Path(folder) / FILE_NAME
        manifest = provenance.read_manifest(folder, "keyframes", again(KeyframeSettings, folder))
        entry = manifest.get("clips")
        try:
            sha256, offset = str(entry["sha256"]), int(entry["frames_offset"])
            shape = tuple(int(length) for length in entry["frames_shape"])
        except (TypeError, KeyError, ValueError):
            raise DatasetError(
                f"The manifest of {folder} does not say where the frames of {FILE_NAME} are.",
                "the entry 'clips' with sha256, frames_offset and frames_shape",
                _run(path),
            ) from None
        return cls._map(path, offset, shape, sha256)

    @classmethod
    def load(cls, path: str | os.PathLike) -> "ClipSet":
        """Read a `clips.pickle` that lies without its manifest, whole into memory.

        Raises
        ------
        DatasetError
            If it is missing, damaged, or not plain data.
        """
        content = plain_pickle.load(path)
        return cls._build(
            Path(path), content, content.get("frames") if isinstance(content, dict) else None, ""
        )

    def verify(self) -> None:
        """Hash the whole file and compare it with the manifest's hash.

        Raises
        ------
        DatasetError
            If they differ.
        """
        found = provenance.sha256_file(self.path)
        if self.sha256 and found != self.sha256:
            raise provenance.damaged(self.path, found, self.sha256)

    @classmethod
    def _map(cls, path: Path, offset: int, shape: tuple[int, ...], sha256: str) -> "ClipSet":
        """Read everything but the frames, and map those."""
        if len(shape) != 3 or shape[1:] != _FRAME_SHAPE or shape[0] < 0 or offset < 9:
            raise _damaged(path, f"the manifest says frames of shape {shape} at {offset}")
        num_bytes = shape[0] * _FRAME_BYTES
        try:
            with path.open("rb") as stream:
                size = stream.seek(0, os.SEEK_END)
                if not offset + num_bytes < size <= offset + num_bytes + _MAX_TAIL:
                    raise _damaged(path, f"it has {size} bytes, which does not fit its manifest")
                stream.seek(0)
                head = stream.read(offset)
                stream.seek(offset + num_bytes)
                tail = stream.read()
        except FileNotFoundError:
            raise DatasetError(f"No {path}.", "the file beside its manifest", _run(path)) from None
        if head[-9:] != _BYTEARRAY8 + struct.pack("<Q", num_bytes):
            raise _damaged(path, f"its frames do not begin at {offset}")
        rest = io.BytesIO(head[:-8] + bytes(8) + tail)  # the same pickle with 0 bytes of frames
        content = plain_pickle.load_stream(rest, path, missing_data=True)
        frames = np.memmap(path, np.uint8, "r", offset, shape) if shape[0] else np.empty(shape, np.uint8)
        return cls._build(path, content, frames, sha256)

    @classmethod
    def _build(cls, path: Path, content: Any, frames: Any, sha256: str) -> "ClipSet":
        """Check the content of the pickle and make the set."""
        if not isinstance(content, dict) or content.get("schema") != SCHEMA:
            raise DatasetError(f"{path} holds no clips.", f"schema '{SCHEMA}'", _run(path))
        if content.get("version") != VERSION:
            raise DatasetError(
                f"{path} has version {content.get('version')!r} of its schema.",
                f"version {VERSION}",
                f"it is of another release: {_run(path)}",
            )
        count = len(content["clip_ids"]) if isinstance(content.get("clip_ids"), list) else -1
        shape = (KEYFRAMES_PER_CLIP * count, *_FRAME_SHAPE)
        if not isinstance(frames, np.ndarray) or frames.dtype != np.uint8 or frames.shape != shape:
            raise _damaged(path, "frames and clip_ids do not fit each other")
        for name in _LISTS:
            if not isinstance(content.get(name), list) or len(content[name]) != count:
                raise _damaged(path, f"{name} is not a list of one entry a clip")
        for name, dtype in _ARRAYS.items():
            value = content.get(name)
            if not isinstance(value, np.ndarray) or value.dtype != dtype or value.shape[:1] != (count,):
                raise _damaged(path, f"{name} is not an array of one row a clip")
        names = content.get("label_names")
        if not isinstance(names, list) or content["labels"].shape != (count, len(names)):
            raise _damaged(path, "labels and label_names do not fit each other")
        if content["keyframes"].shape != (count, KEYFRAMES_PER_CLIP):
            raise _damaged(path, "keyframes does not have five columns")
        frames.flags.writeable = False
        columns = {name: content[name] for name in (*_LISTS, *_ARRAYS)}
        method = str(content.get("method"))
        return cls(frames=frames, label_names=names, method=method, sha256=sha256, path=path, **columns)


class ClipSetWriter:
    """Writes a `clips.pickle`, clip by clip, at constant memory; a context manager.

    On leaving without an exception the file gets its name, and `entry` holds what the manifest must say of
    it. On an exception nothing is left behind.

    Parameters
    ----------
    folder : path
        The file is ``folder/clips.pickle``.
    method : str
        Key-frame method.
    label_names : sequence of str
        May be empty (key frames without labels).

    Examples
    --------
    >>> with ClipSetWriter(folder, "opacification", ["label"]) as writer:  # doctest: +SKIP
    ...     writer.add("p1/c1", "p1", [1.0], choice, frames, num_frames=len(clip.frames))
    >>> writer.entry  # doctest: +SKIP
    {'sha256': '...', 'frames_offset': 126, 'frames_shape': [5, 512, 512]}
    """

    def __init__(self, folder: str | os.PathLike, method: str, label_names: Sequence[str] = ("label",)):
        self.path = Path(folder) / FILE_NAME
        self.entry: dict[str, Any] = {}
        self._names = [str(name) for name in label_names]
        self._fixed = {"method": str(method), "label_names": self._names}
        self._columns: dict[str, list] = {name: [] for name in (*_LISTS, *_ARRAYS)}
        self._seen: set[str] = set()
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> "ClipSetWriter":
        self._temporary = self._stack.enter_context(provenance.atomic_path(self.path))
        self._stream = self._stack.enter_context(self._temporary.open("wb"))
        self._offset = len(_around(np.zeros(1 << 20, np.uint8), {})[0])  # for any number of frames
        self._stream.write(bytes(self._offset))
        return self

    def __exit__(self, kind, problem, trace) -> None:
        if kind is not None:
            self._stack.__exit__(kind, problem, trace)
            return
        with self._stack:  # closes the stream, then renames the file or, on an exception, removes it
            self._finish()
        self.entry["sha256"] = provenance.sha256_file(self.path)

    def __len__(self) -> int:
        return len(self._columns["clip_ids"])

    def add(
        self,
        clip_id: str,
        patient_id: str | None,
        labels: Sequence[float],
        choice: KeyframeChoice,
        frames: np.ndarray,
        lesions: Sequence[dict] = (),
        *,
        frame_time_ms: float | None = None,
        view: tuple[float, float] | None = None,
        source_sha256: str = "",
        scale: float = 1.0,
    ) -> None:
        """Append one clip.

        Parameters
        ----------
        clip_id : str
        patient_id : str or None
        labels : sequence of float, length num_labels
            0, 1 or NaN.
        choice : KeyframeChoice
            Its curve has one value a frame of the clip.
        frames : ndarray, uint8, shape (5, 512, 512)
            The key frames, in the order of ``choice.keyframes``.
        lesions : sequence of dict
            ``kind`` (str), ``severity`` (float, NaN unknown) and ``boxes`` (5 boxes [x0, y0, x1, y1]).
        frame_time_ms, view, source_sha256, scale
            As in `records.Clip`.

        Raises
        ------
        DatasetError
            If the clip id was added before.
        ValueError
            If shapes or dtypes are not as said.
        """
        frames = np.asarray(frames)
        if frames.dtype != np.uint8 or frames.shape != (KEYFRAMES_PER_CLIP, *_FRAME_SHAPE):
            raise ValueError(f"frames are {frames.dtype} {frames.shape}, not uint8 (5, 512, 512)")
        if len(choice.keyframes) != KEYFRAMES_PER_CLIP or len(labels) != len(self._names):
            raise ValueError("not five key frames, or not as many labels as label_names")
        if clip_id in self._seen:
            raise DatasetError(f"Two clips with the id {clip_id}.", "one", "rename one of them.")
        row = {
            "clip_ids": str(clip_id),
            "patient_ids": str(patient_id or ""),
            "source_sha256": str(source_sha256),
            "start": None if choice.start is None else int(choice.start),
            "end": None if choice.end is None else int(choice.end),
            "curves": np.asarray(choice.curve, np.float32),
            "frame_time_ms": None if frame_time_ms is None else float(frame_time_ms),
            "view": None if view is None else (float(view[0]), float(view[1])),
            "lesions": [_lesion(lesion) for lesion in lesions],
            "labels": [float(value) for value in labels],
            "keyframes": [int(index) for index in choice.keyframes],
            "apex": int(choice.apex),
            "num_frames": len(choice.curve),
            "scale": float(scale),
        }
        self._seen.add(clip_id)
        self._stream.write(np.ascontiguousarray(frames))
        for name, value in row.items():
            self._columns[name].append(value)

    def _finish(self) -> None:
        """Write the pickle around the frames."""
        count = len(self)
        if not count:
            raise DatasetError(
                f"No clip to write to {self.path}.",
                "at least one readable clip",
                "see the reasons in intake.csv.",
            )
        self._stream.flush()
        shape = (KEYFRAMES_PER_CLIP * count, *_FRAME_SHAPE)
        rest = {**self._fixed, **self._columns}
        for name, dtype in _ARRAYS.items():
            rest[name] = np.asarray(self._columns[name], dtype)
        rest["labels"] = rest["labels"].reshape(count, len(self._names))
        # Writable, as protocol 5 writes read-only data with another opcode; nothing is written through it.
        frames = np.memmap(self._temporary, np.uint8, "r+", self._offset, shape)
        head, tail = _around(frames.view(np.ndarray), rest)
        if len(head) != self._offset:
            raise RuntimeError("the pickle's head does not have the length that was reserved")
        self._stream.write(tail)
        self._stream.seek(0)
        self._stream.write(head)
        self._stream.flush()
        self.entry = {"sha256": "", "frames_offset": self._offset, "frames_shape": list(shape)}


def _around(frames: np.ndarray, rest: dict) -> tuple[bytes, bytes]:
    """What the file holds before and after the frames."""
    content = {"schema": SCHEMA, "version": VERSION, "frames": frames, **rest}
    return plain_pickle.dump_around(content, frames.nbytes)


def _lesion(lesion: dict) -> dict:
    boxes = np.asarray(lesion["boxes"], np.float32)
    if boxes.shape != (KEYFRAMES_PER_CLIP, 4):
        raise ValueError(f"boxes of a lesion have shape {boxes.shape}, not (5, 4)")
    return {
        "kind": str(lesion.get("kind", "")),
        "severity": float(lesion.get("severity", np.nan)),
        "boxes": boxes,
    }


def _run(path: Path) -> str:
    return f"run `{again(KeyframeSettings, path.parent, overwrite=path.parent.is_dir())}`."


def _damaged(path: Path, what: str) -> DatasetError:
    return DatasetError(
        f"{path} is damaged or was changed: {what}.",
        "the file as step 1 wrote it",
        f"to make it again, {_run(path)}",
    )
