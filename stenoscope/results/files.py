"""What lies in an experiment's folder or beside a prediction, by name, and how it is read and written."""

import json
from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from stenoscope.errors import DatasetError
from stenoscope.run.commands import train_again
from stenoscope.run.csv_files import from_csv, to_csv
from stenoscope.run.provenance import MANIFEST, parse_manifest, write_text

CONFIG, SUMMARY, REPORT = "config.yaml", "summary.json", "report.html"

PREDICTIONS = "predictions.csv"
"""Probability of every test frame; of new clips, of every key frame."""

DECISIONS = "decisions.csv"
"""Calibrated decisions on the test clips, where patients were held out to calibrate on."""

LOCALISATION = "localisation.csv"
"""How each map and baseline did on each test clip with a known lesion; `summary.json` is computed from it."""

TRAINED_ON = "trained_on.csv"
"""Every key frame that was trained on: clip_id, patient_id, frame_index, pixel_sha256."""

CLIPS = "clips.csv"
"""One row a clip, for spreadsheets."""

INTAKE = "intake.csv"
"""What was found of each new clip."""

HEATMAPS = "heatmaps"
"""Folder of the panels."""

INNER = "inner.csv"
"""Predictions of a fold's model on the patients held out of its training, in `fold_K/`."""

HISTORY = "history.csv"
"""In `fold_K/`: a row for each epoch, of a learner that has epochs."""

MAPS = "maps"
"""Folder of a fold's maps: `<method>.npy` with the rows of `clips.npy`, and what belongs to them."""

RANDOMISATION = "randomisation.csv"
"""A fold's maps by networks with random weights, compared with those of the trained one."""

_READ_AGAIN = ("*.csv", "*.json", "*.yaml", "model.*", f"{MAPS}/*.npy")


def read_again(folder: Path) -> list[str]:
    """Files of an experiment, or of one of its folds, that later runs read, by their path in it."""
    found = [
        path for kind in _READ_AGAIN for part in ("", "fold_*/") for path in folder.glob(f"{part}{kind}")
    ]
    found = [path for path in found if path.name != MANIFEST and not path.name.startswith(".")]
    return [path.relative_to(folder).as_posix() for path in found]


def model_path(folder: Path, suffix: str) -> Path:
    """The file of a fold's learner, in the fold's folder; `suffix` is the learner's."""
    return folder / f"model{suffix}"


def write_table(path: str | PathLike, table: pd.DataFrame) -> None:
    """Write a table as CSV, atomically."""
    write_text(path, to_csv(table))


def read_table(path: str | PathLike, **options: Any) -> pd.DataFrame:
    """Table of a CSV file; ids are text, whatever they look like; `options` are for `csv_files.from_csv`.

    A DatasetError if the file is missing or damaged. So it is with all that is read here.
    """
    return read(path, lambda text: from_csv(text, **options))


def read_table_if_any(path: Path) -> pd.DataFrame | None:
    """Table of a CSV file, None without the file."""
    return read_table(path) if path.exists() else None


def read_predictions(folder: str | PathLike) -> pd.DataFrame:
    """The folder's `predictions.csv`."""
    return read_table(Path(folder) / PREDICTIONS)


def read_json(path: str | PathLike) -> dict:
    """Content of a JSON file."""
    return read(path, json.loads)


def read_manifest_if_any(folder: str | PathLike) -> dict:
    """Content of `folder/manifest.json`, empty without the file."""
    path = Path(folder) / MANIFEST
    return read(path, parse_manifest) if path.exists() else {}


def read(path: str | PathLike, parse: Callable[[str], Any]) -> Any:
    """What `parse` makes of a file's text."""
    path = Path(path)
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
