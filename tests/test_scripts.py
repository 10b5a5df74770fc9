"""Each real script by subprocess, with tiny settings: what it writes, says, refuses, and how it goes on."""

import io
import json
import pickle
import random
import re
import signal
import time

import numpy as np
import pandas as pd
import pytest
import yaml

from stenoscope.data import pickles
from stenoscope.presets import training_settings
from stenoscope.settings import TrainingSettings
from stenoscope.tuning.fits import settings_key
from tests.journey import PHANTOM, SMALL, SMOKE

MODES = (("main.py", "predict"), ("main.py", "export"))
SCRIPTS = ("pickle_generator.py", "data_loader_kfold.py", "augment.py", "main.py", "hyper_parameter_kfold.py")
FIGURES = ("frame_accuracy", "frame_auc", "clip_accuracy", "clip_auc", "sensitivity", "specificity")


def table(workspace, path) -> pd.DataFrame:
    return pd.read_csv(workspace.folder / path, dtype=str, keep_default_na=False)


@pytest.fixture(scope="module")
def predicted(journey):
    """The experiment applied to two clips of the cohort."""
    journey.run(
        "main.py", "predict", "data/phantom/p001_c1.dcm", "data/phantom/p002_c1.dcm", "--threads", "1"
    )
    return journey


@pytest.mark.parametrize("command", [(name,) for name in SCRIPTS] + [*MODES, PHANTOM])
def test_help_names_the_flags_with_defaults(cohort, command):
    text = (cohort.run if command == PHANTOM else cohort.call)(*command, "--help")
    assert "--config" in text and "default:" in text and "usage:" in text


@pytest.mark.parametrize("name", SCRIPTS)
def test_an_unknown_flag_is_refused(cohort, name):
    assert "--no_such_flag" in cohort.call(name, "--no-such-flag", "1", expect=2)


def test_a_step_before_its_input_says_what_to_run(tmp_path):
    from tests.journey import Workspace

    empty = Workspace(tmp_path)
    for name, mends in (
        ("data_loader_kfold.py", "python pickle_generator.py"),
        ("augment.py", "python pickle_generator.py"),
        ("main.py", "python data_loader_kfold.py"),
    ):
        text = empty.call(name, expect=2)
        assert mends in text and "Traceback" not in text
    assert list(tmp_path.iterdir()) == []


def test_step_one_writes_what_the_readme_names(prepared):
    files = set(prepared.files("data/keyframes"))
    truth = json.loads((prepared.folder / "data/phantom/truth.json").read_text())["clips"]
    names = {"clips.pickle", "clips.frames", "keyframes.csv", "intake.csv", "manifest.json"}
    names |= {".check/sources.json", ".outcomes.pickle"}
    assert files == names | {f"sheets/{clip_id}.png" for clip_id in truth}
    keyframes = table(prepared, "data/keyframes/keyframes.csv")
    assert ",".join(keyframes.columns) == (
        "clip_id,patient_id,label,num_frames,method,start,apex,end,confidence,keyframes"
    )
    assert set(keyframes["clip_id"]) == set(truth) and set(keyframes["label"]) == {"0", "1"}
    for row in keyframes.itertuples():
        chosen = [int(frame) for frame in row.keyframes.split(" ")]
        assert len(set(chosen)) == 5 and chosen == sorted(chosen) and int(row.apex) in chosen
        assert chosen[0] >= 0 and chosen[-1] < int(row.num_frames) == truth[row.clip_id]["num_frames"]
        for limit in (row.start, row.end):
            assert limit == "" or 0 < int(limit) < int(row.num_frames)
    intake = table(prepared, "data/keyframes/intake.csv")
    assert list(intake["status"]) == ["ok"] * len(truth) and set(intake["modality"]) == {"XA"}
    assert "next:" in prepared.said["pickle_generator.py"]


