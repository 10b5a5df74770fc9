"""The page of a tuning study, and its table for the terminal: what the search found and its gain."""

import warnings
from collections.abc import Callable, Mapping
from os import PathLike
from pathlib import Path

import matplotlib
import optuna
from matplotlib.figure import Figure
from optuna.visualization.matplotlib import plot_optimization_history, plot_param_importances
from rich.console import Console

from stenoscope.report.page import Drawing, write_figures, write_page
from stenoscope.report.plots import CLIP, FRAME, REPRODUCIBLE, Plot, file_of, plot
from stenoscope.report.tables import interval_text, number_text, table_of
from stenoscope.results.files import SUMMARY, read_json, read_manifest_if_any, read_table
from stenoscope.tuning.study import importance_options, studies_of

_NOT_SEARCHED = ("fold", "trial", "state", "score", "inner_folds", "seconds", "problem")


def write_tuning_report(study: str | PathLike) -> Path:
    """Write `report.html` and `figures/*` of a study, and return the page's path.

    Its folder has study.db, trials.csv, summary.json and manifest.json.
    """
    folder = Path(study)
    summary, trials = read_json(folder / SUMMARY), read_table(folder / "trials.csv", keep_default_na=False)
    drawings = _drawings(folder, summary)
    write_figures(folder, drawings)
    return write_page(
        folder,
        "tuning.html",
        kind="Tuning",
        lead=_lead(summary),
        warnings=_warnings(summary),
        summary=summary,
        scores=_scores(summary),
        figures=[drawing.page for drawing in drawings.values()],
        searched=[name for name in trials.columns if name not in _NOT_SEARCHED],
        trials=[{**row, "score": row["score"] or None} for row in trials.to_dict("records")],
    )


def print_tuning(study: str | PathLike, console: Console | None = None) -> None:
    """Print the inner and the outer scores of a study."""
    console = console or Console(highlight=False)
    summary = read_json(Path(study) / SUMMARY)
    table = table_of("Clip AUC", "", "inner", "outer", "95 % interval", "default", "gain", "95 % interval")
    for name, row in _scores(summary).items():
        outer, gap = row["outer"], row["difference"]
        cells = (number_text(row["inner"]), number_text(outer["value"]), interval_text(outer["ci95"]))
        default = number_text(row["default_outer"]["value"])
        table.add_row(name, *cells, default, f"{gap['difference']:+.3f}", interval_text(gap["ci95"]))
    console.print()
    console.print(table)
    console.print(
        "inner: the score that chose the settings; outer: on patients that took no part in choosing; gain: "
        "over the default settings on these patients.",
        style="dim",
    )
    for warning in _warnings(summary):
        console.print(warning, style="yellow")


@plot(5.2, 1.7)
def nested_figure(figure: Figure, theme: dict, scores: Mapping[str, Mapping]) -> None:
    """Inner beside outer scores of the chosen and the default settings.

    `scores` has by line inner, default_inner, outer, default_outer, as in summary.json.
    """
    figure.set_figheight(1.7 + 0.62 * len(scores))
    axes = figure.subplots()
    arms = (("chosen", "inner", "outer", CLIP), ("default", "default_inner", "default_outer", FRAME))
    for line, row in enumerate(scores.values()):
        for arm, (name, inner, outer, colour) in enumerate(arms):
            y, named = line + 0.3 * arm - 0.15, name if line == 0 else "_"  # "_": not in the legend
            if row[outer]["ci95"]:
                axes.plot(row[outer]["ci95"], (y, y), color=colour, lw=2, solid_capstyle="butt", alpha=0.6)
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


def _scores(summary: Mapping) -> dict[str, Mapping]:
    """The scores of each outer fold, and of all together where there are several."""
    rows = {f"fold {fold['fold']}": fold for fold in summary["folds"]}
    return {**rows, "all": summary["pooled"]} if len(rows) > 1 else rows


def _drawings(folder: Path, summary: Mapping) -> dict[str, Drawing]:
    studies, seed = studies_of(folder), read_manifest_if_any(folder).get("seed", 0)
    result = {
        "history": _by_optuna(
            "Trials",
            "Every finished trial by its score on the inner folds, and the best so far.",
            plot_optimization_history,
            list(studies.values()),
            target_name="clip AUC on inner folds",
        ),
        "nested": Drawing.of(
            "Inner against outer score",
            "Open: the score that settings were chosen by, or would have been. Filled: on patients that took "
            "no part in choosing.",
            nested_figure,
            _scores(summary),
        ),
    }
    for fold in summary["folds"]:
        if fold["importance"] is not None:
            study = studies[fold["fold"]]
            result[f"importance_{fold['fold']}"] = _by_optuna(
                f"Importance of the settings, outer fold {fold['fold']}",
                f"Outer fold {fold['fold']}: of the variance of the inner score that settings explain, "
                f"the share of each: {summary['importance']['method']}. A rough estimate with few trials.",
                plot_param_importances,
                study,
                target_name="clip AUC on inner folds",
                **importance_options(study.best_trial.distributions, seed),
            )
    return result


def _by_optuna(title: str, caption: str, draw: Callable, *what, **options) -> Drawing:
    """A figure of Optuna's own, the same on light and dark paper."""
    matplotlib.use("Agg")
    with matplotlib.rc_context(), warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        figure = draw(*what, **options).figure
        matplotlib.pyplot.close(figure)
    figure.set(size_inches=(9.0, 4.0), layout_engine="constrained")

    def save(kind: str) -> bytes:
        with matplotlib.rc_context(REPRODUCIBLE):
            return file_of(figure, kind)

    plotted = Plot(save)
    return Drawing(title, caption, plotted, plotted, shape="wide")


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
