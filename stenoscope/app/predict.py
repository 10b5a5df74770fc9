"""Apply a finished experiment to new clips: the ensemble of its folds."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import pandas as pd

from stenoscope.app.decide import decide_new_clips
from stenoscope.app.dicom_objects import DicomFolder
from stenoscope.app.ensemble import ensemble_maps, ensemble_probabilities, load_learners
from stenoscope.app.inputs import AUTO, CRASHED, check_method, choose_method
from stenoscope.app.named_paths import below, common_names, distinct
from stenoscope.app.predict_worker import Job, read_clip
from stenoscope.app.trained_on import TrainedOn
from stenoscope.data.layouts import LAYOUTS, PLAIN, open_layout
from stenoscope.data.repeats import mark_repeats
from stenoscope.errors import DatasetError, SettingsError
from stenoscope.evaluation.clip_vote import vote
from stenoscope.export.spreadsheet import clips_csv, map_peak
from stenoscope.imaging.intake import IntakeRow, counts_of, simulated_count, to_csv
from stenoscope.imaging.pseudonyms import Pseudonymizer
from stenoscope.keyframes.sheet import draw_sheet
from stenoscope.learners.protocol import Learner
from stenoscope.learners.registry import get_learner
from stenoscope.records import Clip, KeyframeChoice
from stenoscope.report.animation import encode_gif
from stenoscope.report.panels import Case, draw_panel, encode_png, panel_name
from stenoscope.report.predict_page import training_note, write_predict_report
from stenoscope.results.experiment import read_experiment
from stenoscope.results.files import CLIPS, DECISIONS, HEATMAPS, INTAKE, PREDICTIONS, REPORT, write_table
from stenoscope.results.predictions import new_clip_table
from stenoscope.run import claims, locks, provenance
from stenoscope.run.cli import finish, progress, say
from stenoscope.run.commands import typed
from stenoscope.run.executors import crashed, executor, map_ordered
from stenoscope.settings import PredictSettings, TrainingSettings
from stenoscope.vesselness.overlays import clear_field

_MADE = (
    provenance.MANIFEST, INTAKE, PREDICTIONS, DECISIONS, CLIPS, REPORT, HEATMAPS, "sheets", "dicom",
)  # fmt: skip
"""What a prediction writes, and what the next one in the same folder replaces."""


@locks.released()
def predict(paths: Sequence[str], settings: PredictSettings) -> None:
    """Predict, explain and report new clips: files, or folders in any layout that step 1 knows.

    As many key frames of each clip are chosen as in training. Its probability is the mean over the folds'
    models, its heatmap the mean of their maps on the key frame of the highest mean probability. Where the
    experiment held patients out to calibrate on, each clip is also called normal, abnormal or uncertain
    (`decisions.csv`). Clips that the models were trained on are named; clips that can't be read are listed in
    `intake.csv`. A DatasetError if the experiment is not finished, a folder's layout is damaged, or no clip
    can be read; a SettingsError if there is no such key-frame method or layout, or nothing is published where
    that is asked for.
    """
    check_method(settings.method)
    experiment = Path(settings.experiment)
    data = read_experiment(experiment)
    manifest, trained = data.manifest, data.trained
    output = Path(settings.output) if settings.output else experiment / "predict"
    claims.renew(output, "prediction", _MADE)  # names in dicom/ must not lie beside another run's report
    dicom = None
    if settings.dicom:
        _check_maps(trained)
        dicom = DicomFolder(output / "dicom", experiment.name)
    pseudonym = Pseudonymizer(settings.pseudonym_key)
    jobs, rows, layouts = _discover_all(paths, settings)
    trained_on = TrainedOn(experiment)
    learners = load_learners(experiment, trained, settings.threads)
    methods = get_learner(trained.learner).methods(trained)
    own = methods[0] if methods else None
    tables, peaks = [], []
    work = partial(read_clip, pseudonym=pseudonym, count=data.num_keyframes)
    with (
        executor(1, isolated=True) as pool,  # which reads the next clip meanwhile
        progress("predict", len(jobs)) as step,
    ):
        for job, future in map_ordered(pool, work, jobs, ahead=2):
            source = job[0]
            lost = None, None, source.row("quarantined", CRASHED)
            clip, choice, row = lost if crashed(future) else future.result()
            rows.append(row)
            if clip is not None:
                probabilities, keyframe, maps, shown = _apply(learners, clip, choice, methods, settings.dicom)
                seen = trained_on.find(clip.frames, clip.patient_id)
                tables.append(new_clip_table(clip.clip_id, choice.keyframes, probabilities).assign(**seen))
                inside = clear_field(clip.frames[list(choice.keyframes)])
                if own:
                    frame = {"shown_frame": choice.keyframes[keyframe], "heatmap": own}
                    peaks.append({"clip_id": clip.clip_id, **frame, **map_peak(maps[own], inside)})
                scales = manifest["heatmap_scales"]
                _draw(output, clip, choice, keyframe, maps, tables[-1], scales)
                if dicom is not None:
                    dicom.write(source, clip, choice, probabilities.mean(axis=0), shown, scales[own], own)
            step()
    provenance.write_text(output / INTAKE, to_csv(mark_repeats(rows)))
    if not tables:
        reasons = "\n  ".join(f"{row.path}: {row.reason}" for row in rows[:10])
        raise DatasetError(f"None of the clips can be used:\n  {reasons}", "at least one readable clip")
    predictions = pd.concat(tables)
    write_table(output / PREDICTIONS, predictions)
    decisions = decide_new_clips(data.summary, output, predictions)
    provenance.write_text(output / CLIPS, clips_csv(predictions, peaks, decisions))
    counts = counts_of(rows)
    inputs = {"experiment": provenance.sha256_json(manifest["outputs"])}
    provenance.write_manifest(
        output,
        "prediction",
        asdict(settings),
        inputs,
        counts,
        typed(),
        created=provenance.today(),
        simulated=simulated_count(rows),
        trained_on_simulated=manifest.get("simulated"),
        layouts=layouts,
        methods=sorted({method for _, method, _ in jobs}),
    )
    write_predict_report(output, experiment.name, own)
    _show(output, experiment, predictions, decisions, counts["quarantined"], dicom)


def _discover_all(
    paths: Sequence[str], settings: PredictSettings
) -> tuple[list[Job], list[IntakeRow], list[str]]:
    """Clips of all paths, rows of what is none, and each path's layout.

    Clip ids and paths are those below the folder that all paths have in common.
    """
    jobs: list[Job] = []
    rows, layouts = [], []
    names = common_names(paths)
    for path, name in zip(map(Path, paths), names, strict=True):
        layout, data = open_layout(path, settings.layout)
        if settings.layout == AUTO and layout != PLAIN:
            say(f"{path} is laid out as {LAYOUTS[layout].title}.")
        method = choose_method(settings.method, layout, data)
        for source in data.sources:
            here = replace(source, path=source.path.absolute())  # workers may have started elsewhere
            jobs.append((below(here, name), method, data.keyframes.get(source.clip_id, ())))
        rows += [below(row, name) for row in data.rows]
        layouts.append(layout)
    return distinct(jobs), rows, layouts


def _check_maps(trained: TrainingSettings) -> None:
    """Refuse DICOM overlays of an experiment that has no heatmaps."""
    if not get_learner(trained.learner).methods(trained):
        raise SettingsError(
            f"--dicom, and the learner {trained.learner!r} draws no heatmaps.",
            "heatmaps to lay over the key frames",
            "leave --dicom out, or name an experiment of --learner cnn.",
        )


def _apply(
    learners: Sequence[Learner], clip: Clip, choice: KeyframeChoice, methods: Sequence[str], all_maps: bool
):
    """What the learners say of a clip.

    Their probabilities, float32 (num_learners, num_keyframes); which key frame is shown, the one of the
    highest mean probability; their mean maps of it, float32 (512, 512), by method; with `all_maps`, those of
    all key frames by the first method, float32 (num_keyframes, 512, 512), else None.
    """
    frames = clip.frames[list(choice.keyframes)]
    probabilities = ensemble_probabilities(learners, frames)
    keyframe = int(probabilities.mean(axis=0).argmax())
    of_one = frames[keyframe : keyframe + 1]
    maps = {method: ensemble_maps(learners, of_one, method)[0] for method in methods}
    shown = ensemble_maps(learners, frames, methods[0]) if all_maps else None
    return probabilities, keyframe, maps, shown


def _draw(
    output: Path, clip: Clip, choice: KeyframeChoice, keyframe: int, maps: dict, table, scales: dict
) -> None:
    """The sheet, and a heatmap PNG and GIF per method, on the experiment's scale.

    In the GIF the map of the shown key frame lies over all frames.
    """
    sheet = draw_sheet(clip.frames, choice, clip.clip_id)
    provenance.write_image(output / "sheets" / f"{provenance.file_name(clip.clip_id)}.png", sheet)
    call = vote(table.assign(fold=0, patient_id="", label=0)).iloc[0]
    folder, shown = output / HEATMAPS, choice.keyframes[keyframe]
    inside = clear_field(clip.frames[list(choice.keyframes)])
    frames, time = clip.frames, clip.frame_time_ms
    for method, heatmap in maps.items():
        called = float(call.probability), int(call.decision)
        case = Case(clip.clip_id, frames[shown], heatmap, *called, inside=inside)
        panel = encode_png(draw_panel(case, scales[method], method))
        gif = encode_gif(frames, case, scales[method], method, choice.keyframes, shown, time)
        provenance.write_bytes(folder / panel_name(clip.clip_id, method), panel)
        provenance.write_bytes(folder / panel_name(clip.clip_id, method, "gif"), gif)


def _show(output: Path, experiment: Path, predictions: pd.DataFrame, decisions, refused: int, dicom) -> None:
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
        rows.append(("...", f"{len(calls) - 30} more in {output / PREDICTIONS}"))
    if note := training_note(predictions):
        rows.append(("training data", note))
    folder = output / HEATMAPS
    drawn = [("heatmaps", f"{folder}/ (PNG and GIF per clip; the GIF lays one frame's map over all)")]
    rows += [
        ("report", str(output / REPORT)),
        *(drawn if folder.exists() else []),
        ("spreadsheet", str(output / CLIPS)),
        ("intake", f"{output / INTAKE} ({refused} quarantined)"),
    ]
    if dicom is not None:
        rows.append(("DICOM", dicom.finish()))
    clips = "1 clip" if len(calls) == 1 else f"{len(calls)} clips"
    finish(f"{clips} by the models of {experiment}", rows, None)
    say("  For research only: not a diagnosis.", "dim")
