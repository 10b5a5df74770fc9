"""The leakage audit: the same training under folds that leak, and with nothing to learn."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from sklearn.model_selection import StratifiedKFold

from stenoscope import provenance
from stenoscope.cli import finish, say
from stenoscope.dataset.clipset import ClipSet
from stenoscope.folds.files import FoldData
from stenoscope.folds.mean_image import frame_rows, mean_image
from stenoscope.records import KEYFRAMES_PER_CLIP, NUM_FOLDS
from stenoscope.settings import TrainingSettings
from stenoscope.stages.study import compare
from stenoscope.stages.train import open_folds, run_experiment, run_folds

ARMS = ("patient", "clip", "frame", "shuffled")
"""Folders of the arms in `EXPERIMENT/audit/`, the honest one first."""


def audit(settings: TrainingSettings) -> None:
    """Train under honest and under leaking folds, and with shuffled labels; write `EXPERIMENT/audit/`.

    ``patient``: the folds of step 2. ``clip``: clips are split without regard to patients. ``frame``: key
    frames are split without regard to clips. ``shuffled``: the folds of step 2, labels as with
    `shuffle_labels`. The arms `patient` and `shuffled` are complete experiments. Nothing is held out to
    calibrate on, so that all arms train on equal shares. Resumes after an interrupt.

    Parameters
    ----------
    settings : TrainingSettings

    Raises
    ------
    DatasetError
        If the folds or key frames are missing or damaged, or the folder holds another audit.
    """
    clips, folds, inputs = open_folds(settings.input)
    folder = Path(settings.experiment) / "audit"
    settings = replace(settings, inner_share=0.0, shuffle_labels=False)
    if provenance.claim(folder, "audit", settings, inputs, settings.overwrite):
        say(f"{folder} is finished already; nothing to do.")
    else:
        for number, arm in enumerate(ARMS, start=1):
            say(f"[bold]Arm {number} of {len(ARMS)}: {arm}[/]")
            own = replace(settings, experiment=(folder / arm).as_posix(), shuffle_labels=arm == "shuffled")
            if arm in ("patient", "shuffled"):
                run_experiment(own, clips, folds, inputs)
            elif not (folder / arm / "predictions.csv").exists():
                draw: Callable = clip_folds if arm == "clip" else frame_folds
                run_folds(own, clips, draw(clips, folds, settings.seed), clips.labels, maps=False)

        from stenoscope.evaluation.comparison import AUDIT_FIGURES

        arms = {arm: folder / arm for arm in ARMS}
        how = {"figures": AUDIT_FIGURES, "mixed": ("frame",), "unpaired": ("shuffled",)}
        compare(folder, "audit", arms, settings, inputs, **how)

    from stenoscope.report.comparison_page import AUDIT, AUDIT_ARMS, audit_finding, write_audit_report
    from stenoscope.report.results import read_json
    from stenoscope.report.tables import print_comparison

    report = write_audit_report(folder)
    found = read_json(folder / AUDIT)["arms"]
    print_comparison("The same training under four splits", found, AUDIT_ARMS)
    finish(
        "What it means",
        [(AUDIT_ARMS[arm], audit_finding(arm, found[arm])) for arm in ARMS]
        + [("report", str(report)), ("table", str(folder / "audit.csv"))],
        None,
    )


def clip_folds(clips: ClipSet, folds: list[FoldData], seed: int) -> list[FoldData]:
    """Folds of the same clips, stratified by label; clips of one patient may be on both sides."""
    used = tested_clips(folds)
    return _leaking_folds(clips, folds[0], used, clips.labels[used, 0], seed, frame_wise=False)


def frame_folds(clips: ClipSet, folds: list[FoldData], seed: int) -> list[FoldData]:
    """Folds of the key frames of the same clips, as rows of `clips.frames`; a clip may be on both sides."""
    used = frame_rows(tested_clips(folds))
    return _leaking_folds(
        clips, folds[0], used, clips.labels[used // KEYFRAMES_PER_CLIP, 0], seed, frame_wise=True
    )


def tested_clips(folds: list[FoldData]) -> np.ndarray:
    """All clips that the folds test, ascending, int64."""
    return np.sort(np.concatenate([fold.valid for fold in folds]))


def _leaking_folds(
    clips: ClipSet, like: FoldData, used: np.ndarray, labels: np.ndarray, seed: int, frame_wise: bool
) -> list[FoldData]:
    """Draw folds of clips or frame rows, each with the mean image of its own training part."""
    splitter = StratifiedKFold(NUM_FOLDS, shuffle=True, random_state=seed % 2**32)
    result = []
    for number, (train, valid) in enumerate(splitter.split(used, labels), start=1):
        rows = used[train] if frame_wise else frame_rows(used[train])
        result.append(
            replace(
                like,
                number=number,
                train=used[train],
                valid=used[valid],
                mean_image=mean_image(clips.frames[row] for row in rows),
                frame_wise=frame_wise,
            )
        )
    return result
