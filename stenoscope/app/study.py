"""The study of the paper: four arms on the same folds, each a complete experiment, and their comparison."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from stenoscope.app.fold_inputs import open_folds
from stenoscope.app.train import begin_experiment, end_experiment, fold_tasks, to_repeat
from stenoscope.errors import SettingsError
from stenoscope.results.files import CONFIG, read_json, read_predictions, write_table
from stenoscope.run import claims, locks, provenance
from stenoscope.run.cli import finish, say
from stenoscope.run.commands import command, typed
from stenoscope.settings import PredictSettings, TrainingSettings

ARMS: dict[str, tuple[bool, bool]] = {
    "original": (False, False),
    "original_attention": (False, True),
    "augmentation": (True, False),
    "augmentation_attention": (True, True),
}
"""The arms of Moon et al. 2021: whether each has augmentation and attention; the reference first."""


@locks.released()
def study(settings: TrainingSettings) -> None:
    """Train the four arms in `EXPERIMENT/arms/` and compare them: `study.csv`, `study.json`, `report.html`.

    The settings are those of all arms; `attention` is the block of the two arms that have one. Resumes after
    an interrupt: finished arms are kept, and the one under way goes on. A SettingsError if the attention is
    'none', or the heatmap is 'attention'; a DatasetError if the folds or key frames are missing or damaged,
    or the folder holds something else.
    """
    if settings.attention == "none":
        raise SettingsError(
            "A study with attention 'none'.",
            "the attention block of the arms that have one",
            "leave --attention at its default, or name a block.",
        )
    if settings.heatmap == "attention" and settings.pooling != "attention_mil":
        raise SettingsError(
            "A study with heatmap 'attention'.",
            "a heatmap that all arms can draw; two of them have no attention",
            "leave --heatmap at its default.",
        )
    clips, folds, inputs = open_folds(settings.input)
    folder = Path(settings.experiment)
    if claims.claim(folder, "study", settings, inputs, settings.overwrite):
        say(f"{folder} is finished already; nothing to do.")
    else:
        with fold_tasks(settings) as tasks:
            arms = {arm: arm_settings(settings, arm) for arm in ARMS}
            jobs = {arm: begin_experiment(own, clips, inputs) for arm, own in arms.items()}
            tasks.expect(job for some in jobs.values() for job in some or ())
            for number, (arm, own) in enumerate(arms.items(), start=1):
                say(f"Arm {number} of {len(ARMS)}: {arm}", "bold")
                end_experiment(own, clips, folds, inputs, jobs[arm], tasks)
        compare(folder, "study", {arm: folder / "arms" / arm for arm in ARMS}, settings, inputs)

    from stenoscope.report.comparison_page import STUDY, STUDY_ARMS, write_study_report
    from stenoscope.report.tables import print_comparison

    report = write_study_report(folder)
    found = read_json(folder / STUDY)["arms"]
    print_comparison(f"{len(ARMS)} arms on the same folds", found, STUDY_ARMS)
    finish(
        "What to open",
        [("report", str(report)), ("table", str(folder / "study.csv")), ("arms", f"{folder / 'arms'}/")],
        command(PredictSettings, experiment=folder / "arms" / list(ARMS)[-1]),
    )


def arm_settings(settings: TrainingSettings, arm: str) -> TrainingSettings:
    """Settings of one arm of a study.

    An arm without augmentation learns from the key frames alone: no twins with synthetic narrowings either,
    and its test frames are not mirrored, since it has never learnt from a mirrored one.
    """
    augmentation, attention = ARMS[arm]
    return replace(
        settings,
        experiment=(Path(settings.experiment) / "arms" / arm).as_posix(),
        augmentation=augmentation,
        narrowings=augmentation and settings.narrowings,
        mirrored_test=augmentation and settings.mirrored_test,
        attention=settings.attention if attention else "none",
    )


def compare(
    folder: Path,
    name: str,
    arms: Mapping[str, Path],
    settings: TrainingSettings,
    inputs: dict[str, str],
    **how,
) -> None:
    """Write `config.yaml`, `NAME.csv`, `NAME.json` and, last, the manifest of a study or an audit.

    `arms` are folders with a `predictions.csv` each, the reference first; `inputs` are hashes for the
    manifest; `how` is for `evaluation.comparison.compare_arms`.
    """
    from stenoscope.evaluation.comparison import compare_arms, comparison_table

    provenance.write_text(folder / CONFIG, to_repeat(settings))
    predictions = {arm: read_predictions(path) for arm, path in arms.items()}
    compared = compare_arms(predictions, name, seed=settings.seed, **how)
    write_table(folder / f"{name}.csv", comparison_table(compared["arms"]))
    provenance.write_json(folder / f"{name}.json", {"schema": f"stenoscope/{name}", "version": 1, **compared})
    provenance.write_manifest(
        folder,
        name,
        settings,
        inputs,
        compared["counts"],
        typed(),
        **provenance.heading(settings.input),
        seed=settings.seed,
        outputs=provenance.hash_files(folder, [f"{name}.csv", f"{name}.json"]),
    )
