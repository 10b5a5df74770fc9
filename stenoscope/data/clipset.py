"""`clips.pickle` and `clips.frames`: the key frames of all clips, their labels, and why they were chosen.

`clips.pickle` is a plain protocol-5 pickle (see `pickles`) of one dict; each clip has n key frames::

    schema         'stenoscope/clips'
    version        2
    frames         uint8 (n num_clips, 512, 512); key frame k of clip i is frames[n i + k]
    frames_sha256  of `clips.frames`, so that the hash of `clips.pickle` names both files
    method         key-frame method
    label_names    list of str
    labels         float32 (num_clips, num_labels); 0, 1 or NaN
    clip_ids, patient_ids, source_sha256             lists of str
    keyframes      int64 (num_clips, n), indices into the clip, from 0
    apex, num_frames                                 int64 (num_clips,)
    start, end                                       lists of int or None
    curves         list of float32 (num_frames,)
    frame_time_ms, view                              lists of float, of (float, float), or None
    scale          float64 (num_clips,), stored pixels per source pixel
    lesions        per clip a list of {'kind', 'severity', 'boxes'}; boxes float32 (n, 4), one a key frame, NaN
                   where the lesion is not marked in it

The data of `frames` is not in the pickle: it is an out-of-band buffer (PEP 574), and `clips.frames` holds its
bytes and nothing else. Anyone reads both with::

    with open("clips.pickle", "rb") as file:
        clips = pickle.load(file, buffers=[np.memmap("clips.frames", mode="r")])

Neither `ClipSetWriter` nor `ClipSet` ever holds more than one clip's frames in memory.
"""

import contextlib
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from stenoscope.data import pickles
from stenoscope.errors import DatasetError
from stenoscope.records import FRAME_SIZE, NO_ORIGIN, KeyframeChoice, Origin
from stenoscope.run import provenance
from stenoscope.run.commands import again
from stenoscope.settings import KeyframeSettings

FILE_NAME, FRAMES_NAME = "clips.pickle", "clips.frames"
SCHEMA = "stenoscope/clips"
VERSION = 2

_FRAME_SHAPE = (FRAME_SIZE, FRAME_SIZE)
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

    The fields are those of the file, as the head of this module lists them, and

    Attributes
    ----------
    frames : ndarray, uint8, shape (num_clips, n, 512, 512)
        Read-only. Key frame k of clip i is ``frames[i, k]``.
    patient_ids : list of str
        Empty where unknown (key frames without labels).
    sha256, frames_sha256 : str
        Of `clips.pickle`, which names the frames too, and of `clips.frames`.
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
    frames_sha256: str
    path: Path

    def __len__(self) -> int:
        return len(self.clip_ids)

    @property
    def num_keyframes(self) -> int:
        """Key frames of each clip: n."""
        return self.keyframes.shape[1]

    @classmethod
    def open(cls, folder: str | os.PathLike) -> "ClipSet":
        """Open the clips that step 1 wrote, with the frames mapped in place.

        The files are not hashed, which would take minutes for large sets; `verify` does.

        Raises
        ------
        DatasetError
            If the folder is not finished, its files are not the manifest's, or one is damaged.
        """
        path = Path(folder) / FILE_NAME
        manifest = provenance.read_manifest(folder, "keyframes", again(KeyframeSettings, folder))
        entry = manifest.get("clips", {})
        if not {"sha256", "frames_sha256", "frames_bytes"} <= entry.keys():
            raise DatasetError(
                f"{folder} was written by another version: its manifest does not name {FRAMES_NAME}.",
                "the entry 'clips' with sha256, frames_sha256 and frames_bytes",
                _run(path),
            )
        frames_path = path.with_name(FRAMES_NAME)
        for part in (path, frames_path):
            if not part.is_file():
                raise DatasetError(f"No {part}.", "the file beside its manifest", _run(path))
        size, expected = frames_path.stat().st_size, entry["frames_bytes"]
        if size != expected or not size:
            raise DatasetError(f"{frames_path} has {size} bytes.", f"{expected} bytes", _run(path))
        content = pickles.load(path, _run(path), [np.memmap(frames_path, np.uint8, "r")])
        return cls._build(path, content, entry["sha256"], entry["frames_sha256"])

    def verify(self) -> None:
        """Hash both files and compare them with the manifest's hashes.

        Raises
        ------
        DatasetError
            If one differs.
        """
        stated = {FILE_NAME: self.sha256, FRAMES_NAME: self.frames_sha256}
        provenance.check_outputs(self.path.parent, {"outputs": stated})

    @classmethod
    def _build(cls, path: Path, content: Any, sha256: str, frames_sha256: str) -> "ClipSet":
        """Check the content of the pickle and make the set."""
        if not isinstance(content, dict) or content.get("schema") != SCHEMA:
            raise DatasetError(f"{path} holds no clips.", f"schema '{SCHEMA}'", _run(path))
        if content.get("version") != VERSION:
            found = f"{path} has version {content.get('version')!r} of its schema."
            raise DatasetError(found, f"version {VERSION}", _run(path))
        if content.get("frames_sha256") != frames_sha256:
            raise _damaged(path, f"it belongs to another {FRAMES_NAME}")
        frames = content.get("frames")
        count = len(content["clip_ids"]) if isinstance(content.get("clip_ids"), list) else -1
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
        chosen = content["keyframes"]
        fits = isinstance(frames, np.ndarray) and frames.shape == (chosen.size, *_FRAME_SHAPE)
        if not fits or frames.dtype != np.uint8 or chosen.ndim != 2 or not chosen.size:
            raise _damaged(path, "frames and keyframes do not fit each other")
        if frames.flags.writeable:  # they are in the pickle
            raise _damaged(path, f"its frames are not those of {FRAMES_NAME}")
        frames = frames.reshape(*chosen.shape, *_FRAME_SHAPE)
        columns = {name: content[name] for name in (*_LISTS, *_ARRAYS)}
        columns |= {"frames": frames, "label_names": names, "method": str(content.get("method"))}
        return cls(sha256=sha256, frames_sha256=frames_sha256, path=path, **columns)


