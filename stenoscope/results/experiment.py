"""A finished experiment."""

from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from pathlib import Path

import pandas as pd
import yaml

from stenoscope.results.files import (
    CONFIG,
    DECISIONS,
    HEATMAPS,
    HISTORY,
    INTAKE,
    SUMMARY,
    read,
    read_json,
    read_predictions,
    read_table,
    read_table_if_any,
)
from stenoscope.run.commands import train_again
from stenoscope.run.provenance import check_outputs, read_manifest
from stenoscope.settings import TrainingSettings


@dataclass(frozen=True)
class Experiment:
    """A finished experiment, as opened by `read_experiment`; tables are read when they are asked for.

    Settings are as written: of an earlier release some may be missing, or have other names.
    """

    folder: Path
    manifest: dict
    settings: dict

    @property
    def trained(self) -> TrainingSettings:
        """What the models were trained with."""
        return TrainingSettings(**self.settings)

    @cached_property
    def summary(self) -> dict:
        """Content of `summary.json`, as of `evaluation.summary.summarise`."""
        return read_json(self.folder / SUMMARY)

    @cached_property
    def predictions(self) -> pd.DataFrame:
        """`predictions.csv`: one row per test frame."""
        return read_predictions(self.folder)

    @property
    def num_keyframes(self) -> int:
        """Key frames of each clip: its rows in `predictions.csv`."""
        return int(self.predictions.groupby("clip_id").size().iloc[0])

    @cached_property
    def decisions(self) -> pd.DataFrame | None:
        """`decisions.csv`; None where no patients were held out to calibrate on."""
        return read_table_if_any(self.folder / DECISIONS)

    @cached_property
    def histories(self) -> dict[int, pd.DataFrame]:
        """By fold, a row for each epoch."""
        paths = {
            int(path.parent.name.removeprefix("fold_")): path
            for path in self.folder.glob(f"fold_[0-9]*/{HISTORY}")
        }
        return {fold: read_table(paths[fold], keep_default_na=True) for fold in sorted(paths)}

    @property
    def methods(self) -> list[str]:
        """Heatmap methods that were drawn, the default first."""
        found = {path.name.split(".")[-2] for path in (self.folder / HEATMAPS).glob("*.*.png")}
        return sorted(found, key=lambda name: (name != self.settings.get("heatmap"), name))


def read_experiment(folder: str | PathLike) -> Experiment:
    """Open a finished experiment.

    A DatasetError if it is not finished, or a file that the manifest states the hash of is missing or
    damaged.
    """
    folder = Path(folder)
    manifest = read_manifest(folder, "experiment", train_again(folder))
    check_outputs(folder, manifest)
    return Experiment(folder, manifest, read(folder / CONFIG, yaml.safe_load))


def refused_inputs(folder: Path) -> list[dict]:
    """Rows ``path``, ``reason`` of `folder/intake.csv` that were quarantined; empty without the file."""
    if not (folder / INTAKE).exists():
        return []
    intake = read_table(folder / INTAKE, dtype=str)
    return intake[intake["status"] == "quarantined"][["path", "reason"]].to_dict("records")
