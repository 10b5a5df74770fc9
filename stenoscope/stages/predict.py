"""Apply a finished experiment to new clips: the ensemble of its five folds."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from stenoscope import provenance
from stenoscope.cli import finish, progress, say
from stenoscope.errors import DatasetError, DicomError
from stenoscope.evaluation.clip_vote import vote
from stenoscope.imaging.intake import IntakeRow, Source, admit, discover, quarantine, to_csv
from stenoscope.imaging.pseudonyms import Pseudonymizer
from stenoscope.keyframes.registry import choose
from stenoscope.keyframes.sheet import draw_sheet
from stenoscope.records import NUM_FOLDS, Clip, KeyframeChoice
from stenoscope.report.panels import Case, draw_panel, encode_gif, encode_png, panel_name
from stenoscope.report.predict_page import write_predict_report
from stenoscope.settings import PredictSettings, TrainingSettings
from stenoscope.stages.decide import decide_new_clips
from stenoscope.stages.explain import drawn_methods, in_frame
from stenoscope.stages.keyframe_worker import NO_CONTRAST


def predict(paths: Sequence[str], settings: PredictSettings) -> None:
    """Predict, explain and report new clips.

    Each clip's probability is the mean over the five folds' models, its heatmap the mean of their maps on the
    key frame of the highest mean probability. Where the experiment held patients out to calibrate on, each
    clip is also called normal, abnormal or uncertain (`decisions.csv`). Clips that can't be read are listed
    in `intake.csv`.

    Parameters
    ----------
    paths : sequence of str
        Clips, or folders of clips.
    settings : PredictSettings

    Raises
    ------
    DatasetError
        If the experiment is not finished, or no clip can be read.
    """
    experiment = Path(settings.experiment)
    manifest = provenance.read_manifest(experiment, "experiment", "python main.py")
    trained = TrainingSettings(**yaml.safe_load((experiment / "config.yaml").read_text(encoding="utf-8")))
    output = Path(settings.output) if settings.output else experiment / "predict"
    pseudonym = Pseudonymizer(settings.pseudonym_key)
    sources, rows = _discover_all(paths)
    models = _load_models(experiment, trained, settings.threads)
    tables = []
    with progress("predict", len(sources)) as step:
        for source in sources:
            clip, choice, row = _read(source, pseudonym, settings.method)
            rows.append(row)
            if clip is not None:
                probabilities, keyframe, maps = _apply(models, clip, choice, trained)
                tables.append(_table(clip.clip_id, choice, probabilities))
                _draw(output, clip, choice, keyframe, maps, tables[-1], manifest["heatmap_scales"])
            step()
    provenance.write_text(output / "intake.csv", to_csv(rows))
    if not tables:
        reasons = "\n  ".join(f"{row.path}: {row.reason}" for row in rows[:10])
        raise DatasetError(f"None of the clips can be used:\n  {reasons}", "at least one readable clip")
    predictions = pd.concat(tables)
    provenance.write_text(output / "predictions.csv", predictions.to_csv(index=False, lineterminator="\n"))
    decisions = decide_new_clips(experiment, output, predictions)
    counts = {
        status: sum(row.status == status for row in rows) for status in ("ok", "quarantined", "ignored")
    }
    inputs = {"experiment": provenance.sha256_json(manifest["outputs"])}
    provenance.write_manifest(output, "prediction", asdict(settings), inputs, counts)
    write_predict_report(output, experiment.name, trained.heatmap)
    _show(output, experiment, predictions, decisions, counts["quarantined"])


def _discover_all(paths: Sequence[str]) -> tuple[list[Source], list[IntakeRow]]:
    """Clips of all paths; an id that two paths share gets the path's name in front."""
    found = [(Path(path), discover(path)) for path in paths]
    ids = [source.clip_id for _, inventory in found for source in inventory.sources]
    sources = [
        replace(source, clip_id=f"{path.resolve().name}/{source.clip_id}")
        if ids.count(source.clip_id) > 1
        else source
        for path, inventory in found
        for source in inventory.sources
    ]
    again = {clip_id for clip_id, count in Counter(source.clip_id for source in sources).items() if count > 1}
    if again:
        raise DatasetError(
            f"The same clip is named twice: {', '.join(sorted(again)[:5])}.",
            "every clip once",
            "name each path once.",
        )
    return sources, [row for _, inventory in found for row in inventory.rows]


