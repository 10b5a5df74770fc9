"""Step 1: read every clip, choose its key frames, write `clips.pickle` and what explains it.

Clips are read and scored in worker processes; each finished one is kept in `.work/` until the pickle is
written, so that an interrupted run goes on where it stopped. A clip that can't be used is quarantined with
its reason and never stops the others.
"""

import csv
import io
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from stenoscope import __version__, provenance
from stenoscope.cli import finish, progress, say
from stenoscope.dataset import plain_pickle
from stenoscope.dataset.clipset import ClipSetWriter
from stenoscope.dataset.labels import LabelTable, labels_from_folders, match_labels, read_labels
from stenoscope.dataset.truth import keyframe_lesions, read_truth
from stenoscope.errors import DatasetError, DicomError, unknown_name
from stenoscope.executors import crashed, executor, map_ordered
from stenoscope.imaging.intake import (
    IntakeRow,
    Inventory,
    Source,
    admit,
    discover,
    missing_clip,
    patient_of,
    quarantine,
    refuse,
    to_csv,
)
from stenoscope.imaging.pseudonyms import Pseudonymizer
from stenoscope.keyframes.registry import METHODS, choose
from stenoscope.keyframes.sheet import draw_sheet
from stenoscope.records import KeyframeChoice
from stenoscope.settings import KeyframeSettings

COLUMNS = ("clip_id", "patient_id", "label", "num_frames", "method", "start", "apex", "end", "keyframes")
"""Columns of keyframes.csv."""

NO_CONTRAST = "No passage of contrast through vessels was found in this clip."
UNLABELLED = "No label for this clip. To fix: add a line clip_id,patient_id,label."
CRASHED = (
    "The process that read this clip was killed, twice: by a crash of the decoder, or for want of memory. To "
    "fix: convert the file to an uncompressed transfer syntax."
)

_WORK = ".work"


@dataclass(frozen=True)
class Outcome:
    """What a worker made of one source; `choice`, `frames` and `sheet` are None for a quarantined one.

    Attributes
    ----------
    row : IntakeRow
    choice : KeyframeChoice or None
    frames : ndarray or None
        The five key frames, uint8 (5, 512, 512).
    sheet : bytes or None
        PNG.
    meta : dict
        frame_time_ms, view, source_sha256, scale and patient_id of the clip.
    """

    row: IntakeRow
    choice: KeyframeChoice | None = None
    frames: np.ndarray | None = None
    sheet: bytes | None = None
    meta: dict | None = None


def make_keyframes(settings: KeyframeSettings) -> None:
    """Read the clips, choose the key frames, write the folder that step 2 reads; resumes after an interrupt.

    Raises
    ------
    DatasetError
        If there is no clip, no usable clip, or the labels are faulty.
    """
    if settings.method not in METHODS:
        raise unknown_name("key-frame method", settings.method, METHODS)
    found = discover(settings.input)
    pseudonym = Pseudonymizer(settings.pseudonym_key)
    labels, labels_from = _labels(settings, found, pseudonym)
    truth_path = _truth_path(settings)
    truth = read_truth(truth_path) if truth_path else {}
    output = Path(settings.output)
    fingerprints = {source.clip_id: provenance.quick_hash(source.path) for source in found.sources}
    inputs = {
        "clips": provenance.sha256_json(fingerprints),
        "labels": provenance.sha256_file(labels_from) if isinstance(labels_from, Path) else labels_from,
        "truth": provenance.sha256_file(truth_path) if truth_path else "none",
        "pseudonym key": pseudonym.fingerprint,
    }
    if provenance.claim(output, "keyframes", settings, inputs, settings.overwrite):
        say(f"{output} is up to date; nothing to do.")
    else:
        rows = list(found.rows)
        names = labels.label_names if labels else []
        row_of: dict[str, int] = {}
        sources = found.sources
        if labels:
            row_of, missing, unlabelled = match_labels(labels, [source.clip_id for source in sources])
            doubled = {row.clip_id for row in found.rows}
            rows += [missing_clip(clip_id) for clip_id in missing if clip_id not in doubled]
            unlabelled = set(unlabelled)
            rows += [refuse(source, UNLABELLED) for source in sources if source.clip_id in unlabelled]
            sources = [source for source in sources if source.clip_id in row_of]
        table = []
        with ClipSetWriter(output, settings.method, names) as writer:
            for source, outcome in _outcomes(sources, settings, pseudonym, fingerprints, labels, row_of):
                rows.append(outcome.row)
                if outcome.choice is None:
                    continue
                meta = dict(outcome.meta)
                patient = meta.pop("patient_id")
                values = []
                if labels:
                    patient = labels.patient_ids[row_of[source.clip_id]]
                    values = labels.labels[row_of[source.clip_id]].tolist()
                lesions = keyframe_lesions(
                    truth.get(source.clip_id),
                    outcome.choice.keyframes,
                    f"{truth_path}, clip {source.clip_id!r}",
                )
                writer.add(source.clip_id, patient, values, outcome.choice, outcome.frames, lesions, **meta)
                table.append(_line(source.clip_id, patient, values, outcome.choice))
            provenance.write_text(output / "intake.csv", to_csv(rows))
            if not table:
                raise _nothing_usable(settings.input, rows)
        provenance.write_text(output / "keyframes.csv", _csv(table))
        provenance.write_manifest(
            output,
            "keyframes",
            {**asdict(settings), "labels_from": str(labels_from)},
            inputs,
            _counts(rows, table),
            clips=writer.entry,
            outputs={"keyframes.csv": provenance.sha256_file(output / "keyframes.csv")},
        )
        shutil.rmtree(output / _WORK, ignore_errors=True)
    _show(settings, output, bool(labels))


