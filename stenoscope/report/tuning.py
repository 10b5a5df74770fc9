"""The page of a tuning study, and its table for the terminal: what the search found and what it was worth."""

import json
from collections.abc import Mapping
from os import PathLike
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from rich.console import Console

from stenoscope.report.page import Drawing, render, write_figures
from stenoscope.report.plots import CLIP, FRAME, Plot, render_plot
from stenoscope.report.sections import provenance_rows
from stenoscope.report.tables import _table, interval_text, number_text
from stenoscope.results.files import REPORT, SUMMARY, read_manifest_if_any
from stenoscope.run.csv_files import read_csv
from stenoscope.run.provenance import write_text

_NOT_SEARCHED = ("fold", "trial", "state", "score", "inner_folds", "seconds", "problem")


def write_tuning_report(study: str | PathLike) -> Path:
    """Write `report.html` and `figures/*.png` of a study.

    Parameters
    ----------
    study : path
        Its folder, with trials.csv, summary.json and manifest.json.

    Returns
    -------
    Path
        Of the page.
    """
    folder = Path(study)
    summary, trials = _summary(folder), read_csv(folder / "trials.csv")
    trials["score"] = pd.to_numeric(trials["score"])
    drawings = _drawings(summary, trials)
    write_figures(folder, drawings)
    searched = [name for name in trials.columns if name not in _NOT_SEARCHED]
    numbers = [fold["fold"] for fold in summary["folds"]]
    manifest = read_manifest_if_any(folder)
    page = render(
        "tuning.html",
        kind="Tuning",
        manifest=manifest,
        title=folder.resolve().name,
        lead=_lead(summary),
        warnings=_warnings(summary),
        tiles=_tiles(summary["pooled"]),
        bootstrap=summary["bootstrap"],
        numbers=numbers,
        inner_folds=summary["inner_folds"],
        scores=[
            *(_score_row(f"fold {fold['fold']}", fold) for fold in summary["folds"]),
            *([_score_row("all", summary["pooled"])] if len(numbers) > 1 else []),
        ],
        figures=[drawing.page for drawing in drawings.values()],
        importance=summary["importance"]["method"],
        settings=[
            {
                "name": name,
                "default": setting_text(value),
                "chosen": [setting_text(fold["chosen"][name]) for fold in summary["folds"]],
                "changed": any(fold["chosen"][name] != value for fold in summary["folds"]),
            }
            for name, value in summary["default"].items()
        ],
        best_fold=summary["best_fold"],
        searched=searched,
        trials=[_trial_row(row, searched) for row in trials.to_dict("records")],
        provenance=provenance_rows(manifest),
    )
    write_text(folder / REPORT, page)
    return folder / REPORT


def print_tuning(study: str | PathLike, console: Console | None = None) -> None:
    """Print the inner and the outer scores of a study."""
    console = console or Console(highlight=False)
    summary = _summary(Path(study))
    table = _table("Clip AUC", "", "inner", "outer", "95 % interval", "default", "gain", "95 % interval")
    rows = [(f"fold {fold['fold']}", fold) for fold in summary["folds"]]
    rows += [("all", summary["pooled"])] if len(rows) > 1 else []
    for name, scores in rows:
        row = _score_row(name, scores)
        cells = (row["inner"], row["outer"], row["interval"], row["default"])
        table.add_row(name, *cells, row["difference"], row["difference_interval"])
    console.print()
    console.print(table)
    console.print(
        "inner: the score that chose the settings; outer: on patients that took no part in choosing; gain: "
        "over the default settings on these patients.",
        style="dim",
    )
    for warning in _warnings(summary):
        console.print(warning, style="yellow")