def _load_models(experiment: Path, trained: TrainingSettings, threads: int) -> list:
    from stenoscope.training.machine import prepare

    where = prepare(threads, trained.seed)
    from stenoscope.models.classifier import load_classifier

    say(f"Loading the {NUM_FOLDS} models of {experiment} ({where}) ...")
    return [
        load_classifier(experiment / f"fold_{number}" / "model.keras") for number in range(1, NUM_FOLDS + 1)
    ]


def _read(source: Source, pseudonym, method: str) -> tuple[Clip | None, KeyframeChoice | None, IntakeRow]:
    """A clip with its key frames, or the reason why it can't be used."""
    clip, row = admit(source, pseudonym)
    if clip is None:
        return None, None, row
    try:
        choice = choose(clip.frames, method)
    except DicomError as problem:
        return None, None, quarantine(row, problem.one_line)
    if not choice.contrast:
        return None, None, quarantine(row, NO_CONTRAST)
    return clip, choice, row


def _apply(models: list, clip: Clip, choice: KeyframeChoice, trained: TrainingSettings):
    """Probabilities (num_models, 5), the key frame shown, and the models' mean map by method."""
    from stenoscope.heatmaps.registry import heatmaps
    from stenoscope.models.classifier import heatmap_layer
    from stenoscope.models.mirrors import predict_probabilities
    from stenoscope.training.batches import render, validation_plan

    images = render(
        clip.frames[list(choice.keyframes)], validation_plan(np.array([0])), trained.image_size
    ).images
    probabilities = np.stack(
        [predict_probabilities(model, images, trained.mirrored_test)[:, 0] for model in models]
    )
    keyframe = int(probabilities.mean(axis=0).argmax())
    shown = images[keyframe : keyframe + 1]
    maps = {
        method: in_frame(
            np.mean(
                [heatmaps(model, shown, method, heatmap_layer(model, trained))[0] for model in models], axis=0
            )
        )
        for method in drawn_methods(trained)
    }
    return probabilities, keyframe, maps


def _table(clip_id: str, choice: KeyframeChoice, probabilities: np.ndarray) -> pd.DataFrame:
    """One row per key frame: clip_id, frame_index, probability (mean of the models), fold_1 to fold_5."""
    rounded = probabilities.astype(float).round(6)
    columns = {f"fold_{number}": rounded[number - 1] for number in range(1, len(rounded) + 1)}
    table = {
        "clip_id": clip_id,
        "frame_index": choice.keyframes,
        "probability": rounded.mean(axis=0).round(6),
    }
    return pd.DataFrame({**table, **columns})


def _draw(
    output: Path, clip: Clip, choice: KeyframeChoice, keyframe: int, maps: dict, table, scales: dict
) -> None:
    """The sheet, and a heatmap PNG and GIF per method, on the experiment's scale."""
    sheet = draw_sheet(clip.frames, choice, clip.clip_id)
    provenance.write_image(output / "sheets" / f"{provenance.file_name(clip.clip_id)}.png", sheet)
    call = vote(table.assign(fold=0, patient_id="", label=0)).iloc[0]
    folder = output / "heatmaps"
    for method, heatmap in maps.items():
        frame = clip.frames[choice.keyframes[keyframe]]
        case = Case(clip.clip_id, frame, heatmap, float(call.probability), int(call.decision))
        panel = encode_png(draw_panel(case, scales[method], method))
        gif = encode_gif(clip.frames, heatmap, scales[method], clip.frame_time_ms, choice.keyframes)
        provenance.write_bytes(folder / panel_name(clip.clip_id, method), panel)
        provenance.write_bytes(folder / panel_name(clip.clip_id, method, "gif"), gif)


def _show(output: Path, experiment: Path, predictions: pd.DataFrame, decisions, refused: int) -> None:
    calls = vote(predictions.assign(fold=0, patient_id="", label=0))
    verdicts = (
        {}
        if decisions is None
        else {
            row.clip_id: f", calibrated {row.calibrated:.3f}: {row.decision}"
            for row in decisions.itertuples()
        }
    )
    rows = [
        (call.clip_id, f"probability of abnormal {call.probability:.3f}" + verdicts.get(call.clip_id, ""))
        for call in calls.head(30).itertuples()
    ]
    if len(calls) > 30:
        rows.append(("...", f"{len(calls) - 30} more in {output / 'predictions.csv'}"))
    rows += [
        ("report", str(output / "report.html")),
        ("heatmaps", f"{output / 'heatmaps'}/ (PNG and GIF per clip)"),
        ("intake", f"{output / 'intake.csv'} ({refused} quarantined)"),
    ]
    finish(f"{len(calls)} clips by the five models of {experiment}", rows, None)
    say("  [dim]For research only: not a diagnosis.[/]")
