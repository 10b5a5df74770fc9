import io

import pandas as pd
from rich.console import Console

from stenoscope.evaluation.comparison import compare_arms
from stenoscope.evaluation.metrics import shown_in
from stenoscope.evaluation.summary import summarise, summary_keys
from stenoscope.report.tables import (
    figure_names,
    interval_text,
    mean_text,
    number_text,
    percent_text,
    print_comparison,
    print_summary,
    signed_text,
    summary_warnings,
)
from tests.evaluation.helpers import make_predictions


def printed(summary):
    console = Console(file=io.StringIO(), width=100, highlight=False)
    print_summary(summary, console)
    return console.file.getvalue()


def test_every_figure_has_a_name():
    assert set(figure_names()) == set(summary_keys())


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
    assert interval_text([-0.1, 0.25], signed=True) == "-0.100 to +0.250"
    assert signed_text({"value": 0.01}) == "+0.010" and signed_text(None) == "–"
    assert percent_text(0.125) == "12 %" and percent_text(None) == "–"


def test_a_comparison_fits_a_narrow_terminal():
    base = make_predictions(20)
    arms = compare_arms({"a": base, "b": base.assign(probability=base["label"])}, resamples=50)["arms"]
    console = Console(file=io.StringIO(), width=80, highlight=False)
    print_comparison("Two arms", arms, {"a": "augmentation", "b": "augmentation + attention"}, console)
    own, against = console.file.getvalue().split("Difference to augmentation, paired")
    rows = len(shown_in("study"))
    assert own.count("augmentation + attention") == against.count("augmentation + attention") == rows
    assert "1.000 ± 0.000" in own and "1.000 – 1.000" in own and "  augmentation  " not in against
    row = arms["b"]["frame_accuracy"]["difference"]
    assert f"{row['value']:+.3f}" in against and f"{row['ci95'][0]:+.3f} to {row['ci95'][1]:+.3f}" in against
    assert "…" not in own + against


def test_few_patients_and_wide_intervals_are_warned_of():
    narrow = {"ci95": [0.7, 1.0]}
    summary = {"counts": {"patients": 30}, **dict.fromkeys(figure_names(), narrow)}
    assert summary_warnings(summary) == []
    few = summary_warnings({**summary, "counts": {"patients": 29}})
    assert len(few) == 1 and "Only 29 patients" in few[0]
    wide = summary_warnings({**summary, "specificity": {"ci95": [0.5, 0.81]}, "clip_auc": {"ci95": None}})
    assert len(wide) == 1 and "specificity (clips) 0.500 – 0.810" in wide[0] and "AUC" not in wide[0]
    assert "Only 20 patients" in printed(summarise(make_predictions(20), resamples=50))