def history_figure(trials: pd.DataFrame, dark: bool = False) -> Plot:
    """Inner score of every trial in its order, and the best so far; one panel per outer fold.

    Parameters
    ----------
    trials : DataFrame
        trials.csv: fold, trial, state, score.
    dark : bool
    """
    folds = sorted(trials["fold"].unique())

    def draw(figure: Figure, theme: dict) -> None:
        panels = figure.subplots(1, len(folds), sharey=True, squeeze=False)[0]
        for axes, fold in zip(panels, folds, strict=True):
            rows = trials[trials["fold"] == fold]
            complete, pruned = (rows[rows["state"] == state] for state in ("complete", "pruned"))
            axes.plot(pruned["trial"], pruned["score"], "x", ms=5, color=theme["quiet"], label="given up")
            axes.plot(complete["trial"], complete["score"], "o", ms=5, color=FRAME, label="finished")
            best = complete["score"].cummax()
            axes.step(
                complete["trial"], best, where="post", color=CLIP, lw=1.8, label="best so far", zorder=0
            )
            axes.set(xlabel="trial")
            axes.set_title(f"outer fold {fold}", size=11)
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
        panels[0].set_ylabel("clip AUC on inner folds")
        handles = panels[0].get_legend_handles_labels()
        figure.legend(*handles, loc="outside upper center", ncols=3, frameon=False, fontsize=9)

    return render_plot(draw, (5.2, 4.0) if len(folds) == 1 else (9.0, 3.3), dark)


def importance_figure(
    importance: Mapping[str, float], per_fold: Mapping[int, Mapping[str, float]], dark: bool = False
) -> Plot:
    """Share of the variance of the score that each setting explains; dots are single outer folds.

    Parameters
    ----------
    importance : mapping of str to float
        Sums to 1.
    per_fold : mapping of int to mapping
        The same by outer fold; drawn if there are several.
    dark : bool
    """
    names = sorted(importance, key=lambda name: importance[name])

    def draw(figure: Figure, theme: dict) -> None:
        axes = figure.subplots()
        places = np.arange(len(names))
        axes.barh(places, [importance[name] for name in names], height=0.6, color=CLIP, alpha=0.9)
        if len(per_fold) > 1:
            for values in per_fold.values():
                axes.plot(
                    [values[name] for name in names], places, "o", ms=3.5, color=theme["ink"], alpha=0.6
                )
        axes.set_yticks(places, names)
        axes.tick_params(axis="y", length=0, labelcolor=theme["ink"])
        axes.set(xlabel="share of the explained variance", xlim=(0, None))

    return render_plot(draw, (5.2, 1.0 + 0.28 * len(names)), dark)


def nested_figure(scores: Mapping[str, Mapping], dark: bool = False) -> Plot:
    """Inner beside outer scores of the chosen and the default settings.

    Parameters
    ----------
    scores : mapping of str to mapping
        By line: inner, default_inner, outer, default_outer, as in summary.json.
    dark : bool
    """

    def draw(figure: Figure, theme: dict) -> None:
        axes = figure.subplots()
        arms = (("chosen", "inner", "outer", CLIP), ("default", "default_inner", "default_outer", FRAME))
        for line, row in enumerate(scores.values()):
            for arm, (name, inner, outer, colour) in enumerate(arms):
                y, named = line + 0.3 * arm - 0.15, name if line == 0 else "_"  # "_": not in the legend
                if row[outer]["ci95"]:
                    axes.plot(
                        row[outer]["ci95"], (y, y), color=colour, lw=2, solid_capstyle="butt", alpha=0.6
                    )
                if row[inner] is not None:
                    axes.plot((row[inner], row[outer]["value"]), (y, y), color=theme["line"], lw=1, zorder=0)
                    style = {"mfc": theme["paper"], "mec": colour, "mew": 1.6, "ms": 7}
                    axes.plot(row[inner], y, "o", label=f"{named}, inner", **style)
                axes.plot(row[outer]["value"], y, "o", ms=7, color=colour, label=f"{named}, outer")
        axes.set_yticks(range(len(scores)), list(scores))
        axes.tick_params(axis="y", length=0, labelcolor=theme["ink"])
        axes.set_ylim(len(scores) - 0.5, -0.5)
        axes.set_xlabel("clip AUC, 95 % interval over patients")
        figure.legend(loc="outside upper center", ncols=2, frameon=False, fontsize=9)

    return render_plot(draw, (5.2, 1.7 + 0.62 * len(scores)), dark)


