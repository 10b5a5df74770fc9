"""1 and 7 key frames a clip through every step, by the real scripts; 5 are the other tests' business."""

import json

import numpy as np
import pandas as pd
import pytest
import yaml

from stenoscope.data.clipset import ClipSet

TINY = {
    "weights": "none", "image_size": 32, "cut": "block2_add", "heatmap_layer": "block2_add", "epochs": 1,
    "batch_size": 8, "frames_per_epoch": 99, "variants_per_epoch": 1, "inner_share": 0.0, "threads": 1,
}  # fmt: skip


@pytest.fixture(scope="module", params=[1, 7])
def made(cohort, request):
    """The number, its experiment and what was made of it, of the cohort's clips."""
    count = request.param
    keyframes, folds, experiment = f"data/{count}", f"data/{count}_folds", f"results/{count}"
    flags = ("--output", keyframes, "--workers", "1", "--sheets", "false")
    cohort.run("pickle_generator.py", "--keyframes", str(count), *flags)
    cohort.run("data_loader_kfold.py", "--input", keyframes, "--output", folds, "--folds", "2")
    (cohort.folder / "tiny.yaml").write_text(yaml.safe_dump({"preset": "smoke", **TINY}))
    where = ("--input", folds, "--experiment", experiment)
    cohort.run("main.py", "--config", "tiny.yaml", *where)
    return count, cohort.folder / keyframes, cohort.folder / experiment, cohort


def test_step_one_keeps_the_number(made):
    count, keyframes, _, _ = made
    manifest = json.loads((keyframes / "manifest.json").read_text())
    clips = ClipSet.open(keyframes)
    assert manifest["settings"]["keyframes"] == count == clips.num_keyframes
    table = pd.read_csv(keyframes / "keyframes.csv", dtype=str)
    chosen = [[int(frame) for frame in row.split()] for row in table["keyframes"]]
    assert all(len(frames) == len(set(frames)) == count for frames in chosen)
    assert all(int(apex) in frames for apex, frames in zip(table["apex"], chosen, strict=True))
    assert clips.keyframes.tolist() == chosen


def test_every_key_frame_is_tested_once_and_explained(made):
    count, keyframes, experiment, _ = made
    clips = ClipSet.open(keyframes)
    predictions = pd.read_csv(experiment / "predictions.csv", dtype={"clip_id": str})
    assert (predictions.groupby("clip_id").size() == count).all()
    by_clip = predictions.groupby("clip_id")["frame_index"].agg(list)
    assert by_clip.to_dict() == dict(zip(clips.clip_ids, clips.keyframes.tolist(), strict=True))
    assert json.loads((experiment / "summary.json").read_text())["localisation"]
    shown = np.load(experiment / "fold_1/maps/keyframe.npy")
    assert shown.max() < count
    page = (experiment / "report.html").read_text(encoding="utf-8")
    card = (experiment / "model_card.md").read_text(encoding="utf-8")
    said = {1: "by its one key frame", 7: "by the majority of its seven key frames"}[count]
    assert said in page and "five" not in page
    assert {1: "| input | one key frame a clip", 7: "| input | seven key frames a clip"}[count] in card


def test_new_clips_get_as_many(made):
    count, keyframes, experiment, workspace = made
    clip = "data/phantom/p001_c1.dcm"
    workspace.run("main.py", "predict", clip, "--experiment", str(experiment), "--threads", "1")
    predictions = pd.read_csv(experiment / "predict/predictions.csv", dtype={"clip_id": str})
    clips = ClipSet.open(keyframes)
    assert predictions["frame_index"].tolist() == clips.keyframes[clips.clip_ids.index("p001_c1")].tolist()
    assert len(predictions) == count


def test_the_sheets_of_variants_and_corrections_follow(made):
    count, keyframes, _, workspace = made
    workspace.run("augment.py", "--input", str(keyframes), "--output", f"results/augment_{count}")
    assert f"0 to {count - 1}" in workspace.run(
        "augment.py", "--input", str(keyframes), "--keyframe", str(count), expect=2
    )
    hand = workspace.folder / "hand.csv"
    hand.write_text("clip_id,keyframes\np001_c1,0 1 2 3 4\n")
    flags = ("--corrections", "hand.csv", "--keyframes", str(count), "--output", "data/refused")
    assert f"instead of {count}" in workspace.run("pickle_generator.py", *flags, expect=2)
