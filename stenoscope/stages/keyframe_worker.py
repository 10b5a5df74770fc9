"""What a worker process does with a clip in step 1: read it, choose its key frames, draw the sheet.

A worker writes what it made beside the output itself and returns a line at most, so that frames do not travel
between processes. It imports only what this takes: each worker process pays for its imports.
"""

import hashlib
import io
import pickle
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np

from stenoscope import provenance
from stenoscope.access import is_there
from stenoscope.cluster import Run, UnseenError
from stenoscope.dataset import plain_pickle
from stenoscope.errors import DatasetError, DicomError
from stenoscope.imaging.intake import admit, quarantine
from stenoscope.imaging.inventory import IntakeRow, Source
from stenoscope.imaging.readers import READERS
from stenoscope.keyframes.published import PUBLISHED, choose_published
from stenoscope.keyframes.registry import choose
from stenoscope.keyframes.sheet import draw_sheet
from stenoscope.records import KeyframeChoice

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
        The five key frames, uint8 (5, 512, 512).
    meta : dict or None
        frame_time_ms, view, source_sha256, scale and patient_id of the clip.
    """

    row: IntakeRow
    choice: KeyframeChoice | None = None
    frames: np.ndarray | None = None
    meta: dict | None = None


def process(
    job: tuple[Source, Path, str, tuple[int, ...]],
    pseudonym,
    method: str,
    spread: bool,
    sheets: Path | None,
    run: Run | None = None,
) -> IntakeRow | None:
    """Read one clip, choose its key frames and write them to disk.

    Parameters
    ----------
    job : (Source, Path, str, tuple of int)
        The clip; the file to keep its outcome in; what the sheet says of its label; the key frames that its
        data set publishes.
    pseudonym : callable, str to str
        Makes the patient id.
    method : str
    spread : bool
    sheets : Path or None
        Folder of the sheets; None for none.
    run : Run, optional
        Whose output it writes: checked before.

    Returns
    -------
    IntakeRow or None
        None once the outcome is kept; the row of a clip that is quarantined.

    Raises
    ------
    ClusterError
        If this machine does not see the output folder, or not the clip (`UnseenError`).
    """
    source, kept_at, caption, published = job
    if run:
        run.check()
    for path in missing_files(source):
        raise UnseenError.of(path)
    cv2.setNumThreads(1)
    clip, row = admit(source, pseudonym)
    if clip is None:
        return row
    try:
        if method == PUBLISHED:
            choice = choose_published(published, len(clip.frames))
        else:
            choice = choose(clip.frames, method, spread)
    except DicomError as problem:
        return quarantine(row, problem.one_line)
    if sheets:
        picture = draw_sheet(clip.frames, choice, clip.clip_id, caption)
        encoded = cv2.imencode(".png", picture[..., ::-1])[1].tobytes()
        provenance.write_bytes(sheets / f"{provenance.file_name(clip.clip_id)}.png", encoded)
    if not choice.contrast:
        return quarantine(row, LEFT_OUT)
    names = ("method", "keyframes", "apex", "start", "end", "curve", "contrast", "confidence")
    chosen = {name: getattr(choice, name) for name in names}
    chosen["keyframes"] = [int(frame) for frame in choice.keyframes]
    meta = {
        "frame_time_ms": clip.frame_time_ms,
        "view": list(clip.view) if clip.view else None,
        "source_sha256": clip.source_sha256,
        "scale": clip.scale,
        "patient_id": clip.patient_id,
    }
    frames = clip.frames[list(choice.keyframes)]
    content = {"row": asdict(row), "choice": chosen, "frames": frames, "meta": meta}
    kept = pickle.dumps(plain_pickle.plain(content), plain_pickle.PROTOCOL)
    plain_pickle.dump({"sha256": hashlib.sha256(kept).hexdigest(), "kept": kept}, kept_at)
    return None


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
    outer = plain_pickle.load(path)
    sealed = outer.get("kept") if isinstance(outer, dict) else None
    if not isinstance(sealed, bytes) or hashlib.sha256(sealed).hexdigest() != outer.get("sha256"):
        fix = "delete it and run the same command again: the clip is read once more."
        raise DatasetError(f"{path} is damaged.", "a clip's key frames as they were kept", fix)
    kept = plain_pickle.load_stream(io.BytesIO(sealed), path)
    choice = KeyframeChoice(**{**kept["choice"], "keyframes": tuple(kept["choice"]["keyframes"])})
    view = kept["meta"]["view"]
    meta = {**kept["meta"], "view": tuple(view) if view else None}
    return Outcome(IntakeRow(**kept["row"]), choice, kept["frames"], meta)