def _labels(settings: KeyframeSettings, found: Inventory, pseudonym) -> tuple[LabelTable | None, Path | str]:
    """The labels and where they come from: a path, 'folders' or 'none'; 'auto' says what it chose."""
    by_id = {source.clip_id: source for source in found.sources}
    choice: Path | str = settings.labels
    if settings.labels == "auto":
        root = Path(settings.input)
        if (root / "labels.csv").is_file():
            choice = root / "labels.csv"
        elif any(clip_id.split("/")[0] in ("N", "A") and "/" in clip_id for clip_id in by_id):
            choice = "folders"
        else:
            raise DatasetError(
                f"{root} has no labels.csv and no folders N/ and A/.",
                "a label for every clip",
                "write a CSV file clip_id,patient_id,label and give it with --labels FILE, sort the clips "
                "into N/ (normal) and A/ (abnormal), or use --labels none for key frames only.",
            )
        say(f"Labels from {choice if isinstance(choice, Path) else 'the folders N/ and A/'}.")
    if choice == "none":
        return None, "none"
    if choice == "folders":
        return labels_from_folders(by_id, lambda clip_id: patient_of(by_id[clip_id], pseudonym)), "folders"
    return read_labels(choice), Path(choice)


def _truth_path(settings: KeyframeSettings) -> Path | None:
    if settings.truth == "auto":
        path = Path(settings.input) / "truth.json"
        return path if path.is_file() else None
    return None if settings.truth == "none" else Path(settings.truth)


def _outcomes(
    sources: list[Source], settings: KeyframeSettings, pseudonym, fingerprints: dict, labels, row_of: dict
) -> Iterator[tuple[Source, Outcome]]:
    """Yield every source with its outcome, in order: from `.work/` if an earlier run made it, or computed."""
    output = Path(settings.output)

    def kept_at(source: Source) -> Path:
        how = [settings.method, settings.spread, settings.sheets, __version__]
        key = provenance.sha256_json([source.clip_id, fingerprints[source.clip_id], *how])
        return output / _WORK / f"{key}.pickle"

    missing = [source for source in sources if not kept_at(source).exists()]
    if len(missing) < len(sources):
        say(f"Resuming: {len(sources) - len(missing)} of {len(sources)} clips are done.")
    caption = {clip_id: _caption(labels.labels[row, 0]) for clip_id, row in row_of.items()} if labels else {}
    work = partial(
        process,
        pseudonym=pseudonym,
        method=settings.method,
        spread=settings.spread,
        sheets=settings.sheets,
        captions=caption,
    )
    with (
        executor(settings.workers, settings.dask_scheduler) as pool,
        progress("key frames", len(sources)) as step,
    ):
        computed = map_ordered(pool, work, missing)
        for source in sources:
            path = kept_at(source)
            if path.exists():
                outcome = _unpack(plain_pickle.load(path))
            else:
                _, future = next(computed)
                outcome = Outcome(refuse(source, CRASHED)) if crashed(future) else future.result()
                if outcome.sheet is not None:
                    name = f"{provenance.file_name(source.clip_id)}.png"
                    provenance.write_bytes(output / "sheets" / name, outcome.sheet)
                if outcome.choice is not None:
                    plain_pickle.dump(_pack(outcome), path)
            step()
            yield source, outcome


