import re

import numpy as np
import pytest
from matplotlib.figure import Figure

from stenoscope.data.check import CheckRow
from stenoscope.data.problems import Problem
from stenoscope.report import intake_page
from stenoscope.report.intake_page import write_intake_page
from stenoscope.report.plots import LIGHT


def cohort(count=6):
    rows = [
        CheckRow(
            f"c{n}.dcm", f"c{n}", "ok", num_frames=40 + n, rows=512, cols=512, frame_time_ms=66.7,
            modality="XA", transfer_syntax="RLE Lossless", bits_allocated=8, bits_stored=8,
            primary_angle=n, secondary_angle=-n, patient_id=f"p{n // 2}", label=str(n % 2), contrast="yes",
        )
        for n in range(count)
    ]  # fmt: skip
    return [
        *rows,
        CheckRow("x<b>.dcm", "x<b>", "quarantined", "x<b>.dcm is of modality RF. To fix: leave it out."),
    ]


def page(tmp_path, rows, problems=()):
    write_intake_page(tmp_path / "intake.html", "cohort", rows, problems, "python pickle_generator.py")
    return (tmp_path / "intake.html").read_text(encoding="utf-8")


def test_the_page_is_whole_escaped_and_the_same_again(tmp_path):
    problems = [
        Problem("leak", "Twice <i>.", "mend it.", ["a & b"]),
        Problem("note", "Good.", items=["n"] * 300),
    ]
    html = page(tmp_path, cohort(), problems)
    assert html == page(tmp_path, cohort(), problems)
    assert not re.search(r"(src|href|srcset)=\"(?!data:)", html) and html.count("data:image/png") == 4
    assert (
        "Not ready." in html
        and "x&lt;b&gt;.dcm" in html
        and "Twice &lt;i&gt;." in html
        and "<i>." not in html
    )
    assert "300 entries" in html and "and 100 more" in html and "Is of modality RF." in html
    assert "3 of" not in html and "normal clips of 3 patients" in html


def test_a_long_cohort_shows_what_matters(tmp_path, monkeypatch):
    monkeypatch.setattr(intake_page, "_drawings", lambda usable: [])
    html = page(tmp_path, cohort(1000))
    assert "400 of 1001, excluded and repeated clips first" in html and "x&lt;b&gt;.dcm</td>" in html
    assert "Ready" in html and "c999.dcm</td>" not in html


def test_nothing_usable_is_a_page_too(tmp_path):
    html = page(tmp_path, cohort(0), [Problem("stop", "No clip can be used.")])
    assert "Not ready." in html and "data:image/png" not in html


@pytest.mark.parametrize(
    "values, edges",
    [
        ([1, 2, 4], [0.5, 1.5, 2.5, 3.5, 4.5]),
        ([96, 96], [95.5, 96.5]),
        ([0, 59], np.arange(-0.5, 60, 2)),
        ([0, 60], np.arange(-0.5, 63, 3)),
        ([10, 40.5], np.linspace(10, 40.5, 31)),
        ([66.7, 66.7], [63.365, 70.035]),
        ([0.0, 0.0], [-0.5, 0.5]),
    ],
)
def test_edges_of_histograms(values, edges):
    np.testing.assert_allclose(intake_page._edges(np.array(values)), edges)


def axes_of(rows):
    figure = Figure(figsize=(8.6, 5.2))
    intake_page.distributions_figure.__wrapped__(figure, LIGHT, rows)
    return {axes.get_xlabel(): axes for axes in figure.axes}


def test_a_single_value_is_a_bar_on_an_axis_of_whole_numbers():
    found = axes_of([CheckRow("a.dcm", "a", "ok", num_frames=96, frame_time_ms=66.7, patient_id="p")])
    for name, value in (("frames", 96), ("clips of the same patient", 1)):
        low, high = found[name].get_xlim()
        assert low <= value - 0.5 and high >= value + 2 and low >= -0.5
        assert all(tick == round(tick) for tick in found[name].get_xticks())
    low, high = found["milliseconds between frames"].get_xlim()
    assert low < 60 and high > 75


@pytest.mark.parametrize("frames", [(1, 2, 3, 4, 5, 6, 7), range(10, 2000, 7)])
def test_every_clip_is_in_a_bar(frames):
    rows = [CheckRow(f"{n}.dcm", f"{n}", "ok", num_frames=n, frame_time_ms=n / 7) for n in frames]
    found = axes_of(rows)
    for name in ("frames", "seconds", "milliseconds between frames"):
        assert sum(bar.get_height() for bar in found[name].patches) == len(rows)
    assert 7 <= len(found["frames"].patches) <= 30


def test_missing_numbers_are_no_zero(tmp_path):
    rows = [CheckRow("a.dcm", "a", "ok", num_frames=3)]
    assert page(tmp_path, rows).count("data:image/png") == 2
