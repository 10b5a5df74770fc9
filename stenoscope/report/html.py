"""The HTML pages: one self-contained file each, readable on a phone, light and dark.

`write_report` tells of an experiment, `write_predict_report` of new clips. Both read a finished results
folder and nothing else.
"""

import base64
import shlex
from collections.abc import Callable
from dataclasses import asdict, dataclass
from os import PathLike
from pathlib import Path
from urllib.parse import quote

import cv2
import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from stenoscope import __version__
from stenoscope.errors import DatasetError
from stenoscope.evaluation.clip_vote import vote
from stenoscope.evaluation.metrics import THRESHOLD
from stenoscope.evaluation.summary import evaluation_levels
from stenoscope.provenance import write_bytes, write_text
from stenoscope.report import figures
from stenoscope.report.panels import CLASS_NAMES, panel_name
from stenoscope.report.results import (
    HEATMAPS,
    Experiment,
    provenance_rows,
    read_experiment,
    read_manifest_if_any,
    read_predictions,
    refused_inputs,
)
from stenoscope.report.tables import FIGURE_NAMES, interval_text, mean_text, number_text
from stenoscope.settings import TrainingSettings

REPORT = "report.html"

IMAGE_BUDGET = 9_000_000
"""Bytes of pictures in a page, before base64 adds a third: keeps a page under 15 MB."""

_PANEL_WIDTH, _OPEN_PER_GROUP = 920, 4
_JPEG = [  # full colour resolution: thin coloured lines would turn grey
    cv2.IMWRITE_JPEG_QUALITY, 74,
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
]  # fmt: skip
_TILES = ("clip_auc", "clip_accuracy", "sensitivity", "specificity", "frame_auc", "frame_accuracy")
_GROUPS = (
    ("Abnormal, called abnormal", 1, 1),
    ("Abnormal, called normal (missed)", 1, 0),
    ("Normal, called abnormal (false alarm)", 0, 1),
    ("Normal, called normal", 0, 0),
)


@dataclass(frozen=True)
class Drawing:
    """A figure for light and dark paper, PNG; `shape` is ``wide``, ``narrow`` or empty."""

    title: str
    caption: str
    light: bytes
    dark: bytes
    shape: str = ""

    @property
    def page(self) -> dict[str, str]:
        """What the template needs of it."""
        uris = {"light": _data_uri(self.light, "png"), "dark": _data_uri(self.dark, "png")}
        return {"title": self.title, "caption": self.caption, "shape": self.shape, **uris}


def write_report(experiment: str | PathLike) -> Path:
    """Write `report.html` and `figures/*.png` of a finished experiment.

    Parameters
    ----------
    experiment : path
        Its folder, with predictions.csv, summary.json, manifest.json, config.yaml, and, where they exist,
        fold_K/history.csv and heatmaps/<clip id with / replaced by __>.<method>.png.

    Returns
    -------
    Path
        Of the page.
    """
    data = read_experiment(experiment)
    levels = evaluation_levels(data.predictions, data.summary["threshold"])
    drawings = _drawings(data, levels)
    for name, drawing in drawings.items():
        write_bytes(data.folder / "figures" / f"{name}.png", drawing.light)
    write_text(data.folder / REPORT, render_report(data, levels["clip"], drawings))
    return data.folder / REPORT


def render_report(data: Experiment, clips: pd.DataFrame, drawings: dict[str, Drawing]) -> str:
    """The page of an experiment, from what was read, the decided clips, and the figures by name."""
    summary = data.summary
    images = _Images(data.folder)
    groups = _groups(data, clips, images)
    changed = _changed_settings(data.settings)
    total = summary["counts"]
    return _render(
        "experiment.html",
        kind="Experiment",
        title=data.folder.resolve().name,
        lead=_lead(summary),
        shuffled=bool(data.settings.get("shuffle_labels")),
        tiles=[_tile(name, summary[name]) for name in _TILES],
        bootstrap=summary["bootstrap"],
        threshold=summary["threshold"],
        fold_numbers=[row["fold"] for row in total["folds"]],
        metrics=[_metric(name, summary[name]) for name in FIGURE_NAMES],
        reasons=sorted({f"Not defined in {summary[n]['reason']}." for n in _TILES if "reason" in summary[n]}),
        figures=[drawing.page for name, drawing in drawings.items() if name != "localisation"],
        localisation=_localisation(summary["localisation"]),
        localisation_figure=drawings["localisation"].page if "localisation" in drawings else None,
        groups=groups,
        method=data.methods[0] if data.methods else "",
        montage=f"{HEATMAPS}/montage.png" if (data.folder / HEATMAPS / "montage.png").exists() else None,
        omitted=images.omitted_note(),
        settings_note=_settings_note(changed, data.settings),
        changed=changed,
        settings=[{"name": name, "value": value} for name, value in data.settings.items()],
        counts=[{"name": f"fold {row['fold']}", **row} for row in total["folds"]]
        + [{"name": "all", **{key: value for key, value in total.items() if key != "folds"}}],
        command=f"python main.py --config {shlex.quote((data.folder / 'config.yaml').as_posix())}",
        provenance=provenance_rows(data.manifest),
    )


