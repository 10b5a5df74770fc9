"""The role of a setting, said once in its field: `result`, `place` or `speed`."""

from dataclasses import field, fields
from typing import Any

from stenoscope.errors import SettingsError


def result(default: Any, searched: bool = True) -> Any:
    """A field that can change results; with `searched` false, tuning may not vary it."""
    return field(default=default, metadata={"role": "result", "searched": searched})


def place(default: Any) -> Any:
    """A field that says where things, or other settings, are; what is read from there is compared itself."""
    return field(default=default, metadata={"role": "place"})


def speed(default: Any) -> Any:
    """A field that says how the work is shared out and changes no result."""
    return field(default=default, metadata={"role": "speed"})


def names(settings_class: type, *roles: str) -> frozenset[str]:
    """Fields of a settings class that have one of these roles."""
    return frozenset(item.name for item in fields(settings_class) if item.metadata["role"] in roles)


def check_range(settings: Any, name: str, low: float, high: float) -> None:
    """Refuse a setting outside [low, high] with a SettingsError."""
    value = getattr(settings, name)
    if not low <= value <= high:
        raise SettingsError(f"{name} is {value}.", f"{low} to {high}", f"set {name} within this range.")
