"""Curves and matrices of an experiment, for light or dark paper."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from sklearn.metrics import roc_curve

from stenoscope.evaluation.intervals import LEVEL, SEED, patient_draws
from stenoscope.evaluation.metrics import ECE_BINS, calibration_bins
from stenoscope.report.plots import ABNORMAL, CLIP, FRAME, LIGHT, NORMAL, plot

_BAND_RESAMPLES = 500


@plot(5.2, 5.0)
def roc_figure(figure: Figure, theme: dict, levels: Mapping[str, pd.DataFrame], summary: Mapping) -> None:
    """ROC curves of clips and frames with their operating points; the clips' with a 95 % band over patients.

    The clips' operating point need not lie on their curve: they are called by the vote of their frames, and
    the curve is of the mean probability. `levels` has ``frame`` and ``clip`` with patient_id, label,
    probability (`summary.evaluation_levels`).
    """
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color=theme["line"], lw=1.2, zorder=1)
    for level, colour in (("frame", FRAME), ("clip", CLIP)):
        table, value = levels[level], summary[f"{level}_auc"]
        if value["pooled"] is None:
            continue
        x, y, _ = roc_curve(table["label"], table["probability"], drop_intermediate=False)
        label = f"{level}s  AUC {value['pooled']:.3f}{_interval(value['ci95'])}"
        axes.plot(x, y, color=colour, lw=2.2, label=label, zorder=3)
        prefix, rule, marker = (
            ("", "called by their votes", "o")
            if level == "clip"
            else ("frame_", f"called from {summary['threshold']:g} on", "s")
        )
        hits, rest = (summary[f"{prefix}{name}"]["pooled"] for name in ("sensitivity", "specificity"))
        note = f"{rule}: sens. {hits:.2f}, spec. {rest:.2f}"
        style = {"mfc": colour, "mec": theme["ink"], "mew": 1.4, "ms": 8, "ls": "", "zorder": 4}
        axes.plot(1 - rest, hits, marker, label=note, **style)
        if level == "clip":
            grid, low, high = roc_band(table)
            axes.fill_between(grid, low, high, color=colour, alpha=0.18, lw=0, zorder=2)
    axes.set(xlabel="false positive rate (1 - specificity)", ylabel="true positive rate (sensitivity)")
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
    if len(axes.lines) > 1:
        axes.legend(loc="lower right", frameon=False)


def roc_band(
    clips: pd.DataFrame, resamples: int = _BAND_RESAMPLES
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pointwise 95 % band of a ROC curve from a bootstrap over patients: false positive rate, low and high.

    Each is float64 (101,). `clips` has patient_id, label, probability; resamples without both classes are
    left out.
    """
    patients, owner = np.unique(clips["patient_id"].to_numpy(dtype=str), return_inverse=True)
    probabilities = clips["probability"].to_numpy(np.float64)
    order = np.argsort(-probabilities, kind="stable")
    positive = clips["label"].to_numpy(np.float64)[order]
    last = np.flatnonzero(np.r_[np.diff(probabilities[order]) != 0, True])  # ties move together
    grid, curves = np.linspace(0, 1, 101), []
    for draws in patient_draws(len(patients), resamples, SEED, per_draw=len(clips)):
        weights = draws[:, owner[order]]
        true = (weights * positive).cumsum(axis=1)[:, last]
        false = (weights * (1 - positive)).cumsum(axis=1)[:, last]
        both = (true[:, -1] > 0) & (false[:, -1] > 0)
        for hits, alarms in zip(true[both], false[both], strict=True):
            curves.append(np.interp(grid, np.r_[0, alarms / alarms[-1]], np.r_[0, hits / hits[-1]]))
    low, high = np.quantile(curves, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    return grid, low, high


@plot(7.0, 3.7)
def confusion_figure(figure: Figure, theme: dict, confusion: Mapping[str, Mapping[str, int]]) -> None:
    """Confusion matrices of clips and frames, as in summary.json: counts and shares of each true class."""
    colours = LinearSegmentedColormap.from_list("share", [theme["paper"], FRAME])
    for axes, level in zip(figure.subplots(1, 2), ("clip", "frame"), strict=True):
        names = ("true_negative", "false_positive", "false_negative", "true_positive")
        counts = np.reshape([confusion[level][name] for name in names], (2, 2))
        shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        axes.imshow(shares, cmap=colours, vmin=0, vmax=1)
        for (row, column), count in np.ndenumerate(counts):
            colour = LIGHT["ink"] if shares[row, column] > 0.6 else theme["ink"]
            axes.text(column, row - 0.05, f"{count}", ha="center", va="center", color=colour, size=17)
            share = f"{100 * shares[row, column]:.0f} %"
            axes.text(column, row + 0.22, share, ha="center", va="center", color=colour, size=10)
        names = ("normal", "abnormal")
        axes.set(xticks=(0, 1), xticklabels=names, yticks=(0, 1), xlabel="called", ylabel="truth")
        axes.set_yticklabels(names, rotation=90, va="center")
        axes.set_title(f"{counts.sum()} {level}s", size=11)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)