def test_the_pickle_is_plain_and_its_buffer_holds_the_frames(prepared):
    folder = prepared.folder / "data/keyframes"
    with (folder / "clips.pickle").open("rb") as file:
        content = pickle.load(file, buffers=[np.memmap(folder / "clips.frames", mode="r")])
    count = len(content["clip_ids"])
    assert content["schema"] == "stenoscope/clips" and content["version"] == 2
    assert content["frames"].shape == (5 * count, 512, 512) and content["frames"].dtype == np.uint8
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["clips"]["frames_bytes"] == (folder / "clips.frames").stat().st_size
    assert manifest["outputs"]["clips.frames"] == content["frames_sha256"]


def test_step_two_writes_fifteen_files(prepared):
    names = {f"fold_{k}_{part}.pickle" for k in range(1, 6) for part in ("train", "valid", "mean")}
    assert set(prepared.files("data/folds")) == names | {"folds.csv", "manifest.json"}
    mean = pickles.load(prepared.folder / "data/folds/fold_3_mean.pickle")["mean_image"]
    assert mean.shape == (500, 500) and mean.dtype == np.float32 and 20 < mean.mean() < 230


def test_three_folds_go_through_every_step(prepared):
    prepared.call("data_loader_kfold.py", "--folds", "3", "--output", "data/three")
    folder = prepared.folder / "data" / "three"
    assert len(list(folder.glob("fold_[1-3]_*.pickle"))) == len(list(folder.glob("fold_*"))) == 9
    prepared.run(*SMOKE, "--input", "data/three", "--experiment", "results/three")
    predictions = table(prepared, "results/three/predictions.csv")
    folds = table(prepared, "data/three/folds.csv")
    assert dict(predictions[["clip_id", "fold"]].drop_duplicates().values) == dict(
        folds[["clip_id", "fold"]].values
    )
    counts = json.loads((prepared.folder / "results/three/summary.json").read_text())["counts"]
    assert [row["fold"] for row in counts["folds"]] == [1, 2, 3]
    clip = next((prepared.folder / "data" / "phantom").glob("*.dcm"))
    told = prepared.call("main.py", "predict", str(clip), "--experiment", "results/three", "--threads", "1")
    assert "Loading the 3 models" in told
    new = table(prepared, "results/three/predict/predictions.csv")
    assert [name for name in new.columns if name.startswith("fold_")] == ["fold_1", "fold_2", "fold_3"]


def test_a_check_verifies_without_making_anything_else(cohort):
    command = ("pickle_generator.py", "--check", "--output", "data/checked", "--workers", "1")
    said = " ".join(cohort.call(*command).split())
    assert "step 1 can run" in said and "next: python pickle_generator.py --output data/checked" in said
    files = cohort.files("data/checked")
    assert set(files) == {
        "check/intake.csv", "check/intake.html", "check/labels_template.csv",
        "check/.labels_template.csv.sha256", ".check/rows.jsonl", ".check/sources.json",
    }  # fmt: skip
    intake = table(cohort, "data/checked/check/intake.csv")
    assert set(intake["status"]) == {"ok"} and set(intake["contrast"]) == {"yes"}
    assert intake["pixel_sha256"].is_unique and set(intake["same_pixels_as"]) == {""}
    labels = cohort.folder / "faulty.csv"
    labels.write_text("clip_id,patient_id,label\np001_c1,P1,2\n")
    assert "label is '2'" in cohort.call(*command, "--labels", "faulty.csv", expect=1)


def test_augment_draws_its_sheet(prepared):
    prepared.call("augment.py")
    for name in ("sheet.png", "training.png"):
        assert prepared.files("results/augment")[name].startswith(b"\x89PNG")


