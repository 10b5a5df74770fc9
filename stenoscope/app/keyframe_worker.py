"""What a worker process does with a clip in step 1: read it, choose its key frames, draw the sheet.

A worker writes what it made beside the output itself and returns a line at most, so that frames do not travel
between processes. It imports only what this takes: each worker process pays for its imports.
"""

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np

from stenoscope.app.keyframe_methods import choose
from stenoscope.data import pickles
from stenoscope.errors import DatasetError, DicomError
from stenoscope.imaging.intake import IntakeRow, Source, admit, quarantine
from stenoscope.imaging.readers import READERS
from stenoscope.keyframes.published import correct
from stenoscope.keyframes.sheet import draw_sheet
from stenoscope.records import KeyframeChoice
from stenoscope.run import provenance
from stenoscope.run.access import is_there
from stenoscope.run.cluster import Run, UnseenError

NO_CONTRAST = "No contrast injection was found in this clip."
LEFT_OUT = f"{NO_CONTRAST} To fix: leave it out; to use it anyway, --method moon2021 takes any clip."


@dataclass(frozen=True)
class Outcome:
    """What became of one source; all but `row` are None for a quarantined one.

    Attributes
    ----------
    row : IntakeRow
    choice : KeyframeChoice or None
        Without its fit and mask, which are on the sheet.
    frames : ndarray or None
        The key frames, uint8 (n, 512, 512).
    meta : dict or None
        frame_time_ms, view, source_sha256, scale and patient_id of the clip.
    frames_sha256, sheet_sha256 : str
        Of the frames' pixels, and of its sheet; empty if it has none.
    """

    row: IntakeRow
    choice: KeyframeChoice | None = None
    frames: np.ndarray | None = None
    meta: dict | None = None
    frames_sha256: str = ""
    sheet_sha256: str = ""

    def content(self) -> dict:
        """All but the frames, as plain data."""
        choice = None
        if self.choice is not None:
            names = ("method", "keyframes", "apex", "start", "end", "curve", "contrast", "confidence")
            choice = {name: getattr(self.choice, name) for name in names}
            choice["keyframes"] = [int(frame) for frame in self.choice.keyframes]
        return {
            "row": asdict(self.row),
            "choice": choice,
            "meta": self.meta,
            "frames_sha256": self.frames_sha256,
            "sheet_sha256": self.sheet_sha256,
        }

    @classmethod
    def of(cls, content: dict, frames: np.ndarray | None) -> "Outcome":
        """The outcome with this content."""
        choice, meta = content["choice"], content["meta"]
        if choice is not None:
            choice = KeyframeChoice(**{**choice, "keyframes": tuple(choice["keyframes"])})
            meta = {**meta, "view": tuple(meta["view"]) if meta["view"] else None}
        hashes = (content["frames_sha256"], content["sheet_sha256"])
        return cls(IntakeRow(**content["row"]), choice, frames, meta, *hashes)


def frames_sha256(frames: np.ndarray) -> str:
    """Hexadecimal SHA-256 of the pixels."""
    return hashlib.sha256(np.ascontiguousarray(frames)).hexdigest()


def process(
    job: tuple[Source, Path, tuple[int, ...], tuple[int, ...]],
    pseudonym,
    method: str,
    count: int,
    spread: bool,
    sheets: Path | None,
    run: Run | None = None,
) -> IntakeRow | None:
    """Read one clip, choose its key frames and write them to disk.

    Parameters
    ----------
    job : (Source, Path, tuple of int, tuple of int)
        The clip; the file to keep its outcome in; the key frames that its data set publishes; those that the
        user gave.
    pseudonym : callable, str to str
        Makes the patient id.
    method : str
    count : int
        Key frames to choose.
    spread : bool
    sheets : Path or None
        Folder of the sheets; None for none.
    run : Run, optional
        Whose output it writes: checked before.

    Returns
    -------
    IntakeRow or None
        None once the outcome is kept; the row of a clip that could not be read, which is tried again.

    Raises
    ------
    ClusterError
        If this machine does not see the output folder, or not the clip (`UnseenError`).
    """
    source, kept_at, published, corrected = job
    if run:
        run.check()
    for path in missing_files(source):
        raise UnseenError.of(path)
    cv2.setNumThreads(1)
    clip, row = admit(source, pseudonym)
    if clip is None:
        return row
    num_frames = len(clip.frames)
    choice = None
    try:
        choice = choose(clip.frames, method, spread, published, count)
    except DicomError as problem:
        if not corrected:
            return quarantine(row, problem.one_line)
    if corrected:
        if corrected[-1] >= num_frames:
            return quarantine(
                row,
                f"Key frame {corrected[-1]} was given, but the clip has frames 0 to {num_frames - 1}. "
                "To fix: correct the file of --corrections.",
            )
        choice = correct(choice, corrected, num_frames)
    sheet = b""
    if sheets:
        picture = draw_sheet(clip.frames, choice, clip.clip_id)
        sheet = cv2.imencode(".png", picture[..., ::-1])[1].tobytes()
        provenance.write_bytes(sheets / sheet_name(clip.clip_id), sheet)
    sheet_sha256 = hashlib.sha256(sheet).hexdigest() if sheet else ""
    if choice.contrast:
        meta = {
            "frame_time_ms": clip.frame_time_ms,
            "view": list(clip.view) if clip.view else None,
            "source_sha256": clip.source_sha256,
            "scale": clip.scale,
            "patient_id": clip.patient_id,
        }
        frames = clip.frames[list(choice.keyframes)]
        outcome = Outcome(row, choice, frames, meta, frames_sha256(frames), sheet_sha256)
    else:
        outcome = Outcome(quarantine(row, LEFT_OUT), sheet_sha256=sheet_sha256)
    seal({**outcome.content(), "frames": outcome.frames}, kept_at)
    return None


def sheet_name(clip_id: str) -> str:
    """Name of a clip's sheet in the folder of the sheets."""
    return f"{provenance.file_name(clip_id)}.png"


def missing_files(source: Source) -> list[Path]:
    """Files of a source that this machine does not see."""
    return [path for path in READERS[source.reader].files(source.path) if not is_there(path)]


def read_outcome(path: Path) -> Outcome:
    """Read what `process` kept of a clip.

    Raises
    ------
    DatasetError
        If the file is damaged.
    """
    kept = unseal(path)
    return Outcome.of(kept, kept["frames"])


def seal(content: dict, path: Path) -> None:
    """Write plain data with its hash."""
    kept = pickles.dumps(content)
    pickles.dump({"sha256": hashlib.sha256(kept).hexdigest(), "kept": kept}, path)


def unseal(path: Path) -> dict:
    """Read what `seal` wrote.

    Raises
    ------
    DatasetError
        If the file is damaged.
    """
    fix = "delete it and run the same command again: the clip is read once more."
    outer = pickles.load(path, fix)
    sealed = outer.get("kept") if isinstance(outer, dict) else None
    if not isinstance(sealed, bytes) or hashlib.sha256(sealed).hexdigest() != outer.get("sha256"):
        raise DatasetError(f"{path} is damaged.", "a clip's key frames as they were kept", fix)
    return pickles.loads(sealed, path, fix)