@plot(5.2, 5.4)
def calibration_figure(figure: Figure, theme: dict, clips: pd.DataFrame, summary: Mapping) -> None:
    """Reliability of the clips' probabilities, above the distribution of the probabilities by class.

    `clips` has label and probability; Brier score and calibration error of `summary` are printed.
    """
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    _reliability(upper, clips, "probability", summary, theme)
    _histogram(lower, clips, "probability", theme)
    lower.axvline(summary["threshold"], color=theme["quiet"], lw=1, ls=":")
    lower.set(xlabel="probability of abnormal (mean of the clip's frames)")


@plot(8.6, 5.4)
def reliability_figure(figure: Figure, theme: dict, decisions: pd.DataFrame, summary: Mapping) -> None:
    """Reliability of the clips' probabilities before and after calibration.

    `decisions` has label, probability and calibrated (`evaluation.decisions.decide_all`), `summary` is that
    of `summarise_decisions`: the errors are printed, and what is typically called uncertain is shaded.
    """
    grid = figure.subplots(2, 2, sharex=True, sharey="row", height_ratios=(3, 2))
    for (upper, lower), column, when, name in zip(
        grid.T,
        ("probability", "calibrated"),
        ("before", "after"),
        ("as the network gave it", "calibrated on inner patients"),
        strict=True,
    ):
        _reliability(upper, decisions, column, summary["calibration"][when], theme)
        upper.set_title(name, size=11)
        _histogram(lower, decisions, column, theme)
        lower.set(xlabel="probability of abnormal")
    low, high = summary["typical"]["low"], summary["typical"]["high"]
    lower.axvspan(low, high, color=theme["quiet"], alpha=0.25, lw=0, zorder=0)
    for edge in {low, high}:
        lower.axvline(edge, color=theme["quiet"], lw=1, ls=":")
    if high > low:
        lower.margins(y=0.18)
        lower.text((low + high) / 2, 0.98, "uncertain", transform=lower.get_xaxis_transform(), size=9,
                   ha="center", va="top", color=theme["ink"])  # fmt: skip
    for axes in grid[:, 1]:
        axes.set_ylabel("")


def _reliability(axes, clips: pd.DataFrame, column: str, errors: Mapping, theme: dict) -> None:
    """Share of abnormal clips among those of similar probability; the area of a dot is their number."""
    probabilities = clips[column].to_numpy()
    bins = calibration_bins(probabilities)
    count = np.bincount(bins, minlength=ECE_BINS)
    used = count > 0
    predicted = np.bincount(bins, probabilities, ECE_BINS)[used] / count[used]
    observed = np.bincount(bins, clips["label"], ECE_BINS)[used] / count[used]
    axes.plot([0, 1], [0, 1], color=theme["line"], lw=1.2, zorder=1)
    axes.plot(predicted, observed, color=CLIP, lw=1.4, zorder=2)
    area = 18 + 260 * count[used] / count.max()
    axes.scatter(predicted, observed, s=area, color=CLIP, zorder=3, clip_on=False)
    names = {"brier": "Brier", "ece": "ECE", "nll": "NLL"}
    note = "\n".join(f"{text} {errors[name]['pooled']:.3f}" for name, text in names.items() if name in errors)
    axes.text(0.98, 0.04, note, transform=axes.transAxes, ha="right", color=theme["ink"])
    axes.set(ylabel="share abnormal", xlim=(0, 1), ylim=(-0.03, 1.03))


def _histogram(axes, clips: pd.DataFrame, column: str, theme: dict) -> None:
    """Probabilities by true class."""
    groups = [clips.loc[clips["label"] == label, column].to_numpy() for label in (0, 1)]
    edges, names = np.linspace(0, 1, 21), ("normal", "abnormal")
    axes.hist(groups, edges, stacked=True, color=(NORMAL, ABNORMAL), label=names, rwidth=0.86)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=4))
    axes.set(ylabel="clips", xlim=(0, 1))
    axes.legend(frameon=False, ncols=2, loc="lower center", bbox_to_anchor=(0.5, 0.97))


