import pytest

from stenoscope.evaluation.comparison import compare_arms
from stenoscope.presets import training_settings
from stenoscope.report.comparison_page import (
    AUDIT_ARMS,
    STUDY_ARMS,
    audit_finding,
    write_audit_report,
    write_study_report,
)
from stenoscope.run import provenance
from tests.evaluation.helpers import make_predictions
from tests.report.test_html import Page


def write_result(folder, name, arms, **how):
    base = make_predictions(20)
    tables = {
        arm: base.assign(probability=(0.8 * base["probability"] + 0.05 * i * base["label"]).round(6))
        for i, arm in enumerate(arms)
    }
    compared = compare_arms(tables, resamples=50, **how)
    provenance.write_json(folder / f"{name}.json", compared)
    settings = training_settings("smoke", experiment="results/<x>")
    provenance.write_manifest(folder, name, settings, {"clips.pickle": "ab" * 32}, {}, seed=7)
    return compared["arms"]


@pytest.mark.parametrize(
    "name, arms, write",
    [("study", STUDY_ARMS, write_study_report), ("audit", AUDIT_ARMS, write_audit_report)],
)
def test_the_page_tells_every_arm(tmp_path, name, arms, write):
    how = {"kind": "audit", "unpaired": ("shuffled",)} if name == "audit" else {}
    found = write_result(tmp_path, name, arms, **how)
    second = list(arms)[1]
    link = f"arms/{second}/report.html" if name == "study" else f"{second}/report.html"
    provenance.write_text(tmp_path / link, "")
    path = write(tmp_path)
    page = Page(path.read_text(encoding="utf-8"))
    for arm, text in arms.items():
        assert text in page.text and f"{found[arm]['clip_auc']['pooled']:.3f}" in page.text
    assert f"{found[second]['frame_auc']['difference']['value']:+.3f}" in page.text
    assert page.links == [link], "only to reports that are there"
    assert page.open == [] and all(source.startswith("data:image/") for source in page.loads)
    assert "image_size" in page.text and "SHA-256 of clips.pickle" in page.text
    assert (tmp_path / "figures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert write(tmp_path).read_text(encoding="utf-8") == path.read_text(encoding="utf-8")


def figure(pooled, low, high, gap=None):
    difference = gap and {"value": gap[0], "ci95": [*gap[1:]], "share_above_zero": 0.9}
    return {"clip_auc": {"pooled": pooled, "ci95": [low, high], "difference": difference}}


@pytest.mark.parametrize(
    "arm, row, says",
    [
        ("shuffled", figure(0.52, 0.4, 0.6), "contains 0.5, as it must"),
        ("shuffled", figure(0.62, 0.55, 0.7), "does not contain 0.5"),
        ("shuffled", figure(0.38, 0.3, 0.45), "does not contain 0.5"),
        (
            "frame",
            figure(0.9, 0.8, 0.95, (0.1, 0.05, 0.15)),
            "+0.100 (+0.050 to +0.150) to patient-wise: this",
        ),
        ("clip", figure(0.9, 0.8, 0.95, (0.01, -0.05, 0.05)), "show no clear difference"),
        ("clip", figure(0.7, 0.6, 0.8, (-0.1, -0.15, -0.05)), "lower, although training knew more"),
        ("patient", figure(0.9, 0.8, 0.95), "Clip AUC 0.900 (0.800 – 0.950)."),
        ("patient", {"clip_auc": {"pooled": None, "ci95": None, "difference": None}}, "undefined"),
    ],
)
def test_findings_follow_from_the_intervals(arm, row, says):
    assert says in audit_finding(arm, row)
