import io

import pandas as pd
from rich.console import Console

from stenoscope.evaluation.summary import SUMMARY_KEYS, summarise
from stenoscope.report.tables import FIGURE_NAMES, interval_text, mean_text, number_text, print_summary
from tests.evaluation.helpers import make_predictions


def printed(summary):
    console = Console(file=io.StringIO(), width=100, highlight=False)
    print_summary(summary, console)
    return console.file.getvalue()


def test_every_figure_has_a_name():
    assert set(FIGURE_NAMES) == set(SUMMARY_KEYS)


def test_the_table_holds_the_figures():
    summary = summarise(make_predictions(30), resamples=100)
    text = printed(summary)
    figure = summary["clip_auc"]
    for part in (
        number_text(figure["pooled"]),
        mean_text(figure),
        interval_text(figure["ci95"]),
        "30 patients",
    ):
        assert part in text
    assert "lesion box" not in text


def test_localisation_is_printed_with_its_baselines_last():
    rows = [
        (f"c{i}", f"p{i}", method, hit, 0.1, 0.1, 9.0)
        for i in range(8)
        for method, hit in (("image_centre", 0.0), ("cam", 1.0))
    ]
    columns = ["clip_id", "patient_id", "method", "hit", "energy", "iou", "distance"]
    text = printed(summarise(make_predictions(20), pd.DataFrame(rows, columns=columns), resamples=50))
    assert text.index("cam") < text.index("image centre") and "100 %" in text and "8 clips" in text


def test_undefined_figures_are_dashes():
    predictions = make_predictions(20)
    text = printed(summarise(predictions[predictions["label"] == 1], resamples=20))
    assert "–" in text and "None" not in text and "nan" not in text


def test_how_figures_are_written():
    assert number_text(None) == "–" and number_text(0.98765) == "0.988"
    assert mean_text({"mean": 0.9, "std": None}) == "0.900"
    assert interval_text([0.1, 0.256], percent=True) == "10 – 26 %" and interval_text(None) == "–"