def test_step_three_writes_what_the_readme_names(journey):
    files = journey.files("results/demo")
    clips = table(journey, "data/keyframes/keyframes.csv")
    assert {"predictions.csv", "summary.json", "report.html", "config.yaml", "manifest.json"} <= set(files)
    assert len(pd.read_csv(io.BytesIO(files["clips.csv"]))) == len(clips)
    for fold in range(1, 6):
        assert {f"fold_{fold}/model.keras", f"fold_{fold}/history.csv"} <= set(files)
    for clip_id in clips["clip_id"]:
        assert {f"heatmaps/{clip_id}.cam.png", f"heatmaps/{clip_id}.hirescam.png"} <= set(files)
    assert "heatmaps/montage.png" in files
    assert not [name for name in files if "/." in f"/{name}"], "nothing hidden is left behind"
    history = pd.read_csv(io.BytesIO(files["fold_1/history.csv"]))
    assert {"epoch", "loss", "accuracy", "learning_rate"} <= set(history.columns) and len(history) == 1
    assert b"<script src" not in files["report.html"] and b'href="http' not in files["report.html"]


def test_predictions_cover_every_key_frame_once(journey):
    predictions = table(journey, "results/demo/predictions.csv")
    assert ",".join(predictions.columns) == "fold,patient_id,clip_id,frame_index,label,probability"
    chosen = table(journey, "data/keyframes/keyframes.csv").set_index("clip_id")
    found = predictions.groupby("clip_id")
    assert set(found.groups) == set(chosen.index)
    for clip_id, rows in found:
        assert rows["frame_index"].tolist() == chosen.at[clip_id, "keyframes"].split(" ")
        assert set(rows["label"]) == {chosen.at[clip_id, "label"]} and rows["fold"].nunique() == 1
    folds = table(journey, "data/folds/folds.csv").set_index("clip_id")["fold"]
    assert (predictions["fold"] == predictions["clip_id"].map(folds)).all()


def test_summary_has_the_figures(journey):
    summary = json.loads((journey.folder / "results/demo/summary.json").read_text())
    for name in FIGURES:
        figure = summary[name]
        assert {"mean", "std", "pooled", "ci95"} <= set(figure), name
        low, high = figure["ci95"]
        assert 0 <= low <= figure["pooled"] <= high <= 1
    assert {"cam", "hirescam", "image_centre"} <= set(summary["localisation"])


def test_config_and_manifest_say_how_it_was_made(journey):
    config = yaml.safe_load((journey.folder / "results/demo/config.yaml").read_text())
    assert TrainingSettings(**config) == training_settings("smoke", threads=1, **SMALL)
    assert config["preset"] == "smoke"
    manifest = json.loads((journey.folder / "results/demo/manifest.json").read_text())
    clips = json.loads((journey.folder / "data/keyframes/manifest.json").read_text())["clips"]
    assert (
        manifest["schema"] == "stenoscope/experiment"
        and manifest["inputs"]["clips.pickle"] == clips["sha256"]
    )
    assert (
        manifest["settings"]["preset"] == "smoke"
        and manifest["seed"] == 7
        and manifest["versions"]["tensorflow"]
        and manifest["command"][0] == "main.py"
    )


def test_every_step_and_page_says_that_the_clips_are_simulated(journey, predicted):
    count = len(table(journey, "data/keyframes/keyframes.csv"))
    for folder in ("data/keyframes", "data/folds", "results/demo"):
        manifest = json.loads((journey.folder / folder / "manifest.json").read_text())
        assert manifest["simulated"] == {"clips": count, "of": count}, folder
        assert manifest["command"][0].endswith(".py"), folder
    new = json.loads((predicted.folder / "results/demo/predict/manifest.json").read_text())
    assert new["simulated"] == {"clips": 2, "of": 2} and new["trained_on_simulated"] == manifest["simulated"]
    for folder, made in (("results/demo", manifest), ("results/demo/predict", new)):
        page = (journey.folder / folder / "report.html").read_text(encoding="utf-8")
        assert "All clips were simulated by this program" in page and made["created"] in page