class ClipSetWriter:
    """Writes `clips.frames`, clip by clip, then `clips.pickle`, at constant memory; a context manager.

    On leaving without an exception the files get their names, and `entry` holds what the manifest must say of
    them. On an exception nothing is left behind.

    Parameters
    ----------
    folder : path
        Where the two files go.
    method : str
        Key-frame method.
    label_names : sequence of str
        May be empty (key frames without labels).

    Examples
    --------
    >>> with ClipSetWriter(folder, "opacification", ["label"]) as writer:  # doctest: +SKIP
    ...     writer.add("p1/c1", "p1", [1.0], choice, frames)
    >>> writer.entry  # doctest: +SKIP
    {'sha256': '...', 'frames_sha256': '...', 'frames_bytes': 1310720}
    """

    def __init__(self, folder: str | os.PathLike, method: str, label_names: Sequence[str] = ("label",)):
        self.path = Path(folder) / FILE_NAME
        self.entry: dict[str, Any] = {}
        self._names = [str(name) for name in label_names]
        self._fixed = {"method": str(method), "label_names": self._names}
        self._columns: dict[str, list] = {name: [] for name in (*_LISTS, *_ARRAYS)}
        self._seen: set[str] = set()
        self._sha256 = hashlib.sha256()
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> "ClipSetWriter":
        frames_path = self.path.with_name(FRAMES_NAME)
        self._temporary = self._stack.enter_context(provenance.atomic_path(frames_path))
        self._stream = self._stack.enter_context(self._temporary.open("wb"))
        return self

    def __exit__(self, kind, problem, trace) -> None:
        if kind is not None:
            self._stack.__exit__(kind, problem, trace)
            return
        with self._stack:  # renames the files or, on an exception, removes them
            self._finish()

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
        origin: Origin = NO_ORIGIN,
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
        frames : ndarray, uint8, shape (n, 512, 512)
            The key frames, in the order of ``choice.keyframes``; as many of each clip.
        lesions : sequence of dict
            ``kind`` (str), ``severity`` (float, NaN unknown) and ``boxes`` (n boxes [x0, y0, x1, y1]).
        origin : Origin

        Raises
        ------
        DatasetError
            If the clip id was added before.
        ValueError
            If shapes or dtypes are not as said.
        """
        frames = np.asarray(frames)
        count = len((self._columns["keyframes"] or [choice.keyframes])[0])  # as of the first clip
        if frames.dtype != np.uint8 or frames.shape != (count, *_FRAME_SHAPE):
            raise ValueError(f"frames are {frames.dtype} {frames.shape}, not uint8 ({count}, 512, 512)")
        if len(choice.keyframes) != count or len(labels) != len(self._names):
            raise ValueError(f"not {count} key frames, or not as many labels as label_names")
        if clip_id in self._seen:
            raise DatasetError(f"Two clips with the id {clip_id}.", "one", "rename one of them.")
        row = {
            "clip_ids": str(clip_id),
            "patient_ids": str(patient_id or ""),
            "source_sha256": str(origin.source_sha256),
            "start": None if choice.start is None else int(choice.start),
            "end": None if choice.end is None else int(choice.end),
            "curves": np.asarray(choice.curve, np.float32),
            "frame_time_ms": None if origin.frame_time_ms is None else float(origin.frame_time_ms),
            "view": None if origin.view is None else tuple(map(float, origin.view)),
            "lesions": [_lesion(lesion, count) for lesion in lesions],
            "labels": [float(value) for value in labels],
            "keyframes": [int(index) for index in choice.keyframes],
            "apex": int(choice.apex),
            "num_frames": len(choice.curve),
            "scale": float(origin.scale),
        }
        self._seen.add(clip_id)
        frames = np.ascontiguousarray(frames)
        self._stream.write(frames)
        self._sha256.update(frames)
        for name, value in row.items():
            self._columns[name].append(value)

    def _finish(self) -> None:
        """Write the pickle, with the frames as its buffer."""
        count = len(self)
        if not count:
            raise DatasetError(
                f"No clip to write to {self.path}.",
                "at least one readable clip",
                "see the reasons in intake.csv.",
            )
        self._stream.flush()
        rest = {**self._fixed, **self._columns}
        for name, dtype in _ARRAYS.items():
            rest[name] = np.asarray(self._columns[name], dtype)
        rest["labels"] = rest["labels"].reshape(count, len(self._names))
        frames = np.memmap(self._temporary, np.uint8, "r").view(np.ndarray).reshape(-1, *_FRAME_SHAPE)
        frames_sha256 = self._sha256.hexdigest()
        head = {"schema": SCHEMA, "version": VERSION, "frames": frames, "frames_sha256": frames_sha256}
        data = pickles.dumps({**head, **rest}, frames)
        self._stack.enter_context(provenance.atomic_path(self.path)).write_bytes(data)
        self.entry = {
            "sha256": hashlib.sha256(data).hexdigest(),
            "frames_sha256": frames_sha256,
            "frames_bytes": frames.nbytes,
        }


def _lesion(lesion: dict, count: int) -> dict:
    boxes = np.asarray(lesion["boxes"], np.float32)
    if boxes.shape != (count, 4):
        raise ValueError(f"boxes of a lesion have shape {boxes.shape}, not ({count}, 4)")
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
