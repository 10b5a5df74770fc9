import pandas as pd
import pytest
from rich.console import Console

from stenoscope.run import provenance
from stenoscope.settings import TrainingSettings
from stenoscope.tuning.nested import summarise_nested
from stenoscope.tuning.report import print_tuning, write_tuning_report
from stenoscope.tuning.space import parse_space
from stenoscope.tuning.study import FoldStudy
from tests.report.test_html import Page
from tests.tuning.test_nested import outcome


def write_study(folder, outcomes, default):
    provenance.write_json(folder / "summary.json", summarise_nested(outcomes, 3, default))
    space = parse_space({"epochs": [5, 10], "attention": ["none", "cbam"]})
    for one in outcomes:
        kept = FoldStudy(folder, one.fold, space, TrainingSettings(), seed=7)
        for score in (0.8, 0.7):
            kept.report(kept.ask(2), score, 3, last=True)
    rows = [
        {"fold": one.fold, "trial": trial, "state": state, "score": score, "inner_folds": 3, "seconds": 1.0,
         "epochs": 5 * trial, "attention": "none", "problem": "out of memory" if state == "failed" else ""}
        for one in outcomes
        for trial, (state, score) in enumerate((("complete", 0.8), ("pruned", 0.6), ("failed", None)), 1)
    ]  # fmt: skip
    pd.DataFrame(rows).to_csv(folder / "trials.csv", index=False)
    provenance.write_manifest(folder, "tuning", {}, {"folds": "ab" * 32}, {}, seed=7)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tuning") / "my <study>"
    importance = {"epochs": 0.75, "attention": 0.25}
    outcomes = [
        outcome(1, 0.951, 0.8, 3.0, importance=importance, tested=2),
        outcome(2, 0.912, None, 0.8, importance=importance),
    ]
    for one in outcomes:
        one.chosen["attention"] = "cbam"
    write_study(folder, outcomes, {"epochs": 10, "attention": "none"})
    write_tuning_report(folder)
    return folder


def test_the_page_is_whole_and_self_contained(study):
    text = (study / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    assert page.open == [] and page.links == []
    assert len(page.loads) == 8 and all(link.startswith("data:image/png;base64,") for link in page.loads)
    assert {path.name for path in (study / "figures").iterdir()} == {
        f"{name}.{kind}"
        for name in ("history", "importance_1", "importance_2", "nested")
        for kind in ("png", "svg", "pdf")
    }
    assert "my <study>" in page.text and "my <study>" not in text


def test_the_page_says_what_was_found(study):
    text = Page((study / "report.html").read_text(encoding="utf-8")).text
    for words in (
        "0.951", "0.912",  # inner scores
        "The test part of fold 1 has scored 2 settings", "fANOVA", "cbam", "out of memory", "ab" * 32,
        "best.yaml holds those of fold 1",
    ):  # fmt: skip
        assert words in text, words
    assert "fold 2 has scored" not in text


def test_the_same_study_gives_the_same_page(study):
    before = (study / "report.html").read_bytes()
    write_tuning_report(study)
    assert (study / "report.html").read_bytes() == before


def test_a_single_fold_without_importance_has_a_page_too(tmp_path):
    write_study(tmp_path, [outcome(1, 0.9, 0.8, 0.8)], {"epochs": 10})
    write_tuning_report(tmp_path)
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert len(page.loads) == 4 and "contains 0" in page.text and "training part of fold 1." in page.text


def test_the_terminal_shows_inner_and_outer_scores_within_eighty_columns(study):
    console = Console(width=80, record=True, highlight=False)
    print_tuning(study, console)
    text = console.export_text()
    assert "…" not in text and "0.951" in text and "gain" in text
    assert [line.split()[0] for line in text.splitlines() if line.startswith((" fold", " all"))] == [
        "fold", "fold", "all",
    ]  # fmt: skip