@plot(8.4, 3.4)
def history_figure(figure: Figure, theme: dict, histories: Mapping[int, pd.DataFrame]) -> None:
    """Training loss and accuracy of every fold, by epoch (from 0)."""
    left, right = figure.subplots(1, 2)
    for axes, column in ((left, "loss"), (right, "accuracy")):
        for position, (fold, table) in enumerate(histories.items()):
            style = {
                "alpha": 0.35 + 0.65 * position / max(1, len(histories) - 1),
                "marker": "o" if len(table) == 1 else None,
            }
            axes.plot(table["epoch"] + 1, table[column], color=FRAME, label=f"fold {fold}", **style)
        axes.set(xlabel="epoch", ylabel=f"training {column}")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.set_ylim(0, 1.02 if column == "accuracy" else None)
    right.axhline(0.5, color=theme["line"], lw=1, zorder=0)
    right.legend(frameon=False, loc="lower right", fontsize=9)


@plot(7.0, 0.9)
def localisation_figure(figure: Figure, theme: dict, localisation: Mapping[str, Mapping]) -> None:
    """Share of abnormal clips whose map's maximum hits the lesion, methods above null baselines.

    From `localisation.summarise_localisation`.
    """
    figure.set_figheight(0.9 + 0.42 * len(localisation))
    axes = figure.subplots()
    rows = sorted(localisation.items(), key=lambda item: item[1]["baseline"])[::-1]
    for y, (_, row) in enumerate(rows):
        colour = theme["quiet"] if row["baseline"] else CLIP
        mean, interval = row["hit"]["mean"], row["hit"]["ci95"]
        axes.barh(y, mean, height=0.56, color=colour, alpha=0.55 if row["baseline"] else 0.9)
        if interval:
            axes.plot(interval, (y, y), color=theme["ink"], lw=1.4, solid_capstyle="butt")
        axes.text(1.02, y, f"{100 * mean:.0f} %", va="center", color=theme["ink"])
    axes.set(xlim=(0, 1), xlabel="share of abnormal clips that the maximum hits")
    axes.set_yticks(range(len(rows)), [name.replace("_", " ") for name, _ in rows])
    axes.tick_params(axis="y", length=0)


@plot(8.6, 1.3)
def forest_figure(
    figure: Figure,
    theme: dict,
    arms: Mapping[str, Mapping[str, Mapping]],
    names: Mapping[str, str],
    chance: bool = False,
    differences: bool = False,
) -> None:
    """Pooled figures of several arms with their intervals, one line each.

    `arms` is as ``arms`` of `evaluation.comparison.compare_arms`, and `names` says what to call the figures.
    `chance` marks 0.5, where an AUC tells nothing; `differences` draws the differences to the first arm
    beside them.
    """
    figures_of = list(next(iter(arms.values())))
    height = len(figures_of) + 0.9
    figure.set_figheight(1.3 + 0.27 * height * len(arms))
    panels = np.atleast_1d(figure.subplots(1, 1 + differences, sharey=True))
    for axes, part in zip(panels, ("figure", "difference")[: len(panels)], strict=True):
        for block, figures in enumerate(arms.values()):
            for line, (name, row) in enumerate(figures.items()):
                y = block * height + line
                shown = row if part == "figure" else row["difference"]
                if shown is None or shown["ci95"] is None:
                    continue
                colour = CLIP if name.startswith("clip") else FRAME
                hollow = theme["paper"] if "accuracy" in name else colour
                axes.plot(shown["ci95"], (y, y), color=colour, lw=2, solid_capstyle="butt", zorder=2)
                marker = "o" if name.endswith(("auc", "accuracy")) else "D"
                axes.plot(
                    shown["pooled" if part == "figure" else "value"], y, marker, ms=7, mec=colour,
                    mew=1.6, mfc=hollow, zorder=3, label=names[name] if block == len(arms) - 1 else None,
                )  # fmt: skip
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", length=0)
    first = panels[0]
    middle = (len(figures_of) - 1) / 2
    first.set_yticks([block * height + middle for block in range(len(arms))], list(arms))
    first.tick_params(axis="y", labelcolor=theme["ink"])
    first.set_ylim(len(arms) * height - 0.5, -0.9)
    first.set_xlabel("pooled over all test clips, 95 % interval")
    if chance:
        first.axvline(0.5, color=theme["quiet"], lw=1.2, ls=":", zorder=1)
    if differences:
        panels[1].axvline(0, color=theme["quiet"], lw=1.2, ls=":", zorder=1)
        panels[1].set_xlabel(f"difference to {next(iter(arms))}, 95 % interval")
    handles, labels = first.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=4, frameon=False)


def _interval(bounds: Sequence[float] | None) -> str:
    return f" ({bounds[0]:.2f} to {bounds[1]:.2f})" if bounds else ""
