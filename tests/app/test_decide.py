import numpy as np
import pandas as pd
import pytest

from stenoscope.app.decide import decide, decide_new_clips
from stenoscope.errors import DatasetError
from stenoscope.evaluation.decisions import COLUMNS
from stenoscope.presets import training_settings
from stenoscope.results.files import SUMMARY, read_json
from stenoscope.run import provenance
from tests.app.fakes import write_predictions
from tests.evaluation.helpers import make_inner, make_predictions

HELD_OUT = training_settings("smoke", inner_share=0.2, sensitivity=0.8)


@pytest.fixture
def experiment(tmp_path):
    write_predictions(tmp_path, make_predictions(30))
    for fold in range(1, 6):
        provenance.write_text(tmp_path / f"fold_{fold}/inner.csv", make_inner(fold).to_csv(index=False))
    return tmp_path


def test_every_test_clip_is_decided(experiment):
    found = decide(experiment, HELD_OUT)
    table = pd.read_csv(experiment / "decisions.csv", dtype=str, keep_default_na=False)
    assert tuple(table.columns) == COLUMNS
    assert sorted(table["clip_id"]) == sorted(make_predictions(30)["clip_id"].unique())
    assert set(table["decision"]) <= {"normal", "abnormal", "uncertain"}
    assert found["target"] == 0.8 and [row["fold"] for row in found["folds"]] == [1, 2, 3, 4, 5]
    before = (experiment / "decisions.csv").read_bytes()
    assert decide(experiment, HELD_OUT) == found and (experiment / "decisions.csv").read_bytes() == before


def test_without_held_out_patients_nothing_appears(experiment):
    before = sorted(experiment.rglob("*"))
    assert decide(experiment, training_settings("smoke", inner_share=0.0)) is None
    assert sorted(experiment.rglob("*")) == before


def test_a_missing_inner_split_is_named(experiment):
    (experiment / "fold_3" / "inner.csv").unlink()
    with pytest.raises(DatasetError, match=r"fold_3/inner\.csv"):
        decide(experiment, HELD_OUT)


def test_new_clips_are_decided_where_the_experiment_was_calibrated(experiment, tmp_path):
    frames = pd.DataFrame({"clip_id": ["c"] * 5, "frame_index": range(5), "probability": [0.9] * 5})
    frames = frames.assign(**{f"fold_{k}": 0.9 for k in range(1, 6)})
    summary = {"decisions": decide(experiment, HELD_OUT)}
    provenance.write_json(experiment / "summary.json", summary)
    output = tmp_path / "new"
    found = decide_new_clips(read_json(experiment / SUMMARY), output, frames)
    expected = 1 / (1 + np.exp(-np.log(9) / summary["decisions"]["typical"]["temperature"]))
    assert found.at[0, "calibrated"] == pytest.approx(expected, abs=1e-6)
    assert pd.read_csv(output / "decisions.csv")["decision"].tolist() == found["decision"].tolist()
    provenance.write_json(experiment / "summary.json", {})  # as written before there were decisions
    assert decide_new_clips(read_json(experiment / SUMMARY), output, frames) is None
    assert not (output / "decisions.csv").exists(), "none of another experiment is left"
