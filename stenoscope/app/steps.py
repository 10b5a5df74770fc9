"""The steps: one table that the scripts and the console script `stenoscope` share."""

from stenoscope.phantom.__main__ import STEP as PHANTOM
from stenoscope.run import commands
from stenoscope.run.arguments import Given, Step
from stenoscope.settings import (
    AugmentSettings,
    ExportSettings,
    FoldSettings,
    KeyframeSettings,
    PredictSettings,
    TrainingSettings,
    TuningSettings,
)


def _keyframes(given: Given) -> int | None:
    if given.mode == "check":
        from stenoscope.app.check import check

        return check(given.settings)
    from stenoscope.app.keyframes import make_keyframes

    return make_keyframes(given.settings)


def _folds(given: Given) -> None:
    from stenoscope.app.folds import make_folds

    make_folds(given.settings)


def _augment(given: Given) -> None:
    from stenoscope.app.augment import draw_variants

    draw_variants(given.settings)


def _train(given: Given) -> None:
    if given.mode == "study":
        from stenoscope.app.study import study

        study(given.settings)
    elif given.mode == "audit":
        from stenoscope.app.audit import audit

        audit(given.settings)
    else:
        from stenoscope.app.train import train

        train(given.settings, given.config)


def _predict(given: Given) -> None:
    from stenoscope.app.predict import predict

    predict(given.words, given.settings)


def _export(given: Given) -> None:
    from stenoscope.app.export import export

    export(given.settings)


def _tune(given: Given) -> None:
    from stenoscope.app.tune import print_settings, tune

    if given.settings.trials:
        tune(given.settings)
    else:
        print_settings()


_STEPS = (
    PHANTOM,
    Step(
        KeyframeSettings,
        _keyframes,
        "Step 1: read the clips, choose the key frames of each, write data/keyframes/.",
        ("--check FOLDER", "FOLDER --labels FOLDER/labels.csv --output data/mine/keyframes"),
        ("input", "Folder of clips, or one clip; the same as --input."),
        {
            "check": (
                "Only verify the folder: every file, label and patient. Writes OUTPUT/check/intake.csv and "
                "intake.html there and ends with status 1 if something would stop step 1 or invalidate a "
                "test.",
                {},
            ),
        },
    ),
    Step(
        FoldSettings,
        _folds,
        "Step 2: split the clips into folds by patient, write data/folds/.",
        ("--input data/mine/keyframes --output data/mine/folds",),
    ),
    Step(
        AugmentSettings,
        _augment,
        "Draw one key frame in its 25 variants and as training sees it: results/augment/*.png.",
        ("--input data/keyframes --clip p001_c1",),
    ),
    Step(
        TrainingSettings,
        _train,
        "Step 3: train, test and explain one experiment over the folds, write results/<experiment>/.",
        ("--input data/folds --preset quick --experiment results/quick",),
        modes={
            "study": (
                "Train the four arms of the paper (original, original + attention, augmentation, "
                "augmentation + attention) on the same folds and compare them; EXPERIMENT is then "
                "results/study by default.",
                {"experiment": "results/study"},
            ),
            "audit": (
                "Train the same arm under patient-wise, clip-wise and frame-wise folds and with shuffled "
                "labels, to measure what leaks are worth; written to EXPERIMENT/audit. --inner_share does "
                "not apply.",
                {},
            ),
        },
    ),
    Step(
        PredictSettings,
        _predict,
        "Apply a finished experiment to new clips.",
        ("new/clip1.dcm new/clip2.dcm --experiment results/demo",),
        ("paths", "Clips, or folders of clips, in any layout that step 1 takes."),
    ),
    Step(
        ExportSettings,
        _export,
        "Write the models of a finished experiment as one ONNX file.",
        ("--experiment results/demo",),
    ),
    Step(
        TuningSettings,
        _tune,
        "Search settings on inner folds and test the choice on outer ones; without --trials, print all as "
        "YAML.",
        ("--trials 20 --study results/tuning/study",),
    ),
)

STEPS = {commands.STEPS[step.settings][0]: step for step in _STEPS}
"""By name, in the order of the journey."""
