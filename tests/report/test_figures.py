import io

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image
from sklearn.metrics import roc_curve

from stenoscope.evaluation.comparison import compare_arms
from stenoscope.evaluation.decisions import decide_all, summarise_decisions
from stenoscope.evaluation.summary import evaluation_levels, summarise
from stenoscope.report import figures
from stenoscope.report.plots import LIGHT
from stenoscope.report.tables import figure_names
from tests.evaluation.helpers import make_inner, make_predictions


@pytest.fixture(scope="module")
def data():
    predictions = make_predictions(40)
    return evaluation_levels(predictions), summarise(predictions, resamples=100)


@pytest.fixture(scope="module")
def drawings(data):
    levels, summary = data
    history = pd.DataFrame({"epoch": [0, 1], "loss": [0.7, 0.5], "accuracy": [0.5, 0.8]})
    localisation = {
        name: {"clips": 9, "baseline": base, "hit": {"mean": hit, "ci95": [hit / 2, hit]}}
        for name, base, hit in (("cam", False, 0.7), ("image_centre", True, 0.1))
    }
    predictions = make_predictions(30)
    arms = compare_arms({"one": predictions, "two": predictions}, resamples=20)["arms"]
    decisions, chosen = decide_all(predictions, {k: make_inner(k) for k in range(1, 6)}, 0.9)
    decided = summarise_decisions(decisions, chosen, 0.9, resamples=20)
    return {
        "study": lambda dark: figures.forest_figure(arms, figure_names(), differences=True, dark=dark),
        "audit": lambda dark: figures.forest_figure(arms, figure_names(), chance=True, dark=dark),
        "reliability": lambda dark: figures.reliability_figure(decisions, decided, dark=dark),
        "roc": lambda dark: figures.roc_figure(levels, summary, dark=dark),
        "confusion": lambda dark: figures.confusion_figure(summary["confusion"], dark=dark),
        "calibration": lambda dark: figures.calibration_figure(levels["clip"], summary, dark=dark),
        "history": lambda dark: figures.history_figure({1: history, 2: history[:1]}, dark=dark),
        "localisation": lambda dark: figures.localisation_figure(localisation, dark=dark),
    }


NAMES = ("roc", "confusion", "calibration", "history", "localisation", "reliability", "study", "audit")


@pytest.mark.parametrize("name", NAMES)
def test_figures_on_light_and_dark_paper(drawings, name):
    light, dark = (np.asarray(Image.open(io.BytesIO(drawings[name](dark))).convert("L")) for dark in (0, 1))
    assert np.median(light) > 200 and np.median(dark) < 100
    assert light.std() > 10


def test_figures_are_deterministic(drawings):
    assert drawings["history"](False) == drawings["history"](False)


@pytest.mark.parametrize("name", NAMES)
def test_figures_are_had_as_svg_and_pdf_of_the_same_bytes(drawings, name):
    first, again = drawings[name](False), drawings[name](False)
    for kind, start in (("svg", b"<?xml"), ("pdf", b"%PDF")):
        data = first.save(kind)
        assert data.startswith(start) and data == again.save(kind)
        assert b"CreationDate" not in data and b"<dc:date>" not in data


def test_the_operating_points_are_on_the_roc_figure(data):
    levels, summary = data
    figure = Figure()
    figures.roc_figure.__wrapped__(figure, LIGHT, levels, summary)
    points = {
        line.get_marker(): line.get_xydata()[0] for line in figure.axes[0].lines if len(line.get_xdata()) == 1
    }
    for marker, prefix in (("o", ""), ("s", "frame_")):
        hits, rest = (summary[f"{prefix}{name}"]["pooled"] for name in ("sensitivity", "specificity"))
        assert points[marker] == pytest.approx((1 - rest, hits))
    x, y, _ = roc_curve(levels["frame"]["label"], levels["frame"]["probability"], drop_intermediate=False)
    assert np.isclose(np.hypot(x - points["s"][0], y - points["s"][1]).min(), 0)


def test_the_band_holds_the_curve(data):
    clips = data[0]["clip"]
    grid, low, high = figures.roc_band(clips, resamples=300)
    x, y, _ = roc_curve(clips["label"], clips["probability"])
    middle = np.interp(grid[5:95], x, y)
    assert ((low[5:95] - 0.06 <= middle) & (middle <= high[5:95] + 0.06)).all()
    assert (high >= low).all() and (high - low).max() > 0.05
    assert (np.diff(low) >= -1e-12).all()


def test_predictions_of_one_class_still_draw():
    predictions = make_predictions(20)
    predictions = predictions[predictions["label"] == 1]
    levels, summary = evaluation_levels(predictions), summarise(predictions, resamples=20)
    assert figures.roc_figure(levels, summary)
    assert figures.calibration_figure(levels["clip"], summary)
    assert figures.confusion_figure(summary["confusion"])
    assert figures.forest_figure(compare_arms({"one": predictions}, resamples=5)["arms"], figure_names())
