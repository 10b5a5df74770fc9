"""Numbers of a summary as the pages' tables need them: names, rounded texts, positions."""

import shlex
from collections.abc import Mapping
from dataclasses import asdict

from stenoscope.evaluation.metrics import THRESHOLD
from stenoscope.report.panels import CLASS_NAMES
from stenoscope.report.tables import figure_names, interval_text, mean_text, number_text, percent_text
from stenoscope.roles import names
from stenoscope.settings import TrainingSettings

_ERRORS = {"brier": "Brier score", "ece": "calibration error (ECE)", "nll": "negative log-likelihood"}
_HASH_LENGTH = 64  # hexadecimal digits of SHA-256; other inputs are named by what they are
_AT = ("sensitivity", "specificity", "accuracy")


def tile(name: str, figure: Mapping) -> dict:
    """A headline metric with its interval as a bar from 0 to 1."""
    low, high = figure["ci95"] or (None, None)
    return {
        "label": figure_names()[name],
        "value": number_text(figure["pooled"]),
        "interval": interval_text(figure["ci95"]),
        "low": None if low is None else round(100 * low, 1),
        "width": None if low is None else round(100 * (high - low), 1),
        "at": None if low is None else round(100 * figure["pooled"], 1),
    }


def metric_row(name: str, key: str, figure: Mapping) -> dict:
    """A row of the table of all figures: what it is called, its name in the summary, and what that holds."""
    return {
        "name": name,
        "strong": key in ("clip_auc", "clip_accuracy"),
        "mean": mean_text(figure),
        "pooled": number_text(figure["pooled"]),
        "interval": interval_text(figure["ci95"]),
        "per_fold": [number_text(value) for value in figure["per_fold"]],
    }


def call_of(clip) -> dict:
    """What a clip was called, and whether that is right or contradicts its mean probability.

    Parameters
    ----------
    clip : namedtuple
        A row of `evaluation.clip_vote.vote`, its label below 0 where it is not known.
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


def localisation_rows(summary: Mapping | None) -> list[dict]:
    """How well each map finds the lesion, null baselines last; empty where no lesion is known."""
    return [
        {
            "name": map_title(name),
            "baseline": row["baseline"],
            "clips": row["clips"],
            "hit": f"{100 * row['hit']['mean']:.0f} %",
            "interval": interval_text(row["hit"]["ci95"], percent=True),
            "energy": f"{row['energy']['mean']:.3f}",
            "iou": f"{row['iou']['mean']:.3f}",
            "distance": f"{row['distance']['median']:.0f}",
        }
        for name, row in sorted((summary or {}).items(), key=lambda item: item[1]["baseline"])
    ]


def randomisation_rows(summary: Mapping | None) -> list[dict]:
    """What is left of each map once the network's weights are random; empty where it was not tried."""
    return [
        {
            "name": map_title(name),
            "clips": row["clips"],
            "cells": [
                number_text(row["similarity"]["mean"]),
                interval_text(row["similarity"]["ci95"], signed=True),
                number_text(row["magnitude"]["mean"]),
                percent_text(row["hit"] and row["hit"]["mean"]),
                interval_text(row["hit"] and row["hit"]["ci95"], percent=True),
            ],
        }
        for name, row in (summary or {}).items()
    ]


def decision_rows(decisions: Mapping | None, settings: Mapping) -> dict | None:
    """What the page says of calibrated decisions; None where there are none."""
    if not decisions:
        return None
    rule = {
        "youden": "Youden",
        "sensitive": "sensitive",
        "three_way": "with “uncertain”",
    }
    counts = decisions["three_way"]["counts"]
    uncertain = decisions["three_way"]["uncertain"]
    return {
        "share": percent_text(settings.get("inner_share")),
        "target": percent_text(decisions["target"]),
        "rows": [
            {"name": text, "cells": _cells(decisions[key][name] for name in _AT)}
            for key, text in rule.items()
        ],
        "uncertain": (
            f"{percent_text(uncertain['pooled'])} of the clips ({interval_text(uncertain['ci95'], True)}) "
            "are left uncertain; the last row is of the others."
        ),
        "counts": [{"truth": truth, **row} for truth, row in counts.items()],
        "errors": [
            {
                "name": text,
                "cells": _cells(decisions["calibration"][when][name] for when in ("before", "after")),
            }
            for name, text in _ERRORS.items()
        ],
        "folds": [
            {
                "name": f"fold {row['fold']}" if "fold" in row else "median, for new clips",
                "cells": [f"{row['temperature']:.2f}"]
                + [number_text(row[key]) for key in ("youden", "sensitive", "specific", "low", "high")],
            }
            for row in [*decisions["folds"], decisions["typical"]]
        ],
    }


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


def _cells(figures) -> list[str]:
    """Value and interval of each metric, side by side."""
    return [
        text for figure in figures for text in (number_text(figure["pooled"]), interval_text(figure["ci95"]))
    ]
