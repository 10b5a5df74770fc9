"""What the search may vary, and how far: one entry per setting, built in or from a YAML file.

In the file a list holds choices and a mapping holds a range::

    attention: [none, self_attention, cbam]
    learning_rate: {low: 1.0e-5, high: 1.0e-3, log: true}
    image_size: {low: 128, high: 320, step: 64}
"""

import importlib
import math
from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from os import PathLike
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import yaml
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from stenoscope.errors import SettingsError, unknown_name
from stenoscope.roles import names
from stenoscope.run.commands import program
from stenoscope.settings import TrainingSettings, TuningSettings

Space = dict[str, BaseDistribution]

UNSCORED = names(TrainingSettings, "place", "speed", "after")
"""Settings that change no score: places, speed, and what is done with a trained network."""

FIXED = frozenset(item.name for item in fields(TrainingSettings) if not item.metadata.get("searched"))
"""Settings that a search may not vary: a lucky seed is no better setting."""

_BUILT_IN: dict[str, Any] = {
    "learning_rate": {"low": 1e-5, "high": 3e-3, "log": True},
    "epochs": [6, 10, 18, 24],
    "warmup": [0.0, 1.0, 2.0],
    "batch_size": [8, 16, 32],
    "variants_per_epoch": [1, 2],
    "image_size": [192, 256, 320],
    "enhance": ["none", "black_tophat"],
    "frozen_layers": [0.0, 0.08, 0.3, 0.6],
    "layer_decay": [0.7, 0.85, 1.0],
    "attention": ["none", "self_attention", "cbam", "arl"],
    "pooling": ["average", "log_sum_exp", "attention_mil"],
    "label_smoothing": [0.0, 0.05, 0.1],
    "class_weights": [False, True],
}

_REGISTRIES = {
    "backbone": ("stenoscope.models.backbones", "BACKBONES"),
    "attention": ("stenoscope.models.attention", "ATTENTION"),
    "pooling": ("stenoscope.models.pooling", "POOLING"),
}

NAMED = frozenset(_REGISTRIES)
"""Settings whose values are names in a registry."""

_KEYS = ("low", "high", "log", "step")
_TYPES = get_type_hints(TrainingSettings)


def built_in_space(base: TrainingSettings) -> Space:
    """The settings worth tuning; the values of `base` are always among the choices."""
    entries = {}
    for name, entry in _BUILT_IN.items():
        own = getattr(base, name)
        if isinstance(entry, list):
            entry = entry if own in entry else sorted([*entry, own])
        else:
            entry = {**entry, "low": min(entry["low"], own), "high": max(entry["high"], own)}
        entries[name] = entry
    return parse_space(entries)


def read_space(path: str | PathLike) -> Space:
    """Read a search space from a YAML file.

    Raises SettingsError if the file can't be read, or names a setting or a value that does not exist or may
    not be searched.
    """
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as problem:
        raise SettingsError(
            f"{path} can't be read: {problem}.",
            "a YAML file of settings to search",
            f"see `{program(TuningSettings)} --help`, or copy the space.yaml of a study.",
        ) from problem
    try:
        return parse_space(content)
    except SettingsError as problem:
        raise SettingsError(f"{path}: {problem.received}", problem.expected, problem.fix) from problem


def parse_space(entries: Any) -> Space:
    """Turn a mapping of lists (choices) and mappings (ranges) into distributions, checking every value.

    Raises SettingsError as `read_space`.
    """
    if not isinstance(entries, Mapping) or not entries:
        raise SettingsError("No settings to search.", "at least one", "add a line like `epochs: [5, 10]`.")
    known = sorted(set(_TYPES) - FIXED)
    for name in entries:
        if name in FIXED:
            raise SettingsError(
                f"{name} can't be searched.", f"one of: {', '.join(known)}", f"leave {name} out."
            )
        if name not in known:
            raise unknown_name("setting to search", name, known)
    return {name: _distribution(name, entry) for name, entry in entries.items()}


def space_yaml(space: Space) -> str:
    """A space as YAML that `read_space` reads back."""
    lines = ["# The search space of this study: edit a copy and give it to --space."]
    for name, distribution in space.items():
        entry: Any
        if isinstance(distribution, CategoricalDistribution):
            entry = list(distribution.choices)
        else:
            entry = {key: getattr(distribution, key) for key in _KEYS}
            entry = {key: value for key, value in entry.items() if value is not None and value is not False}
        lines.append(yaml.safe_dump({name: entry}, default_flow_style=None, sort_keys=False).rstrip())
    return "\n".join(lines) + "\n"