def setting_text(value) -> str:
    """A setting's value for people: three digits of a number with many."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _summary(folder: Path) -> dict:
    return json.loads((folder / SUMMARY).read_text(encoding="utf-8"))


def _drawings(summary: Mapping, trials: pd.DataFrame) -> dict[str, Drawing]:
    lines = {f"fold {fold['fold']}": fold for fold in summary["folds"]}
    if len(lines) > 1:
        lines["all"] = summary["pooled"]
    result = {
        "history": Drawing.of(
            "Trials",
            "Every trial by its score on the inner folds. A cross: given up after an inner fold, where it "
            "lay below the median of the finished trials.",
            history_figure,
            trials,
            shape="wide" if len(summary["folds"]) > 1 else "",
        ),
        "nested": Drawing.of(
            "Inner against outer score",
            "Open: the score that settings were chosen by, or would have been. Filled: on patients that took "
            "no part in choosing.",
            nested_figure,
            lines,
        ),
    }
    if summary["importance"]["values"]:
        per_fold = {
            fold["fold"]: fold["importance"] for fold in summary["folds"] if fold["importance"] is not None
        }
        result["importance"] = Drawing.of(
            "Importance of the settings",
            f"Of the variance of the inner score that single settings explain, the share of each: "
            f"{summary['importance']['method']}. With few trials this is a rough estimate.",
            importance_figure,
            summary["importance"]["values"],
            per_fold,
        )
    return result


def _lead(summary: Mapping) -> str:
    pooled, counts = summary["pooled"], [sum(fold["trials"].values()) for fold in summary["folds"]]
    trials = str(counts[0]) if len(set(counts)) == 1 else f"{min(counts)} to {max(counts)}"
    folds = "fold 1" if len(counts) == 1 else f"each of {len(counts)} outer folds"
    outer = pooled["outer"]
    return (
        f"{trials} trials on {summary['inner_folds']} inner folds of the training part of {folds}. The "
        f"chosen settings have a clip AUC of {number_text(pooled['inner'])} on the inner folds and of "
        f"{number_text(outer['value'])}, 95 % interval {interval_text(outer['ci95'])}, on the "
        f"{outer['clips']} test clips of {outer['patients']} patients that took no part in choosing them."
    )


def _warnings(summary: Mapping) -> list[str]:
    found = []
    for fold in summary["folds"]:
        if fold["tested"] > 1:
            found.append(
                f"The test part of fold {fold['fold']} has scored {fold['tested']} settings beside the "
                "default, because the search continued after a first choice had been tested: if that score "
                "was the reason to continue, this one is optimistic."
            )
    bounds = summary["pooled"]["difference"]["ci95"]
    if bounds and bounds[0] <= 0 <= bounds[1]:
        found.append(
            "The interval of the difference to the default settings contains 0: on these patients the search "
            "is not shown to have gained anything."
        )
    return found


def _tiles(pooled: Mapping) -> list[dict]:
    def tile(label: str, value: float | None, bounds=None, bar: bool = True) -> dict:
        low, high = bounds or (None, None)
        drawn = bar and low is not None
        return {
            "label": label,
            "value": number_text(value),
            "interval": interval_text(bounds) if bounds else "",
            "low": round(100 * low, 1) if drawn else None,
            "width": round(100 * (high - low), 1) if drawn else None,
            "at": round(100 * value, 1) if drawn else None,
        }

    gap = pooled["difference"]
    return [
        tile("outer clip AUC, chosen", pooled["outer"]["value"], pooled["outer"]["ci95"]),
        tile("outer clip AUC, default", pooled["default_outer"]["value"], pooled["default_outer"]["ci95"]),
        {
            **tile("difference", gap["difference"], gap["ci95"], bar=False),
            "value": f"{gap['difference']:+.3f}",
        },
        tile("inner clip AUC, chosen", pooled["inner"]),
    ]


def _score_row(name: str, scores: Mapping) -> dict:
    gap = scores["difference"]
    return {
        "name": name,
        "inner": number_text(scores["inner"]),
        "outer": number_text(scores["outer"]["value"]),
        "interval": interval_text(scores["outer"]["ci95"]),
        "optimism": f"{scores['optimism']:+.3f}",
        "default_inner": number_text(scores["default_inner"]),
        "default": number_text(scores["default_outer"]["value"]),
        "difference": f"{gap['difference']:+.3f}",
        "difference_interval": interval_text(gap["ci95"]),
        "strong": name == "all",
    }


def _trial_row(row: Mapping, searched: list[str]) -> dict:
    return {
        "fold": row["fold"],
        "trial": row["trial"],
        "state": row["problem"] or row["state"],
        "score": number_text(None if np.isnan(row["score"]) else row["score"]),
        "faint": row["state"] != "complete",
        "values": [setting_text(row[name]) for name in searched],
    }
