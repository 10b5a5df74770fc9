import re

import pytest

from stenoscope.evaluation.decisions import decide_all, summarise_decisions
from stenoscope.report.documents import AUTHOR, write_documents
from stenoscope.results.experiment import read_experiment
from stenoscope.results.files import read_json
from stenoscope.run import provenance
from tests.evaluation.helpers import make_inner, make_predictions
from tests.report.test_html import write_experiment

TRIPOD = re.findall(
    r"\w+",
    "1 2 3a 3b 3c 4 5a 5b 6a 6b 6c 7 8a 8b 8c 9a 9b 9c 10 11 12a 12b 12c 12d 12e 12f 12g 13 14 15 16 17 "
    "18a 18b 18c 18d 18e 18f 19 20a 20b 20c 21 22 23a 23b 24 25 26 27a 27b 27c",
)


def add_decisions(folder, predictions):
    decisions, calibrations = decide_all(predictions, {k: make_inner(k) for k in range(1, 6)}, 0.9)
    provenance.write_text(folder / "decisions.csv", decisions.to_csv(index=False))
    found = summarise_decisions(decisions, calibrations, 0.9, resamples=50)
    provenance.write_json(folder / "summary.json", {**read_json(folder / "summary.json"), "decisions": found})


@pytest.fixture(scope="module")
def documents(tmp_path_factory):
    """Text of the model card and the checklist of a run without calibration, and of one with it."""
    result = {}
    for calibrated in (False, True):
        folder = tmp_path_factory.mktemp("results") / "a|b"
        predictions = make_predictions(20)
        write_experiment(folder, predictions, inner_share=0.2 * calibrated, pictures=False)
        if calibrated:
            add_decisions(folder, predictions)
        data = read_experiment(folder)
        result[calibrated] = [path.read_text(encoding="utf-8") for path in write_documents(data)]
        assert [path.read_text(encoding="utf-8") for path in write_documents(data)] == result[calibrated]
    return result, data.summary


@pytest.mark.parametrize("calibrated", [False, True])
def test_they_hold_counts_and_figures_but_no_patient(documents, calibrated):
    (card, checklist), summary = documents[0][calibrated], documents[1]
    figure = summary["clip_auc"]
    for text in (card, checklist):
        assert f"{figure['pooled']:.3f}" in text and f"{figure['ci95'][0]:.3f}" in text
        assert AUTHOR in text and "20 patients" in text
        assert not re.search(r"p0\d\d|/tmp|None|nan", text)
    assert "not for clinical use" in card and "abab" in card, "the hash of the input"


@pytest.mark.parametrize("calibrated", [False, True])
def test_tables_are_whole(documents, calibrated):
    for text in documents[0][calibrated]:
        lines = text.splitlines()
        starts = [
            i for i, line in enumerate(lines) if line.startswith("|") and not lines[i - 1].startswith("|")
        ]
        assert len(starts) >= 2
        for start in starts:
            assert lines[start - 1] == "" and re.fullmatch(r"(\|-+)+\|", lines[start + 1])
            table = [*lines[start:], ""]
            table = table[: table.index("")]
            widths = {len(re.findall(r"\|", line)) for line in table}
            assert len(widths) == 1, f"columns differ below line {start}"


def test_every_item_of_both_checklists_is_there(documents):
    items = re.findall(r"^\| (\d+[a-g]?) \|", documents[0][False][1], re.MULTILINE)
    assert items == [str(number) for number in range(1, 45)] + TRIPOD


def test_calibration_is_told_where_there_is_one(documents):
    plain, calibrated = documents[0][False], documents[0][True]
    assert "temperature" not in plain[1] and "uncertain" not in plain[0]
    assert "temperature scaling" in calibrated[1] and "left uncertain" in calibrated[0]
    assert "20 % of the training patients" in calibrated[0]


def test_augmentations_are_told(tmp_path, monkeypatch):
    write_experiment(tmp_path, make_predictions(12), shift=0, warmup=1.0, pictures=False)
    card = write_documents(read_experiment(tmp_path))[0].read_text(encoding="utf-8")
    assert "augmented by crops, grey offsets, flips, synthetic narrowings" in card
    known = {"flip": "flips", "shift": "shifts", "warmup": "turns"}
    monkeypatch.setattr("stenoscope.learners.cnn.augmentations", lambda settings_class: known)
    card = write_documents(read_experiment(tmp_path))[0].read_text(encoding="utf-8")
    assert "augmented by crops, grey offsets, flips, turns, synthetic narrowings" in card


def test_shuffled_labels_are_told(tmp_path):
    write_experiment(tmp_path, make_predictions(12), shuffle_labels=True, pictures=False)
    card = write_documents(read_experiment(tmp_path))[0].read_text(encoding="utf-8")
    assert "labels were shuffled" in card