def process(
    source: Source, pseudonym, method: str, spread: bool, sheets: bool, captions: dict[str, str]
) -> Outcome:
    """Read one clip and choose its key frames; runs in a worker and returns only the five frames."""
    cv2.setNumThreads(1)
    clip, row = admit(source, pseudonym)
    if clip is None:
        return Outcome(row)
    try:
        choice = choose(clip.frames, method, spread)
    except DicomError as problem:
        return Outcome(quarantine(row, problem.one_line))
    sheet = None
    if sheets:
        picture = draw_sheet(clip.frames, choice, clip.clip_id, captions.get(clip.clip_id, ""))
        sheet = cv2.imencode(".png", picture[..., ::-1])[1].tobytes()
    if not choice.contrast:
        return Outcome(quarantine(row, NO_CONTRAST), sheet=sheet)
    meta = {
        "frame_time_ms": clip.frame_time_ms,
        "view": clip.view,
        "source_sha256": clip.source_sha256,
        "scale": clip.scale,
        "patient_id": clip.patient_id,
    }
    return Outcome(row, choice, clip.frames[list(choice.keyframes)], sheet, meta)


def _pack(outcome: Outcome) -> dict:
    """Plain data for `.work/`; the fit and the mask of the choice are on the sheet already."""
    kept = ("method", "keyframes", "apex", "start", "end", "curve", "contrast", "confidence")
    choice = {name: getattr(outcome.choice, name) for name in kept}
    choice["keyframes"] = [int(frame) for frame in choice["keyframes"]]
    view = outcome.meta["view"]
    meta = {**outcome.meta, "view": list(view) if view else None}
    return {"row": asdict(outcome.row), "choice": choice, "frames": outcome.frames, "meta": meta}


def _unpack(kept: dict) -> Outcome:
    choice = KeyframeChoice(**{**kept["choice"], "keyframes": tuple(kept["choice"]["keyframes"])})
    view = kept["meta"]["view"]
    meta = {**kept["meta"], "view": tuple(view) if view else None}
    return Outcome(IntakeRow(**kept["row"]), choice, kept["frames"], None, meta)


def _caption(label: float) -> str:
    return "label unknown" if np.isnan(label) else ("normal", "abnormal")[int(label)]


def _line(clip_id: str, patient: str | None, values: list[float], choice: KeyframeChoice) -> dict:
    label = "" if not values or np.isnan(values[0]) else int(values[0])
    return {
        "clip_id": clip_id,
        "patient_id": patient or "",
        "label": label,
        "num_frames": len(choice.curve),
        "method": choice.method,
        "start": "" if choice.start is None else choice.start,
        "apex": choice.apex,
        "end": "" if choice.end is None else choice.end,
        "keyframes": " ".join(str(frame) for frame in choice.keyframes),
    }


def _csv(lines: list[dict]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue()


def _counts(rows: list[IntakeRow], table: list[dict]) -> dict:
    counts = {
        status: sum(row.status == status for row in rows) for status in ("ok", "quarantined", "ignored")
    }
    by_label = {str(value): sum(line["label"] == value for line in table) for value in (0, 1, "")}
    return {
        **counts,
        "patients": len({line["patient_id"] for line in table} - {""}),
        "normal": by_label["0"],
        "abnormal": by_label["1"],
        "unlabelled": by_label[""],
    }


def _nothing_usable(folder: str, rows: list[IntakeRow]) -> DatasetError:
    reasons = [f"{row.path or row.clip_id}: {row.reason}" for row in rows if row.status == "quarantined"]
    shown = "\n  ".join(reasons[:10]) + (f"\n  ... and {len(reasons) - 10} more" if len(reasons) > 10 else "")
    return DatasetError(
        f"None of the {len(reasons)} clips in {folder} can be used:\n  {shown}", "at least one readable clip"
    )


def _show(settings: KeyframeSettings, output: Path, labelled: bool) -> None:
    counts = provenance.read_manifest(output, "keyframes", "python pickle_generator.py")["counts"]
    shown = [("key frames", f"{output / 'clips.pickle'} ({counts['ok']} clips)")]
    if labelled:
        shown.append(
            (
                "labels",
                f"{counts['normal']} normal, {counts['abnormal']} abnormal, {counts['patients']} patients",
            )
        )
    shown.append(("table", str(output / "keyframes.csv")))
    if settings.sheets:
        shown.append(("look at", f"{output / 'sheets'}/ (curve and key frames of each clip)"))
    note = f"{counts['quarantined']} quarantined, {counts['ignored']} ignored"
    shown.append(("intake", f"{output / 'intake.csv'} ({note})"))
    finish("Step 1: key frames", shown, "python data_loader_kfold.py" if labelled else None)
