"""The pages that compare experiments: of a study, and of a leakage audit."""

import shlex
from collections.abc import Container
from os import PathLike
from pathlib import Path

from stenoscope.report import figures
from stenoscope.report.page import Drawing, write_figures, write_page
from stenoscope.report.sections import changed_settings, settings_note
from stenoscope.report.tables import (
    comparison_rows,
    figure_names,
    interval_text,
    number_text,
    signed_text,
)
from stenoscope.results.files import CONFIG, REPORT, read_json, read_manifest_if_any

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
    """Write `report.html` and `figures/study.*` of a finished study, and return the page's path.

    Its folder has `study.json`, `manifest.json` and an experiment per arm in `arms/`.
    """
    folder = Path(folder)
    study, settings = read_json(folder / STUDY), read_manifest_if_any(folder).get("settings", {})
    drawing = Drawing.of(
        "The arms",
        "Left: pooled metrics with 95 % intervals over patients. Right: paired differences to the first arm.",
        figures.forest_figure, _named(study["arms"], STUDY_ARMS), figure_names(), False, True,
        shape="broad",
    )  # fmt: skip
    varied = ("attention", "augmentation", "narrowings", "mirrored_test")
    shared = {name: value for name, value in settings.items() if name not in varied}
    return _write(folder, "study", study, shared, drawing, title=folder.resolve().name, all_settings=settings)


def write_audit_report(folder: str | PathLike) -> Path:
    """Write `report.html` and `figures/audit.*` of a finished leakage audit, and return the page's path.

    Its folder has `audit.json`, `manifest.json` and a folder per arm.
    """
    folder = Path(folder)
    audit, settings = read_json(folder / AUDIT), read_manifest_if_any(folder).get("settings", {})
    drawing = Drawing.of(
        "Leakage audit",
        "Pooled AUC with 95 % intervals over patients. Dotted line: 0.5, nothing learnt.",
        figures.forest_figure, _named(audit["arms"], AUDIT_ARMS, _LEAKY), figure_names(), True,
        shape="broad",
    )  # fmt: skip
    rows = [
        {"name": name, "means": _MEANING[arm], "found": audit_finding(arm, audit["arms"][arm])}
        for arm, name in AUDIT_ARMS.items()
    ]
    title = folder.resolve().parent.name
    return _write(folder, "audit", audit, settings, drawing, title=title, rows=rows)


def _write(folder: Path, mode: str, result: dict, settings: dict, drawing: Drawing, **context) -> Path:
    kind, names, arms = {"study": ("Study", STUDY_ARMS, "arms/"), "audit": ("Leakage audit", AUDIT_ARMS, "")}[
        mode
    ]
    links = {name: f"{arms}{arm}/{REPORT}" for arm, name in names.items()}
    changed = changed_settings(settings)
    write_figures(folder, {mode: drawing})
    return write_page(
        folder,
        f"{mode}.html",
        kind=kind,
        counts=result["counts"],
        bootstrap=result["bootstrap"],
        groups=comparison_rows(result["arms"], names),
        figure=drawing.page,
        arms={name: link if (folder / link).exists() else None for name, link in links.items()},
        settings_note=settings_note(changed, settings),
        changed=changed,
        settings=settings,
        command=f"python main.py --{mode} --config {shlex.quote((folder / CONFIG).as_posix())}",
        **context,
    )


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
        return f"{change}: lower, although training knew more of the test clips."
    return f"{change}: these patients show no clear difference."


def _named(compared: dict, names: dict[str, str], only: Container[str] | None = None) -> dict:
    return {
        names[arm]: {name: value for name, value in figures_of_arm.items() if not only or name in only}
        for arm, figures_of_arm in compared.items()
    }
