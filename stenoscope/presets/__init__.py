"""Named sets of training settings: a YAML file each, with what it changes in `TrainingSettings`.

They lie in the package so that an installed copy has them, too. A file's first line says what it is for.
"""

from dataclasses import fields
from pathlib import Path
from typing import Any

import yaml

from stenoscope.errors import unknown_name
from stenoscope.settings import TrainingSettings

_FIRST = ("cpu", "quick", "smoke", "paper")  # the order to read them in; others follow by name
_PATHS = {path.stem: path for path in sorted(Path(__file__).parent.glob("*.yaml"))}
_NAMES = sorted(_PATHS, key=lambda name: _FIRST.index(name) if name in _FIRST else len(_FIRST))

ABOUT = {name: _PATHS[name].read_text("utf-8").splitlines()[0].removeprefix("# ") for name in _NAMES}
"""What each preset is for, in a line of ``--help``."""

PRESETS: dict[str, dict[str, Any]] = {
    name: yaml.safe_load(_PATHS[name].read_text("utf-8")) for name in _NAMES
}
"""Settings that differ from the defaults, by preset."""


def preset(name: str) -> dict[str, Any]:
    """Settings of the preset `name`: its name, and what differs from the defaults of `TrainingSettings`.

    Raises
    ------
    SettingsError
        If there is no such preset.
    """
    if name not in PRESETS:
        raise unknown_name("preset", name, PRESETS)
    return {"preset": name, **PRESETS[name]}


def training_settings(preset_name: str = "cpu", **changes) -> TrainingSettings:
    """`TrainingSettings` of a preset with some changes; unknown names are refused."""
    known = {item.name for item in fields(TrainingSettings)}
    for name in changes:
        if name not in known:
            raise unknown_name("setting", name, known)
    return TrainingSettings(**{**preset(preset_name), **changes})
