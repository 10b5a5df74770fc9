"""The terminal's tables, and how numbers are written everywhere."""

from collections.abc import Mapping, Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from stenoscope.evaluation.metrics import FIGURES, NAMED_BY_LEVEL, shown_in
from stenoscope.evaluation.summary import summary_keys

_LEVELS = {  # titles of groups in the tables, and what follows a figure's name
    "clip": ("Clips", "clips"),
    "patient": ("Patients, called by the vote of their clips", "patients"),
    "patient_mean": ("Patients, called by the mean probability of their clips", "patients, mean"),
    "frame": ("Key frames", "frames"),
}

FEW_PATIENTS, WIDE_INTERVAL = 30, 0.3
"""Fewer patients than this, and an interval wider than this, are warned of."""


def in_words(number: int) -> str:
    """A small number as it stands in a sentence.

    >>> in_words(5), in_words(12)
    ('five', '12')
    """
    words = ["no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
    return words[number] if number < len(words) else str(number)


def figure_groups() -> dict[str, dict[str, str]]:
    """The summary's figures by what they count, in the order of the tables, and their names for people."""
    known = {pair: key for key, pair in summary_keys().items()}
    return {
        title: {
            known[level, name]: f"{level} {figure.name}"
            if name in NAMED_BY_LEVEL and level in ("clip", "frame")
            else f"{figure.name} ({counted})"
            for name, figure in FIGURES.items()
            if (level, name) in known
        }
        for level, (title, counted) in _LEVELS.items()
    }


def figure_names() -> dict[str, str]:
    """Names for people of all figures in the summary."""
    return {key: name for group in figure_groups().values() for key, name in group.items()}


def number_text(value: float | None) -> str:
    """A metric with three decimals, or a dash where it is undefined."""
    return "–" if value is None else f"{value:.3f}"


def mean_text(figure: Mapping) -> str:
    """Mean and standard deviation over folds."""
    if figure["mean"] is None:
        return "–"
    return number_text(figure["mean"]) + ("" if figure["std"] is None else f" ± {figure['std']:.3f}")


def interval_text(bounds: Sequence[float] | None, percent: bool = False, signed: bool = False) -> str:
    """The interval as ``low – high`` (``low to high`` with signs), or a dash."""
    if bounds is None:
        return "–"
    low, high = bounds
    if signed:
        return f"{low:+.3f} to {high:+.3f}"
    return f"{100 * low:.0f} – {100 * high:.0f} %" if percent else f"{low:.3f} – {high:.3f}"


def percent_text(share: float | None) -> str:
    """A share as whole per cent, or a dash."""
    return "–" if share is None else f"{100 * share:.0f} %"


def comparison_rows(arms: Mapping, names: Mapping[str, str]) -> list[dict]:
    """Texts of a study or an audit, grouped by figure: one row per arm.

    `arms` is that of `evaluation.comparison.compare_arms`; `names` says what to call them.
    """
    called = figure_names()
    return [
        {
            "figure": called[figure],
            "rows": [
                {
                    "arm": names[arm],
                    "mean": mean_text(row[figure]),
                    "pooled": number_text(row[figure]["pooled"]),
                    "interval": interval_text(row[figure]["ci95"]),
                    "difference": signed_text(row[figure]["difference"]),
                    "gap": interval_text((row[figure]["difference"] or {}).get("ci95"), signed=True),
                }
                for arm, row in arms.items()
            ],
        }
        for figure in next(iter(arms.values()))
    ]


def signed_text(difference: Mapping | None) -> str:
    """A difference with its sign, or a dash."""
    value = (difference or {}).get("value")
    return "–" if value is None else f"{value:+.3f}"


def summary_warnings(summary: Mapping) -> list[str]:
    """Warnings of a `summary.json` about few patients and wide intervals; empty where there is none."""
    patients, warnings, names = summary["counts"]["patients"], [], figure_names()
    if patients < FEW_PATIENTS:
        warnings.append(
            f"Only {patients} patients. With fewer than {FEW_PATIENTS}, one patient more or less moves every "
            "metric, and bootstrap intervals tend to be too narrow."
        )
    wide = [
        f"{names[name]} {interval_text(summary[name]['ci95'])}"
        for name in shown_in("tile", by_level=True)
        if (bounds := summary[name]["ci95"]) and round(bounds[1] - bounds[0], 3) > WIDE_INTERVAL
    ]
    if wide:
        warnings.append(
            f"The 95 % interval is wider than {WIDE_INTERVAL} for: {', '.join(wide)}. "
            "Such values are too imprecise for conclusions."
        )
    return warnings


def summary_table(summary: Mapping) -> Table:
    """The main metrics of a `summary.json`: mean ± s.d. over folds, pooled, and interval."""
    counts = summary["counts"]
    title = (
        f"{counts['clips']} clips of {counts['patients']} patients: {counts['normal_clips']} normal, "
        f"{counts['abnormal_clips']} abnormal"
    )
    table = table_of(title, "", "mean ± s.d. of folds", "pooled", "95 % interval")
    printed = shown_in("terminal")
    for title, names in figure_groups().items():
        rows = {key: name for key, name in names.items() if key in printed and key in summary}
        if rows:
            table.add_section()
            table.add_row(title.split(",")[0], style="bold")
        for key, name in rows.items():
            figure = summary[key]
            row = (mean_text(figure), number_text(figure["pooled"]), interval_text(figure["ci95"]))
            table.add_row(f"  {name.split(' (')[0]}", *row, style="bold" if key == "clip_auc" else None)
    return table


def localisation_table(localisation: Mapping[str, Mapping]) -> Table:
    """How often each map points at the lesion, methods first, null baselines below.

    From `evaluation.localisation.summarise_localisation`.
    """
    clips = max(row["clips"] for row in localisation.values())
    table = table_of(
        f"Maximum of the map in the lesion box + 16 px, {clips} clips",
        "", "hit", "95 % interval", "distance, px",
    )  # fmt: skip
    for name, row in sorted(localisation.items(), key=lambda item: item[1]["baseline"]):
        hit, distance = row["hit"], row["distance"]["median"]
        cells = (f"{100 * hit['mean']:.0f} %", interval_text(hit["ci95"], percent=True), f"{distance:.0f}")
        table.add_row(name.replace("_", " "), *cells, style="dim" if row["baseline"] else None)
    return table


def comparison_tables(title: str, arms: Mapping, names: Mapping[str, str]) -> list[Table]:
    """Every metric of every arm, and its paired differences to the first; each fits 80 columns.

    `arms` and `names` are as in `comparison_rows`.
    """
    groups = comparison_rows(arms, names)
    own = {"mean": "mean ± s.d. of folds", "pooled": "pooled", "interval": "95 % interval"}
    if all(row["mean"] == "–" for group in groups for row in group["rows"]):
        del own["mean"]
    against = {"difference": "difference", "gap": "95 % interval"}
    first = next(iter(names.values()))
    tables = []
    for heading, columns in ((title, own), (f"Difference to {first}, paired", against)):
        table = table_of(heading, "", *columns.values())
        for group in groups:
            table.add_section()
            table.add_row(group["figure"], style="bold")
            for row in group["rows"]:
                if columns is own or row["difference"] != "–":
                    table.add_row(f"  {row['arm']}", *(row[name] for name in columns))
        tables.append(table)
    return tables


def print_comparison(
    title: str, arms: Mapping, names: Mapping[str, str], console: Console | None = None
) -> None:
    """Print a study or an audit."""
    console = console or Console(highlight=False)
    for table in comparison_tables(title, arms, names):
        console.print()
        console.print(table)


def print_summary(summary: Mapping, console: Console | None = None) -> None:
    """Print the main metrics and, where lesions are known, the localisation."""
    console = console or Console(highlight=False)
    console.print()
    console.print(summary_table(summary))
    for warning in summary_warnings(summary):
        console.print(warning, style="yellow")
    if summary["localisation"]:
        console.print()
        console.print(localisation_table(summary["localisation"]))


def table_of(title: str, *columns: str) -> Table:
    """An empty table for the terminal; the first column is text, the others are numbers."""
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for position, column in enumerate(columns):
        table.add_column(column, justify="right" if position else "left", no_wrap=True)
    return table
