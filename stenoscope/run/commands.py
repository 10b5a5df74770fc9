"""The command lines that tables and messages name: how a folder is made, and what goes on with it."""

import json
import os
import shlex
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

from stenoscope.settings import (
    AugmentSettings,
    ExportSettings,
    FoldSettings,
    KeyframeSettings,
    PhantomSettings,
    PredictSettings,
    TrainingSettings,
    TuningSettings,
)

CONSOLE = "stenoscope"
"""The console script of an installed copy; its subcommands are the steps' names."""

STEPS = {
    PhantomSettings: ("phantom", "-m stenoscope.phantom"),
    KeyframeSettings: ("keyframes", "pickle_generator.py"),
    FoldSettings: ("folds", "data_loader_kfold.py"),
    AugmentSettings: ("augment", "augment.py"),
    TrainingSettings: ("train", "main.py"),
    PredictSettings: ("predict", "main.py predict"),
    ExportSettings: ("export", "main.py export"),
    TuningSettings: ("tune", "hyper_parameter_kfold.py"),
}
"""Name and script of each step."""


def program(settings_class: type) -> str:
    """What to type for a step, before its arguments: the script, or the console script's if that runs now."""
    name, script = STEPS[settings_class]
    return f"{CONSOLE} {name}" if typed()[0] == CONSOLE else f"python {script}"


def command(settings_class: type, **flags: Any) -> str:
    """The command of a step with those flags that differ from their defaults, quoted for a shell.

    A flag that is no setting, such as ``check``, is off by default.

    Examples
    --------
    >>> command(FoldSettings, input="my lab/keyframes", seed=7, overwrite=True)
    "python data_loader_kfold.py --input 'my lab/keyframes' --overwrite"
    """
    words = []
    for name, value in flags.items():
        value = os.fspath(value) if isinstance(value, Path) else value
        if value != getattr(settings_class, name, False):
            words += (
                [f"--{name}"] if value is True else [f"--{name}", "false" if value is False else str(value)]
            )
    paths = ["PATH..."] if settings_class is PredictSettings else []
    return " ".join([program(settings_class), *paths, *map(shlex.quote, words)])


def typed() -> list[str]:
    """The command line of this process: the name of its program, and its arguments."""
    return [Path(sys.argv[0]).name, *sys.argv[1:]]


def again(settings_class: type, folder: str | os.PathLike, **flags: Any) -> str:
    """The command that makes an output folder once more, with the settings that its manifest notes.

    Of a folder yet to be made nothing is known but its name; `flags` are what is to differ.
    """
    try:
        noted = json.loads((Path(folder) / "manifest.json").read_text(encoding="utf-8"))["settings"]
        known = {item.name: noted[item.name] for item in fields(settings_class) if item.name in noted}
    except (OSError, ValueError, KeyError, TypeError):
        known = {}
    known.pop("overwrite", None)
    if isinstance(known.get("keyframes"), str):  # of an earlier release, where it was the file of corrections
        known["corrections"] = known.pop("keyframes")
    return command(settings_class, **{**known, "output": Path(folder), **flags})


def train_again(experiment: str | os.PathLike, **flags: Any) -> str:
    """The command that goes on with an experiment (or with the one of a ``fold_K``), or begins it."""
    path = Path(experiment)
    path = path.parent if path.name.startswith("fold_") else path
    config = path / "config.yaml"
    line = command(TrainingSettings, experiment=path, **flags)
    return f"{line} --config {shlex.quote(os.fspath(config))}" if config.is_file() else line


def after_phantom(folder: str | os.PathLike) -> str:
    """Step 1 for a simulated cohort."""
    return command(KeyframeSettings, **_onward(folder, PhantomSettings, KeyframeSettings))


def after_keyframes(folder: str | os.PathLike) -> str:
    """Step 2 for the key frames in `folder`."""
    return command(FoldSettings, **_onward(folder, KeyframeSettings, FoldSettings))


def after_folds(folder: str | os.PathLike) -> str:
    """Step 3 for the folds in `folder`, as an experiment of their name.

    Examples
    --------
    >>> after_folds("data/folds"), after_folds("lab/folds")
    ('python main.py', 'python main.py --input lab/folds --experiment results/lab')
    """
    path = Path(folder)
    flags: dict[str, Any] = {"input": path}
    if os.fspath(path) != FoldSettings.output:
        name = path.name.removesuffix("_folds")
        flags["experiment"] = f"results/{path.resolve().parent.name if name == 'folds' else name}"
    return command(TrainingSettings, **flags)


def _onward(folder: str | os.PathLike, made: type, following: type) -> dict[str, Path]:
    """`input` and `output` of the step after the one that made `folder`; the output lies beside it."""
    path = Path(folder)
    if os.fspath(path) == made.output:
        return {"input": path}
    before, after = Path(made.output).name, Path(following.output).name
    if before in path.name:
        return {"input": path, "output": path.with_name(path.name.replace(before, after))}
    return {"input": path, "output": path.with_name(f"{path.resolve().name}_{after}")}
