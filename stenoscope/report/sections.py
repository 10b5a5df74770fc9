"""What several pages say in the same words: how a clip was called, changed settings, inputs."""

import shlex
from collections.abc import Mapping
from dataclasses import asdict

from stenoscope.evaluation.metrics import THRESHOLD
from stenoscope.report.panels import CLASS_NAMES
from stenoscope.roles import names
from stenoscope.settings import TrainingSettings

_HASH_LENGTH = 64  # hexadecimal digits of SHA-256; other inputs are named by what they are


def call_of(clip) -> dict:
    """What a clip was called, and whether that is right or contradicts its mean probability.

    Takes a row of `evaluation.clip_vote.vote`, its label below 0 where it is not known.
    """
    by_mean = int(clip.probability >= THRESHOLD)
    return {
        "clip_id": clip.clip_id,
        "called": CLASS_NAMES[clip.decision],
        "right": clip.label == clip.decision if clip.label >= 0 else None,
        "votes": clip.votes,
        "frames": clip.frames,
        "probability": f"{clip.probability:.2f}",
        "contradicts": CLASS_NAMES[by_mean] if by_mean != clip.decision else "",
    }


def map_title(name: str) -> str:
    """What to call a map: ``cam_clip`` is the CAM of all key frames of a clip, ``cam, clip``."""
    return name.replace("_clip", ", clip").replace("_", " ")


def changed_settings(settings: Mapping) -> list[dict]:
    """Settings that differ from their defaults and say what was run, not where."""
    defaults = asdict(TrainingSettings())
    where = names(TrainingSettings, "place", "speed")
    return [
        {"name": name, "value": value, "default": defaults.get(name, "")}
        for name, value in settings.items()
        if value != defaults.get(name) and name not in where
    ]


def settings_note(changed: list[dict], settings: Mapping) -> str:
    """A line on the network and how far the run is from the defaults."""
    network = f"{settings.get('backbone')} with {settings.get('weights')} weights"
    if not changed:
        return f"{network}; every setting has its default."
    if len(changed) == 1:
        return f"{network}; one setting differs from its default:"
    return f"{network}; {len(changed)} settings differ from their defaults:"


def inputs_of(manifest: dict) -> dict[str, str]:
    """A result's inputs: files by their hash, the rest by what it is."""
    return {
        f"SHA-256 of {name}" if len(value) == _HASH_LENGTH else name: value
        for name, value in manifest.get("inputs", {}).items()
    }


def versions_of(manifest: dict) -> str:
    """Versions of the packages, as a list."""
    return ", ".join(f"{name} {value}" for name, value in manifest.get("versions", {}).items())


def provenance_of(manifest: dict) -> dict:
    """What a manifest says about where a result comes from, by name."""
    entries = {
        "command": shlex.join(manifest["command"]) if "command" in manifest else None,
        "seed": manifest.get("seed"),
        "commit": manifest.get("git_commit"),
        **inputs_of(manifest),
        "versions": versions_of(manifest),
    }
    return {name: value for name, value in entries.items() if value not in (None, "")}
