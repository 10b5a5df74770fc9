"""Read a finished results folder."""

import json
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import pandas as pd
import yaml

from stenoscope.errors import DatasetError
from stenoscope.run.commands import train_again
from stenoscope.run.csv_files import from_csv, read_csv
from stenoscope.run.provenance import MANIFEST, check_outputs, parse_manifest

HEATMAPS = "heatmaps"
"""Folder of the panels in a results folder."""

DECISIONS = "decisions.csv"
"""Calibrated decisions on the test clips, where patients were held out to calibrate on."""

LOCALISATION = "localisation.csv"
"""How each map and baseline did on each test clip with a known lesion; `summary.json` is computed from it."""

INNER = "inner.csv"
"""Predictions of a fold's model on the patients held out of its training, in `fold_K/`."""


SEEN, SEEN_PATIENT, UNSEEN, UNKNOWN = "clip", "patient", "no", "not known"
"""Column `in_training` of a prediction: whether the clip, or its patient, was in the training data."""


@dataclass(frozen=True)
class Experiment:
    """A finished experiment, as read from its folder by `read_experiment`."""

    folder: Path
    manifest: dict
    summary: dict
    settings: dict
    predictions: pd.DataFrame
    histories: dict[int, pd.DataFrame]
    decisions: pd.DataFrame | None

    @property
    def methods(self) -> list[str]:
        """Heatmap methods that were drawn, the default first."""
        found = {path.name.split(".")[-2] for path in (self.folder / HEATMAPS).glob("*.*.png")}
        return sorted(found, key=lambda name: (name != self.settings.get("heatmap"), name))


_HASH_LENGTH = 64  # hexadecimal digits of SHA-256; other inputs are named by what they are


def read_experiment(folder: str | PathLike) -> Experiment:
    """Read what a finished experiment left in its folder.

    Raises
    ------
    DatasetError
        If `manifest.json`, `summary.json`, `config.yaml` or `predictions.csv` is missing or damaged.
    """
    folder = Path(folder)
    manifest = _read(folder / MANIFEST, parse_manifest)
    check_outputs(folder, manifest)
    histories = {
        int(path.parent.name.removeprefix("fold_")): read_csv(path, keep_default_na=True)
        for path in sorted(folder.glob("fold_[0-9]*/history.csv"))
    }
    return Experiment(
        folder,
        manifest=manifest,
        summary=_read(folder / "summary.json", json.loads),
        settings=_read(folder / "config.yaml", yaml.safe_load),
        predictions=read_predictions(folder),
        histories=dict(sorted(histories.items())),
        decisions=read_predictions(folder, DECISIONS) if (folder / DECISIONS).exists() else None,
    )


def read_predictions(folder: Path, name: str = "predictions.csv") -> pd.DataFrame:
    """Read `folder/predictions.csv`, or another file of its kind; ids are text, whatever they look like."""
    return _read(folder / name, from_csv)


def refused_inputs(folder: Path) -> list[dict]:
    """Rows ``path``, ``reason`` of `folder/intake.csv` that were quarantined; empty without the file."""
    if not (folder / "intake.csv").exists():
        return []
    intake = read_csv(folder / "intake.csv", dtype=str)
    return intake[intake["status"] == "quarantined"][["path", "reason"]].to_dict("records")


def input_rows(manifest: dict) -> list[dict]:
    """Rows ``name``, ``value`` of a result's inputs: files by their hash, the rest by what it is."""
    return [
        {"name": f"SHA-256 of {name}" if len(value) == _HASH_LENGTH else name, "value": value}
        for name, value in manifest.get("inputs", {}).items()
    ]


def provenance_rows(manifest: dict) -> list[dict]:
    """Rows ``name``, ``value`` of what a manifest says about where a result comes from."""
    entries = {
        "command": shlex.join(manifest["command"]) if "command" in manifest else None,
        "seed": manifest.get("seed"),
        "commit": manifest.get("git_commit"),
        **{row["name"]: row["value"] for row in input_rows(manifest)},
        "versions": ", ".join(f"{name} {value}" for name, value in manifest.get("versions", {}).items()),
    }
    return [{"name": name, "value": value} for name, value in entries.items() if value not in (None, "")]


def read_json(path: Path) -> dict:
    """Content of a JSON file of a finished results folder."""
    return _read(path, json.loads)


def read_manifest_if_any(folder: Path) -> dict:
    """Content of `folder/manifest.json`, empty without the file."""
    return _read(folder / MANIFEST, parse_manifest) if (folder / MANIFEST).exists() else {}


def _read(path: Path, parse: Callable):
    try:
        return parse(path.read_bytes().decode("utf-8"))
    except FileNotFoundError:
        raise DatasetError(
            f"No {path}.", "a finished results folder", f"run `{train_again(path.parent)}` to its end."
        ) from None
    except (OSError, ValueError, yaml.YAMLError) as problem:
        raise DatasetError(
            f"{path} can't be read: {problem}.", "", f"run `{train_again(path.parent, overwrite=True)}`."
        ) from problem