def test_running_again_says_there_is_nothing_to_do(journey):
    before = {name: journey.files(name) for name in ("data/keyframes", "data/folds", "results/demo")}
    assert "nothing to do" in journey.call("pickle_generator.py")
    assert "up to date" in journey.call("data_loader_kfold.py")
    assert "nothing to do" in journey.call(*SMOKE)
    assert {name: journey.files(name) for name in before} == before
    (journey.folder / "results/demo/report.html").unlink()
    journey.call(*SMOKE)
    assert journey.files("results/demo") == before["results/demo"], "a missing report is drawn again"


def test_labels_that_changed_since_step_one_are_told_by_the_steps_after(journey):
    labels = journey.folder / "data/phantom/labels.csv"
    before = labels.read_text()
    labels.write_text(before + "\n")
    try:
        for command in (("data_loader_kfold.py",), SMOKE):
            said = " ".join(journey.run(*command).split())
            assert "labels.csv has changed since step 1 read it" in said
            assert "python pickle_generator.py --overwrite" in said
    finally:
        labels.write_text(before)
    assert "has changed since" not in journey.run("data_loader_kfold.py")


def test_other_settings_do_not_mix_with_a_finished_run(journey):
    text = journey.call(*SMOKE, "--epochs", "2", expect=2)
    assert "epochs" in text and "--overwrite" in text
    text = journey.call("pickle_generator.py", "--spread", expect=2)
    assert "spread" in text and "--overwrite" in text


def test_predict_explains_new_clips(predicted):
    files = predicted.files("results/demo/predict")
    assert {"predictions.csv", "clips.csv", "intake.csv", "report.html", "manifest.json"} <= set(files)
    for clip_id in ("p001_c1", "p002_c1"):
        assert f"sheets/{clip_id}.png" in files
        for method in ("cam", "hirescam"):
            assert files[f"heatmaps/{clip_id}.{method}.png"].startswith(b"\x89PNG")
            assert files[f"heatmaps/{clip_id}.{method}.gif"].startswith(b"GIF8")
    predictions = table(predicted, "results/demo/predict/predictions.csv")
    assert len(predictions) == 10
    models = predictions[[f"fold_{k}" for k in range(1, 6)]].astype(float)
    np.testing.assert_allclose(predictions["probability"].astype(float), models.mean(axis=1), atol=2e-6)


def test_prediction_of_a_cohort_clip_is_that_of_its_test_fold(predicted):
    tested = table(predicted, "results/demo/predictions.csv").set_index(["clip_id", "frame_index"])
    new = table(predicted, "results/demo/predict/predictions.csv").set_index(["clip_id", "frame_index"])
    for key, row in new.iterrows():
        own = row[f"fold_{tested.at[key, 'fold']}"]
        assert float(own) == pytest.approx(float(tested.at[key, "probability"]), abs=1e-4)


def test_predict_without_an_experiment_says_what_to_run(predicted):
    clip = "data/phantom/p001_c1.dcm"
    text = predicted.call("main.py", "predict", clip, "--experiment", "results/none", expect=2)
    assert "python main.py" in text and "Traceback" not in text


def test_settings_are_printed_as_yaml_that_main_takes(cohort):
    text = cohort.call("hyper_parameter_kfold.py")
    assert TrainingSettings(**yaml.safe_load(text)) == TrainingSettings()
    assert text.count("#") > 25, "every setting has its reason"