def check_names(space: Space) -> None:
    """Refuse backbones, attention blocks and poolings that no registry holds, before hours of trials.

    Raises SettingsError, which names the known ones.
    """
    for kind, (module, table) in _REGISTRIES.items():
        if kind not in space:
            continue
        registry = getattr(importlib.import_module(module), table)  # loads the tensor library
        for name in space[kind].choices:
            if name not in registry:
                raise unknown_name(kind, name, registry)


def parameters_of(settings: TrainingSettings, space: Space) -> dict[str, Any] | None:
    """Values of the searched settings, None if they lie outside the space."""
    values = {name: getattr(settings, name) for name in space}
    return values if all(_holds(space[name], value) for name, value in values.items()) else None


def scored(settings: TrainingSettings) -> dict[str, Any]:
    """The settings that a score depends on."""
    return {name: value for name, value in asdict(settings).items() if name not in UNSCORED}


def _holds(distribution: BaseDistribution, value: Any) -> bool:
    if isinstance(distribution, CategoricalDistribution):
        return value in distribution.choices
    steps = (value - distribution.low) / distribution.step if distribution.step else 0.0
    return distribution.low <= value <= distribution.high and math.isclose(steps, round(steps), abs_tol=1e-9)


def _distribution(name: str, entry: Any) -> BaseDistribution:
    kind = _TYPES[name]
    if isinstance(entry, list) and entry:
        choices = [_value(name, kind, value) for value in entry]
        if len(set(choices)) < len(choices):
            raise SettingsError(f"{name} has a choice twice.", "each choice once", "remove one.")
        return CategoricalDistribution(choices)
    if not isinstance(entry, Mapping) or not {"low", "high"} <= entry.keys() <= set(_KEYS):
        raise SettingsError(
            f"{name} is {entry!r}.",
            "a list of choices, or low and high with perhaps log: true or a step",
            f"write it like `{name}: [1, 2]` or `{name}: {{low: 1, high: 2}}`.",
        )
    if kind not in (int, float):
        raise SettingsError(
            f"{name} has a range.", "a list of choices", f"write it like `{name}: [..., ...]`."
        )
    low, high = (_value(name, kind, entry[key]) for key in ("low", "high"))
    step, log = entry.get("step"), entry.get("log", False)
    fault = (
        (not isinstance(log, bool) and f"log {log!r}, not true or false")
        or (low >= high and f"low {low} not below high {high}")
        or (log and low <= 0 and f"log and low {low}, which is not above 0")
        or (log and step is not None and "both log and a step")
        or (step is not None and not _fits(kind, high - low, step) and f"the step {step!r}")
    )
    if fault:
        raise SettingsError(
            f"{name} has {fault}.",
            "low < high, with log: true (low above 0) or a step that fits between them",
            "correct its line.",
        )
    if kind is int:
        return IntDistribution(low, high, log=log, step=int(step or 1))
    return FloatDistribution(low, high, log=log, step=step)


def _value(name: str, kind: Any, value: Any) -> Any:
    """A value as the setting's type, refused if the setting does not take it."""
    wanted = kind if isinstance(kind, type) else None
    if wanted is float and isinstance(value, str):  # YAML reads 1e-5, without a point, as text
        try:
            value = float(value)
        except ValueError:
            raise _wrong_type(name, value, "a number") from None
    if wanted is float and _number(value):
        value = float(value)
    if wanted is not None and (type(value) is not wanted or (wanted is float and not _number(value))):
        kinds = {float: "a number", int: "a whole number", bool: "true or false", str: "text"}
        raise _wrong_type(name, value, kinds[wanted])
    if get_origin(kind) is Literal and value not in get_args(kind):
        raise unknown_name(name, value, get_args(kind))
    replace(TrainingSettings(), **{name: value})  # its range
    return value


def _fits(kind: type, width: float, step: Any) -> bool:
    """Whether a range is a whole number of steps wide."""
    if not _number(step) or not 0 < step <= width or (kind is int and step != int(step)):
        return False
    return math.isclose(width / step, round(width / step), abs_tol=1e-9)


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _wrong_type(name: str, value: Any, expected: str) -> SettingsError:
    return SettingsError(
        f"{name} has the value {value!r}.", expected, "correct its line (quote text in YAML)."
    )
