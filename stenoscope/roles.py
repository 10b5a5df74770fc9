"""What a settings class says of its fields: the role (`result`, `place` or `speed`), group and reason."""

import ast
import inspect
import re
import textwrap
from dataclasses import field, fields
from pathlib import Path
from typing import Any

from stenoscope.errors import SettingsError


def result(default: Any, searched: bool = True, part: str = "network", augments: str = "") -> Any:
    """A field that can change results.

    Parameters
    ----------
    default
    searched : bool
        Whether tuning may vary it.
    part : {'network', 'data', 'after'}
        What it changes: the network and its training, which clips and labels that is trained on, or what is
        done with the trained network.
    augments : str
        What it adds to the training images at random ("flips") unless it is false or 0; empty for nothing.
    """
    says = {"role": "result", "searched": searched, "part": part, "augments": augments}
    return field(default=default, metadata=says)


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


def augmentations(settings_class: type) -> dict[str, str]:
    """What the fields that change training images at random add to them, by their names."""
    said = {item.name: item.metadata.get("augments") for item in fields(settings_class)}
    return {name: what for name, what in said.items() if what}


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
    """The text that stands under each field of a settings class, on one line.

    ``{data.layouts.LAYOUTS}`` in a text becomes the names that this registry holds.
    """
    (body,) = ast.parse(textwrap.dedent(inspect.getsource(settings_class))).body
    reasons = {}
    for statement, following in zip(body.body, body.body[1:], strict=False):
        if isinstance(statement, ast.AnnAssign) and isinstance(following, ast.Expr):
            text = re.sub(r"\{([\w.]+)\.(\w+)\}", _registered, str(following.value.value))
            reasons[statement.target.id] = " ".join(text.split())
    return reasons


def _registered(found: re.Match) -> str:
    """Names in a registry, read from the text of its module: to import some takes seconds."""
    path = Path(__file__).parent / f"{found[1].replace('.', '/')}.py"
    for statement in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(statement, ast.AnnAssign) and statement.target.id == found[2]:
            return ", ".join(repr(ast.literal_eval(key)) for key in statement.value.keys)
    raise ValueError(f"{path} has no registry {found[2]}.")


def check_range(settings: Any, name: str, low: float, high: float) -> None:
    """Refuse a setting outside [low, high] with a SettingsError."""
    value = getattr(settings, name)
    if not low <= value <= high:
        raise SettingsError(f"{name} is {value}.", f"{low} to {high}", f"set {name} within this range.")
