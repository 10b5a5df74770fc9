"""The pages of several experiments beside each other: a study, and a leakage audit."""

import shlex
from collections.abc import Container
from os import PathLike
from pathlib import Path

from stenoscope.report import figures
from stenoscope.report.page import Drawing, render, write_figures
from stenoscope.report.sections import changed_settings, provenance_rows, settings_note
from stenoscope.report.tables import (
    comparison_rows,
    figure_names,
    interval_text,
    number_text,
    signed_text,
)
from stenoscope.results.files import CONFIG, REPORT, read_json, read_manifest_if_any
from stenoscope.run.provenance import write_text

STUDY, AUDIT = "study.json", "audit.json"

STUDY_ARMS = {
    "original": "original",
    "original_attention": "original + attention",
    "augmentation": "augmentation",
    "augmentation_attention": "augmentation + attention",
}
"""Arms of a study and what to call them, the reference first."""

AUDIT_ARMS = {
    "patient": "patient-wise",
    "clip": "clip-wise",
    "frame": "frame-wise",
    "shuffled": "shuffled labels",
}
"""Arms of an audit and what to call them, the honest one first."""

_MEANING = {
    "patient": "No patient is in training and test. This is what a clip of a new patient would meet: the "
    "results to report.",
    "clip": "Other clips of a test clip's patient may be in training. A network that recognises the patient, "
    "the device or the day benefits.",
    "frame": "Other frames of the same clip, a few hundredths of a second apart, are in training. The gain "
    "is memorisation and does not carry over to new patients.",
    "shuffled": "Patient-wise folds, with the labels permuted among the clips of each test part: there is "
    "nothing to learn.",
}

_LEAKY = ("clip_auc", "frame_auc")  # what the audit's figure shows: by chance both are 0.5


def write_study_report(folder: str | PathLike) -> Path:
    """Write `report.html` and `figures/study.png` of a finished study.

    Parameters
    ----------
    folder : path
        With `study.json`, `manifest.json` and an experiment per arm in `arms/`.

    Returns
    -------
    Path
        Of the page.
    """
    folder = Path(folder)
    study, manifest = read_json(folder / STUDY), read_manifest_if_any(folder)
    drawing = Drawing.of(
        "The arms",
        "Left: pooled metrics with 95 % intervals over patients. Right: paired differences to the first arm.",
        figures.forest_figure, _named(study["arms"], STUDY_ARMS), figure_names(), False, True,
        shape="broad",
    )  # fmt: skip
    write_figures(folder, {"study": drawing})
    settings = manifest.get("settings", {})
    varied = ("attention", "augmentation", "narrowings", "mirrored_test")
    changed = [row for row in changed_settings(settings) if row["name"] not in varied]
    page = render(
        "study.html",
        kind="Study",
        manifest=manifest,
        title=folder.resolve().name,
        counts=study["counts"],
        bootstrap=study["bootstrap"],
        attention=settings.get("attention"),
        narrowings=bool(settings.get("narrowings")),
        mirrored=bool(settings.get("mirrored_test")),
        shuffled=bool(settings.get("shuffle_labels")),
        groups=comparison_rows(study["arms"], STUDY_ARMS),
        figure=drawing.page,
        arms=_links(folder, "arms", STUDY_ARMS),
        settings_note=settings_note(changed, settings),
        changed=changed,
        settings=[{"name": name, "value": value} for name, value in settings.items() if name not in varied],
        command=_command("study", folder),
        provenance=provenance_rows(manifest),
    )
    write_text(folder / REPORT, page)
    return folder / REPORT


def write_audit_report(folder: str | PathLike) -> Path:
    """Write `report.html` and `figures/audit.png` of a finished leakage audit.

    Parameters
    ----------
    folder : path
        With `audit.json`, `manifest.json` and a folder per arm.

    Returns
    -------
    Path
        Of the page.
    """
    folder = Path(folder)
    audit, manifest = read_json(folder / AUDIT), read_manifest_if_any(folder)
    drawing = Drawing.of(
        "Leakage audit",
        "Pooled AUC with 95 % intervals over patients. Dotted line: 0.5, nothing learnt.",
        figures.forest_figure, _named(audit["arms"], AUDIT_ARMS, _LEAKY), figure_names(), True,
        shape="broad",
    )  # fmt: skip
    write_figures(folder, {"audit": drawing})
    settings = manifest.get("settings", {})
    changed = changed_settings(settings)
    page = render(
        "audit.html",
        kind="Leakage audit",
        manifest=manifest,
        title=folder.resolve().parent.name,
        counts=audit["counts"],
        bootstrap=audit["bootstrap"],
        rows=[
            {"name": name, "means": _MEANING[arm], "found": audit_finding(arm, audit["arms"][arm])}
            for arm, name in AUDIT_ARMS.items()
        ],
        groups=comparison_rows(audit["arms"], AUDIT_ARMS),
        figure=drawing.page,
        arms=_links(folder, "", AUDIT_ARMS),
        settings_note=settings_note(changed, settings),
        changed=changed,
        settings=[{"name": name, "value": value} for name, value in settings.items()],
        command=_command("audit", folder),
        provenance=provenance_rows(manifest),
    )
    write_text(folder / REPORT, page)
    return folder / REPORT


def audit_finding(arm: str, figures_of_arm: dict) -> str:
    """A sentence on what an arm of the audit found, from its clip AUC."""
    figure = figures_of_arm["clip_auc"]
    if figure["pooled"] is None or figure["ci95"] is None:
        return "The clip AUC is undefined."
    found = f"Clip AUC {number_text(figure['pooled'])} ({interval_text(figure['ci95'])})"
    if arm == "shuffled":
        low, high = figure["ci95"]
        if low <= 0.5 <= high:
            return f"{found}: the interval contains 0.5, as it must."
        return (
            f"{found}: the interval does not contain 0.5. By chance that happens once in twenty; if another "
            "--seed shows it again, something about the labels reaches the test."
        )
    gap = figure["difference"]
    if gap is None or gap["ci95"] is None:
        return f"{found}."
    low, high = gap["ci95"]
    change = f"{found}, {signed_text(gap)} ({interval_text(gap['ci95'], signed=True)}) to patient-wise"
    if low > 0:
        return f"{change}: this split is optimistic."
    if high < 0:
        return f"{change}: lower, although more was known."
    return f"{change}: these patients show no clear difference."


def _command(mode: str, folder: Path) -> str:
    return f"python main.py --{mode} --config {shlex.quote((folder / CONFIG).as_posix())}"


def _named(compared: dict, names: dict[str, str], only: Container[str] | None = None) -> dict:
    return {
        names[arm]: {name: value for name, value in figures_of_arm.items() if not only or name in only}
        for arm, figures_of_arm in compared.items()
    }


def _links(folder: Path, below: str, names: dict[str, str]) -> list[dict]:
    """The arms' own reports, where they have one."""
    return [
        {"name": name, "href": link if (folder / link).exists() else None}
        for arm, name in names.items()
        for link in [(Path(below) / arm / REPORT).as_posix()]
    ]