def write_predict_report(folder: str | PathLike, experiment: str, method: str) -> Path:
    """Write `report.html` on new clips that the folds' models were applied to.

    Parameters
    ----------
    folder : path
        With ``predictions.csv`` (clip_id, frame_index, probability, and one column ``fold_K`` per model),
        and, where they exist, ``heatmaps/<clip>.<method>.png`` and ``.gif``, ``intake.csv`` and
        ``manifest.json``.
    experiment : str
        Name of the experiment whose models they are.
    method : str
        Heatmap method to show.

    Returns
    -------
    Path
        Of the page.
    """
    folder = Path(folder)
    predictions = read_predictions(folder)
    models = [name for name in predictions.columns if name.startswith("fold_")]
    per_model = predictions.groupby("clip_id", sort=False)[models].mean()
    clips = vote(predictions.assign(fold=0, patient_id="", label=0))
    images = _Images(folder)
    cases = []
    for row in clips.itertuples():
        picture = images.panel(row.clip_id, method)
        gif = f"{HEATMAPS}/{panel_name(row.clip_id, method, 'gif')}"
        values = per_model.loc[row.clip_id].tolist()
        cases.append(
            {
                "clip_id": row.clip_id,
                "called": CLASS_NAMES[row.decision],
                "probability": f"{row.probability:.2f}",
                "votes": row.votes,
                "frames": row.frames,
                "models": [f"{value:.2f}" for value in values],
                "model_xs": [_strip_x(value) for value in values],
                "mean_x": _strip_x(row.probability),
                "threshold_x": _strip_x(THRESHOLD),
                "gif": quote(gif) if (folder / gif).exists() else None,
                **(picture or {"image": None, "link": None}),
            }
        )
    abnormal = int(clips["decision"].sum())
    page = _render(
        "predict.html",
        kind="Prediction",
        title=f"{len(clips)} clips by {experiment}",
        lead=f"{abnormal} of {len(clips)} clips called abnormal by {len(models)} models of {experiment}.",
        threshold=THRESHOLD,
        cases=cases,
        method=method,
        omitted=images.omitted_note(),
        refused=refused_inputs(folder),
        provenance=provenance_rows(read_manifest_if_any(folder)),
    )
    write_text(folder / REPORT, page)
    return folder / REPORT


class _Images:
    """Panels of a results folder as small JPEG data URIs, until the page's budget is used up."""

    def __init__(self, folder: Path):
        self.folder, self.left, self.omitted = folder, IMAGE_BUDGET, 0

    def panel(self, clip_id: str, method: str) -> dict | None:
        """Entries ``image`` and ``link`` of a clip's panel, None if there is none or no room for it."""
        link = f"{HEATMAPS}/{panel_name(clip_id, method)}"
        path = self.folder / link
        if not path.is_file():
            return None
        if self.left <= 0:
            self.omitted += 1
            return None
        picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if picture is None:
            raise DatasetError(f"{path} can't be read as a picture.", "a PNG", "run `python main.py` again.")
        height = round(picture.shape[0] * _PANEL_WIDTH / picture.shape[1])
        small = cv2.resize(picture, (_PANEL_WIDTH, height), interpolation=cv2.INTER_AREA)
        _, data = cv2.imencode(".jpg", small, _JPEG)
        self.left -= len(data)
        return {"image": _data_uri(data.tobytes(), "jpeg"), "link": quote(link)}

    def omitted_note(self) -> str:
        """What to say of panels that found no room."""
        if not self.omitted:
            return ""
        return f"{self.omitted} more pictures, left out to keep this page small, are in {HEATMAPS}/."


def _groups(data: Experiment, clips: pd.DataFrame, images: _Images) -> list[dict]:
    """Cards of all clips by truth and decision; default maps take the room before the others do."""
    methods = data.methods
    if not methods:
        return []
    ordered = clips.sort_values(["probability", "clip_id"], ascending=[False, True])
    groups = []
    for title, label, decision in _GROUPS:
        rows = ordered[(ordered["label"] == label) & (ordered["decision"] == decision)]
        if not label:
            rows = rows.iloc[::-1] if not decision else rows  # the surest decision first
        cards = []
        for row in rows.itertuples():
            picture = images.panel(row.clip_id, methods[0])
            if picture:
                facts = {name: getattr(row, name) for name in ("clip_id", "fold", "votes", "frames")}
                cards.append({**facts, **picture, "others": []})
        if cards:
            groups.append({"title": title, "count": len(rows), "cards": cards})
    for card in (card for group in groups for card in group["cards"]):
        for method in methods[1:]:
            picture = images.panel(card["clip_id"], method)
            if picture:
                card["others"].append({"method": method, **picture})
    for group in groups:
        cards = group.pop("cards")
        group["first"], group["rest"] = cards[:_OPEN_PER_GROUP], cards[_OPEN_PER_GROUP:]
    return groups


