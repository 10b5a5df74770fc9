"""A figure is one entry of `FIGURES`; all that is written and shown of it follows."""

import io
import json

import pandas as pd
import pytest
from rich.console import Console

from stenoscope.app.study import ARMS, compare
from stenoscope.evaluation.metrics import FIGURES, Figure
from stenoscope.presets import training_settings
from stenoscope.report.html import write_report
from stenoscope.report.tables import print_summary
from tests.app.fakes import PREDICTIONS, better, hurry, write_predictions
from tests.evaluation.helpers import make_predictions
from tests.report.test_html import write_experiment


@pytest.fixture(autouse=True)
def youden(monkeypatch):
    sensitivity, specificity = FIGURES["sensitivity"].of, FIGURES["specificity"].of
    figure = Figure(
        "informedness",
        lambda of: sensitivity(of) + specificity(of) - 1,
        classes=(0, 1),
        shown={"clip": ("terminal", "study", "audit")},
    )
    monkeypatch.setitem(FIGURES, "youden", figure)


def test_it_is_in_the_summary_the_report_and_the_terminal(tmp_path):
    write_experiment(tmp_path, make_predictions(20))
    summary = json.loads((tmp_path / "summary.json").read_text())
    parts = (summary[name]["pooled"] for name in ("sensitivity", "specificity"))
    assert summary["youden"]["pooled"] == pytest.approx(sum(parts) - 1)
    assert {"frame_youden", "patient_youden", "patient_mean_youden"} <= set(summary)
    low, high = summary["youden"]["ci95"]
    assert low < summary["youden"]["pooled"] < high
    page = write_report(tmp_path).read_text(encoding="utf-8")
    assert page.count("<td>informedness</td>") == 4, "clips, patients twice, frames"
    assert "informedness (clips)" in (tmp_path / "model_card.md").read_text()
    assert "informedness" in (tmp_path / "checklist.md").read_text()
    console = Console(file=io.StringIO(), width=80)
    print_summary(summary, console)
    assert console.file.getvalue().count("informedness") == 1


@pytest.mark.parametrize("kind", ["study", "audit"])
def test_it_is_compared(tmp_path, monkeypatch, kind):
    hurry(monkeypatch)
    arms = {arm: tmp_path / arm for arm in ARMS}
    for number, folder in enumerate(arms.values()):
        write_predictions(folder, better(PREDICTIONS, number / 10))
    compare(tmp_path, kind, arms, training_settings("smoke"), {})
    table = pd.read_csv(tmp_path / f"{kind}.csv")
    rows = table[table["figure"] == "youden"]
    assert rows["arm"].tolist() == list(ARMS) and rows["pooled"].notna().all()
    assert (rows["difference"].iloc[1:] >= 0).all() and rows["difference_high"].iloc[1:].notna().all()
