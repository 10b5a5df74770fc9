"""The page of ``--check``: what a cohort holds, what is left out and why, what should be looked at."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from os import PathLike
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from stenoscope.data.check import (
    NAMED_TRAITS,
    CheckRow,
    excluded_by_reason,
    note_counts,
)
from stenoscope.data.problems import BLOCKING, Problem
from stenoscope.imaging.intake import counts_of
from stenoscope.report.page import Drawing, render
from stenoscope.report.plots import ABNORMAL, NORMAL, plot
from stenoscope.run.provenance import write_text

_MAX_FILES = 400  # lines of the page's table; all of them are in intake.csv
_MAX_ITEMS = 200  # of one problem or reason
_MAX_VALUES = 12  # of one trait
_MAX_BINS, _MIN_BINS = 30, 5  # of a histogram; widths of a bin that a panel shows at least
_GROUPS = (("normal", "0", NORMAL), ("abnormal", "1", ABNORMAL), ("label unknown", "", None))
_SEVERITIES = {
    "leak": "Leak",
    "stop": "Stops step 1",
    "warning": "Look at this",
    "note": "Good to know",
}


def write_intake_page(
    path: str | PathLike, name: str, rows: Sequence[CheckRow], problems: Sequence[Problem], command: str
) -> None:
    """Write the page of a cohort, one self-contained file.

    `rows` has one entry a source, and one for each file or label without one; of `problems` the worst come
    first. `command` is what to run next.
    """
    usable = [row for row in rows if row.status == "ok"]
    # excluded and repeated clips before the others, other files last
    rank = {"quarantined": 0, "ok": 1, "ignored": 2}
    files = sorted(rows, key=lambda row: (rank[row.status] - 0.5 * bool(row.same_pixels_as), row.path))
    page = render(
        "intake.html",
        kind="Intake",
        title=name,
        blocked=any(problem.severity in BLOCKING for problem in problems),
        tiles=_tiles(rows, usable),
        groups=_problem_groups(problems),
        excluded=[
            {**group, "count": len(group["paths"]), "paths": group["paths"][:_MAX_ITEMS]}
            for group in excluded_by_reason(rows)
        ],
        notes=[{"note": note, "count": count} for note, count in note_counts(rows).items()],
        figures=[drawing.page for drawing in _drawings(usable)],
        traits=_trait_tables(usable),
        files=[_file(row) for row in files[:_MAX_FILES]],
        total=len(rows),
        command=command,
    )
    write_text(Path(path), page)


def _tiles(rows: Sequence[CheckRow], usable: Sequence[CheckRow]) -> list[dict]:
    def count(label: str) -> int:
        return sum(row.label == label for row in usable)

    def patients(label: str) -> int:
        return len({row.patient_id for row in usable if row.label == label} - {""})

    counts = counts_of(rows)
    everyone = {row.patient_id for row in usable} - {""}
    tiles = [
        (f"{len(usable)}", "clips can be used"),
        (f"{counts['quarantined']}", f"excluded; {counts['ignored']} other files"),
        (f"{len(everyone)}", "patients"),
        (f"{count('0')}", f"normal clips of {patients('0')} patients"),
        (f"{count('1')}", f"abnormal clips of {patients('1')} patients"),
        (f"{sum(row.num_frames or 0 for row in usable)}", "frames"),
    ]
    return [{"value": value, "name": name} for value, name in tiles]


def _problem_groups(problems: Sequence[Problem]) -> list[dict]:
    return [
        {
            "title": title,
            "bad": severity in BLOCKING,
            "problems": [
                {
                    "title": problem.title,
                    "fix": problem.fix,
                    "where": problem.items[:_MAX_ITEMS],
                    "count": len(problem.items),
                }
                for problem in problems
                if problem.severity == severity
            ],
        }
        for severity, title in _SEVERITIES.items()
        if any(problem.severity == severity for problem in problems)
    ]


def _trait_tables(usable: Sequence[CheckRow]) -> list[dict]:
    """For each trait with names, how many clips of each label have which value; the commonest first."""
    tables = []
    for name, trait in NAMED_TRAITS.items():
        counts: dict[str, list[int]] = {}
        for row in usable:
            cells = counts.setdefault(trait(row) or "not stated", [0, 0, 0])
            cells[("0", "1", "").index(row.label)] += 1
        ordered = sorted(counts.items(), key=lambda item: (-sum(item[1]), item[0]))
        lines = [{"value": value, "cells": cells, "all": sum(cells)} for value, cells in ordered]
        tables.append({"name": name, "lines": lines[:_MAX_VALUES], "more": len(lines) - _MAX_VALUES})
    return tables


def _file(row: CheckRow) -> dict:
    angles = "" if row.primary_angle is None else f"{row.primary_angle:g} / {row.secondary_angle:g}"
    return {
        "name": row.path or row.clip_id,
        "status": {"ok": "used", "quarantined": "excluded", "ignored": "no clip"}[row.status],
        "bad": row.status == "quarantined",
        "label": {"0": "normal", "1": "abnormal", "": ""}[row.label],
        "patient": row.patient_id,
        "frames": row.num_frames or "",
        "size": f"{row.rows} x {row.cols}" if row.rows else "",
        "bits": "" if row.bits_stored is None else f"{row.bits_stored} of {row.bits_allocated}",
        "time": "" if row.frame_time_ms is None else f"{row.frame_time_ms:.4g}",
        "angles": angles,
        "syntax": row.transfer_syntax,
        "contrast": row.contrast,
        "remark": f"same pixels as {row.same_pixels_as}"
        if row.same_pixels_as not in ("", row.clip_id)
        else "",
        "reason": row.reason,
    }


def _drawings(usable: Sequence[CheckRow]) -> list[Drawing]:
    """The figures that the clips allow."""
    if not usable:
        return []
    result = [
        Drawing.of(
            "Distributions",
            "Clips by length, duration, time between frames, and clips of each patient, by label.",
            distributions_figure, usable,
            shape="wide",
        )
    ]  # fmt: skip
    if any(row.primary_angle is not None for row in usable):
        result.append(
            Drawing.of(
                "Views",
                "Positioner angles of each clip. Where one class was seen from other sides than the other, a "
                "network can tell them by the view.",
                views_figure, usable,
            )
        )  # fmt: skip
    return result


@plot(8.6, 5.2)
def distributions_figure(figure: Figure, theme: dict, rows: Sequence[CheckRow]) -> None:
    """Histograms of length, duration, frame time and clips of a patient, stacked by label; for any rows."""
    clips_of = Counter(row.patient_id for row in rows if row.patient_id)
    panels: list[tuple[str, Callable[[CheckRow], float | None]]] = [
        ("frames", lambda row: row.num_frames),
        ("seconds", lambda row: row.num_frames * row.frame_time_ms / 1000 if row.frame_time_ms else None),
        ("milliseconds between frames", lambda row: row.frame_time_ms),
        ("clips of the same patient", lambda row: clips_of.get(row.patient_id)),
    ]
    for axes, (name, value) in zip(figure.subplots(2, 2).flat, panels, strict=True):
        groups = [
            (title, colour or theme["quiet"], _known(value(row) for row in rows if row.label == label))
            for title, label, colour in _GROUPS
        ]
        groups = [group for group in groups if len(group[2])]
        axes.set(xlabel=name, ylabel="clips")
        axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=4))
        if not groups:
            axes.text(0.5, 0.5, "not stated", transform=axes.transAxes, ha="center", color=theme["quiet"])
            continue
        titles, colours, values = zip(*groups, strict=True)
        together = np.concatenate(values)
        edges = _edges(together)
        axes.hist(values, edges, stacked=True, color=colours, label=titles, rwidth=0.9)
        if _whole(together):
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
        if len(edges) < _MIN_BINS:  # else one bar would fill the panel
            middle, half = (edges[0] + edges[-1]) / 2, _MIN_BINS * (edges[1] - edges[0]) / 2
            axes.set_xlim(max(middle - half, min(0.0, edges[0])), middle + half)
    handles, titles = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, titles, loc="outside upper center", ncols=3, frameon=False)


@plot(5.2, 4.8)
def views_figure(figure: Figure, theme: dict, rows: Sequence[CheckRow]) -> None:
    """Secondary over primary positioner angle, a dot a clip, by label; one row at least has angles."""
    axes = figure.subplots()
    for title, label, colour in _GROUPS:
        of = [row for row in rows if row.label == label and row.primary_angle is not None]
        if of:
            points = [row.primary_angle for row in of], [row.secondary_angle for row in of]
            axes.scatter(*points, s=20, color=colour or theme["quiet"], alpha=0.6, lw=0, label=title)
    for line in (axes.axhline, axes.axvline):
        line(0, color=theme["line"], lw=1, zorder=0)
    axes.set(xlabel="primary angle: RAO (-) to LAO (+), degrees")
    axes.set(ylabel="secondary angle: caudal (-) to cranial (+), degrees")
    axes.legend(frameon=False, ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.0))


def _known(values: Iterable[float | None]) -> np.ndarray:
    return np.array([value for value in values if value is not None], float)


def _edges(values: np.ndarray) -> np.ndarray:
    """Edges of at most 30 bins of one width, which each hold equally many whole numbers if all values are."""
    low, high = values.min(), values.max()
    if _whole(values):
        step = np.ceil((high - low + 1) / _MAX_BINS)
        return low - 0.5 + step * np.arange((high - low) // step + 2)
    if high - low > 1e-6 * high:
        return np.linspace(low, high, _MAX_BINS + 1)
    return np.array([0.95, 1.05]) * high  # a single value


def _whole(values: np.ndarray) -> bool:
    return bool(np.all(values == np.rint(values)))
