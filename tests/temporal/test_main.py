import json

import numpy as np
import pytest
from tensorflow import config

from stenoscope.phantom.__main__ import main as simulate
from stenoscope.temporal.__main__ import main
from stenoscope.temporal.cohort import keep, kept, simulated
from stenoscope.temporal.inference import read_parts
from stenoscope.temporal.labels import LabelledClip, actions_of, labels_text
from stenoscope.temporal.network import Parts


def truth_actions(entry):
    return actions_of(entry["start"], entry["apex"], entry["end"], entry["num_frames"])


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    folder = tmp_path_factory.mktemp("temporal")
    assert not simulate(["--output", str(folder / "clips"), "--patients", "1", "--workers", "1"])
    truth = json.loads((folder / "clips" / "truth.json").read_text())["clips"]
    clips = {name: LabelledClip("testing", 7.5, truth_actions(entry)) for name, entry in truth.items()}
    lengths = {name: entry["num_frames"] for name, entry in truth.items()}
    clips["gone"], lengths["gone"] = LabelledClip("testing", 7.5, truth_actions(truth["p001_c1"])), 40
    (folder / "labels.json").write_text(labels_text(clips, lengths))
    return folder, truth


def test_evaluation_of_labelled_clips(cohort, tmp_path, capsys):
    folder, truth = cohort
    given = ["--input", str(folder / "clips"), "--labels", str(folder / "labels.json")]
    assert not main(["evaluate", *given, "--output", str(tmp_path), "--workers", "1"])
    said = capsys.readouterr().out
    assert "gone: not in" in said and "mAP" in said
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert scores["clips"] == len(truth) and scores["f"] > 0.5 and scores["deviation"] < 6
    assert len(list((tmp_path / "figures").glob("*.png"))) == len(truth)
    found = json.loads((tmp_path / "found.json").read_text())["database"]
    assert set(found) == set(truth)
    assert len((tmp_path / "clips.csv").read_text().splitlines()) == len(truth) + 1


def test_simulated_clips_are_those_of_the_cohort(cohort, tmp_path):
    _, truth = cohort
    keep(simulated(patients=1, seed=7, workers=1), tmp_path / "features.npz")
    found = kept(tmp_path / "features.npz")
    assert [item.clip_id for item in found.examples] == list(truth) and found.fps == pytest.approx(
        [7.5, 7.5], abs=0.01
    )
    for item in found.examples:
        np.testing.assert_array_equal(item.actions, truth_actions(truth[item.clip_id]))
        assert len(item.values) == truth[item.clip_id]["num_frames"] and item.patient_id == "PHANTOM00001"


def test_a_training_of_one_step(cohort, tmp_path):
    folder, truth = cohort
    clips = {name: LabelledClip("training", 7.5, truth_actions(entry)) for name, entry in truth.items()}
    lengths = {name: entry["num_frames"] for name, entry in truth.items()}
    (folder / "training.json").write_text(labels_text(clips, lengths))
    given = ["--input", str(folder / "clips"), "--labels", str(folder / "training.json"), "--epochs", "1"]
    parts = ["--conv_lstm", "false", "--contrast", "false"]
    config.run_functions_eagerly(True)  # one step: tracing it would take a minute
    try:
        assert not main(["train", *given, *parts, "--output", str(tmp_path), "--workers", "1"])
    finally:
        config.run_functions_eagerly(False)
    assert read_parts(tmp_path / "weights.npz") == Parts(conv_lstm=False, contrast=False)


@pytest.mark.parametrize("command", ["train", "evaluate"])
def test_weights_of_other_features_are_refused(command, tmp_path, capsys):
    np.savez(tmp_path / "w.npz", conv_lstm=False, features="backbone")
    given = ["--patients", "1", "--weights", str(tmp_path / "w.npz"), "--output", str(tmp_path / "out")]
    assert main([command, *given]) == 2
    said = capsys.readouterr().err
    assert "w.npz" in said and "features 'backbone'" in said and "To fix" in said
    assert not (tmp_path / "out").exists()


def test_simulated_features_are_kept(tmp_path):
    given = ["--output", str(tmp_path), "--patients", "1", "--workers", "1"]
    assert not main(["evaluate", *given])
    assert [path.name for path in tmp_path.glob("features*")] == ["features_1_2023.npz"]
    assert kept(tmp_path / "features_1_2023.npz").examples[0].values.shape[1:] == (64, 64, 2)


@pytest.mark.parametrize(
    "given",
    [["evaluate", "--input", "x"], ["teach"], ["train", "--epochs", "0"]],
)
def test_faulty_commands_are_refused(given, capsys):
    assert main(given) == 2
    assert "To fix" in capsys.readouterr().err or given == ["teach"]
