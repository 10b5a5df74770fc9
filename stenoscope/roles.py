"""What a settings class says of its fields: the role (`result`, `place` or `speed`), group and reason."""

import ast
import inspect
import re
import textwrap
from dataclasses import field, fields
from typing import Any

from stenoscope.errors import SettingsError


def result(default: Any, searched: bool = True, part: str = "network") -> Any:
    """A field that can change results.

    Parameters
    ----------
    default
    searched : bool
        Whether tuning may vary it.
    part : {'network', 'data', 'after'}
        What it changes: the network and its training, which clips and labels that is trained on, or what is
        done with the trained network.
    """
    return field(default=default, metadata={"role": "result", "searched": searched, "part": part})


def place(default: Any) -> Any:
    """A field that says where things, or other settings, are; what is read from there is compared itself."""
    return field(default=default, metadata={"role": "place"})


def speed(default: Any) -> Any:
    """A field that says how the work is shared out and changes no result."""
    return field(default=default, metadata={"role": "speed"})


def names(settings_class: type, *words: str) -> frozenset[str]:
    """Fields of a settings class whose role, or whose part, is one of these words."""
    said = {item.name: {item.metadata["role"], item.metadata.get("part")} for item in fields(settings_class)}
    return frozenset(name for name, own in said.items() if own & set(words))


def groups_of(settings_class: type) -> dict[str, str]:
    """Group of each field of a settings class: the comment above its block, or empty."""
    groups, group = {}, ""
    for line in inspect.getsource(settings_class).splitlines():
        if found := re.match(r" {4}# (\w.*)", line):
            group = found[1]
        elif found := re.match(r" {4}(\w+):", line):
            groups[found[1]] = group
    return groups


def reasons_of(settings_class: type) -> dict[str, str]:
    """The text that stands under each field of a settings class, on one line."""
    (body,) = ast.parse(textwrap.dedent(inspect.getsource(settings_class))).body
    reasons = {}
    for statement, following in zip(body.body, body.body[1:], strict=False):
        if isinstance(statement, ast.AnnAssign) and isinstance(following, ast.Expr):
            reasons[statement.target.id] = " ".join(str(following.value.value).split())
    return reasons


def check_range(settings: Any, name: str, low: float, high: float) -> None:
    """Refuse a setting outside [low, high] with a SettingsError."""
    value = getattr(settings, name)
    if not low <= value <= high:
        raise SettingsError(f"{name} is {value}.", f"{low} to {high}", f"set {name} within this range.")