def _drawings(data: Experiment, levels: dict[str, pd.DataFrame]) -> dict[str, Drawing]:
    """All figures that the results allow, by file name."""
    summary = data.summary

    def both(draw: Callable[..., bytes], *what) -> tuple[bytes, bytes]:
        return draw(*what, dark=False), draw(*what, dark=True)

    result = {
        "roc": Drawing(
            "ROC curves",
            "ROC of all test clips and frames. Band: pointwise 95 %, bootstrap over patients.",
            *both(figures.roc_figure, levels, summary),
        ),
        "calibration": Drawing(
            "Calibration",
            "Above: share of abnormal clips among those of like probability (size: number of clips). "
            "Below: probabilities by true class.",
            *both(figures.calibration_figure, levels["clip"], summary),
        ),
        "confusion": Drawing(
            "Confusion matrices",
            "Calls by truth, with the share of each true class.",
            *both(figures.confusion_figure, summary["confusion"]),
            shape="wide",
        ),
    }
    if data.histories:
        result["history"] = Drawing(
            "Training history",
            "Loss and accuracy on the augmented training images as they passed. Test clips were looked at "
            "once, after the last epoch.",
            *both(figures.history_figure, data.histories),
            shape="wide",
        )
    if summary["localisation"]:
        result["localisation"] = Drawing(
            "Localisation",
            "Share of clips whose maximum hits the lesion, with 95 % intervals over patients; grey: null "
            "baselines.",
            *both(figures.localisation_figure, summary["localisation"]),
            shape="narrow",
        )
    return result


def _lead(summary: dict) -> str:
    counts = summary["counts"]
    text = (
        f"{counts['clips']} clips of {counts['patients']} patients ({counts['normal_clips']} normal, "
        f"{counts['abnormal_clips']} abnormal), {len(counts['folds'])} folds by patient."
    )
    auc = summary["clip_auc"]
    if auc["pooled"] is None:
        return f"{text} The clip AUC is undefined."
    return f"{text} Out-of-fold clip AUC {auc['pooled']:.3f}, 95 % interval {interval_text(auc['ci95'])}."


def _tile(name: str, figure: dict) -> dict:
    low, high = figure["ci95"] or (None, None)
    return {
        "label": FIGURE_NAMES[name],
        "value": number_text(figure["pooled"]),
        "interval": interval_text(figure["ci95"]),
        "low": None if low is None else round(100 * low, 1),
        "width": None if low is None else round(100 * (high - low), 1),
        "at": None if low is None else round(100 * figure["pooled"], 1),
    }


def _metric(name: str, figure: dict) -> dict:
    return {
        "name": FIGURE_NAMES[name],
        "strong": name in _TILES[:2],
        "mean": mean_text(figure),
        "pooled": number_text(figure["pooled"]),
        "interval": interval_text(figure["ci95"]),
        "per_fold": [number_text(value) for value in figure["per_fold"]],
    }


def _localisation(summary: dict | None) -> list[dict]:
    return [
        {
            "name": name.replace("_", " "),
            "baseline": row["baseline"],
            "clips": row["clips"],
            "hit": f"{100 * row['hit']['mean']:.0f} %",
            "interval": interval_text(row["hit"]["ci95"], percent=True),
            "energy": f"{row['energy']['mean']:.3f}",
            "iou": f"{row['iou']['mean']:.3f}",
            "distance": f"{row['distance']['median']:.0f}",
        }
        for name, row in (summary or {}).items()
    ]


def _changed_settings(settings: dict) -> list[dict]:
    defaults = asdict(TrainingSettings())
    return [
        {"name": name, "value": value, "default": defaults.get(name, "")}
        for name, value in settings.items()
        if value != defaults.get(name) and name not in ("experiment", "input", "overwrite", "threads")
    ]


def _settings_note(changed: list[dict], settings: dict) -> str:
    network = f"{settings.get('backbone')} with {settings.get('weights')} weights"
    if not changed:
        return f"{network}; every setting has its default."
    return f"{network}; {len(changed)} settings differ from their defaults:"


def _strip_x(probability: float) -> float:
    return round(6 + 288 * probability, 1)


def _data_uri(data: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def _render(template: str, **context) -> str:
    loader = FileSystemLoader(Path(__file__).parent / "templates")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template(template).render(version=__version__, **context)