def test_a_search_writes_settings_that_main_takes(journey):
    space = journey.folder / "space.yaml"
    space.write_text("learning_rate: {low: 1e-4, high: 1e-3, log: true}\nbatch_size: [8, 16]\n")
    search = (
        "hyper_parameter_kfold.py",
        "--base",
        "results/demo/config.yaml",
        "--inner-folds",
        "2",
        "--space",
        str(space),
    )
    said = journey.run(*search, "--trials", "2", "--threads", "1")
    files = journey.files("results/tuning/study")
    assert {name for name in files if "/" not in name} == {
        "study.db", "trials.csv", "nested.csv", "summary.json", "best.yaml", "space.yaml", "report.html",
        "manifest.json",
    }  # fmt: skip
    assert len(files["trials.csv"].splitlines()) == 3 and "outer" in said
    config = journey.run("main.py", "--config", "results/tuning/study/best.yaml", "--print_config")
    best = yaml.safe_load(files["best.yaml"])
    assert best["experiment"] == "results/tuned" and best["image_size"] == 32
    assert f"learning_rate: {best['learning_rate']}" in config
    default = f"predictions/fold_1/{settings_key(training_settings('smoke', **SMALL))}/outer.csv"
    assert files[default] == journey.files("results/demo/fold_1")["predictions.csv"], "as main.py trains it"
    assert "nothing to do" in journey.run(*search, "--trials", "1")


@pytest.mark.parametrize("by, status", [(signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_interrupted_step_one_goes_on_to_the_same_bytes(prepared, tmp_path, by, status):
    command = ("pickle_generator.py", "--output", str(tmp_path / "keyframes"), "--workers", "2")
    done = lambda: len(list((tmp_path / "keyframes").glob(".work/*.pickle"))) >= 3  # noqa: E731
    assert prepared.interrupt(done, by, *command) == status
    left = {path.relative_to(tmp_path).parts[1] for path in tmp_path.rglob("*") if path.is_file()}
    assert {name for name in left if not name.startswith(".")} <= {"sheets"}
    assert "Resuming" in prepared.run(*command)
    again = prepared.files(str(tmp_path / "keyframes"))
    undisturbed = prepared.files("data/keyframes")
    assert set(again) == set(undisturbed)
    assert [name for name in again if again[name] != undisturbed[name]] == ["manifest.json"]


def test_an_experiment_is_not_repeated_with_other_folds(journey):
    journey.run("data_loader_kfold.py", "--seed", "8", "--output", "data/other_folds")
    command = ("main.py", "--config", "results/demo/config.yaml", "--experiment", "results/other")
    text = journey.run(*command, "--input", "data/other_folds", expect=2)
    assert "data/other_folds is not what results/demo was made from" in text and "Traceback" not in text
    assert not (journey.folder / "results/other").exists()


def some_time_after(folder, pattern, seconds):
    """A moment for `interrupt`: so many seconds after a path of this pattern appeared."""
    seen = []

    def now():
        if any(folder.glob(pattern)):
            seen.append(time.monotonic())
        return bool(seen) and seen[-1] >= seen[0] + seconds

    return now


def test_interrupted_training_goes_on_to_the_same_predictions(journey):
    """Repeats the experiment from its own config.yaml, stopped four times on the way."""
    folder = journey.folder / "results" / "again"
    command = ("main.py", "--config", "results/demo/config.yaml", "--experiment", "results/again")
    kept = lambda: any(folder.glob(".work/*/fold_1/checkpoint.npz"))  # noqa: E731
    status = journey.interrupt(kept, signal.SIGINT, *command)
    assert status == 130 and not (folder / "predictions.csv").exists()
    rng = random.Random(20)
    for fold in (2, 3, 4):
        moment = some_time_after(folder, f".work/*/fold_{fold}", rng.uniform(0, 3))
        status = journey.interrupt(moment, signal.SIGKILL, *command)
        assert status == -signal.SIGKILL and not (folder / "predictions.csv").exists()
    said = journey.run(*command)
    assert "Resuming" in said
    assert not re.search(r"^[EIW]\d{4} |oneDNN|NodeDef", said, re.MULTILINE), "the tensor library talks"
    again, undisturbed = journey.files("results/again"), journey.files("results/demo")
    assert {name for name in again if not name.startswith("predict/")} == {
        name for name in undisturbed if not name.startswith("predict/")
    }
    for name in ("predictions.csv", "summary.json", "heatmaps/montage.png"):
        assert again[name] == undisturbed[name], name
