import json
import os
import shutil
import signal
from dataclasses import replace as replaced
from pathlib import Path

import numpy as np
import pandas as pd
import pydicom
import pytest

from stenoscope.app import predict
from stenoscope.app.keyframes import make_keyframes
from stenoscope.app.predict import _discover_all
from stenoscope.app.predict_worker import read_clip
from stenoscope.errors import DatasetError, SettingsError
from stenoscope.imaging.find import find_clips
from stenoscope.settings import KeyframeSettings, PredictSettings
from tests.data.trees import TREES, write_arcade, write_kemerovo
from tests.imaging.make_dicom import make_dicom


@pytest.fixture
def folders(cohort, tmp_path):
    for folder in ("ward", "lab"):
        (tmp_path / folder).mkdir()
        shutil.copy(cohort.folder / "data/phantom/p001_c1.dcm", tmp_path / folder / "clip.dcm")
    shutil.copy(cohort.folder / "data/phantom/p002_c1.dcm", tmp_path / "lab" / "other.dcm")
    return tmp_path


def test_clips_of_several_paths_are_named_below_their_common_folder(folders):
    (folders / "lab" / "notes.txt").write_text("no clip")
    jobs, rows, _ = _discover_all([str(folders / "ward"), str(folders / "lab")], PredictSettings())
    named = [(source.clip_id, source.relative) for source, *_ in jobs]
    assert named == [
        ("ward/clip", "ward/clip.dcm"),
        ("lab/clip", "lab/clip.dcm"),
        ("lab/other", "lab/other.dcm"),
    ]
    assert [row.path for row in rows] == ["lab/notes.txt"]


def test_a_clip_named_twice_is_refused(folders):
    with pytest.raises(DatasetError, match=r"named twice: ward/clip\.dcm"):
        paths = [folders / "ward", folders / "ward" / "clip.dcm", folders / "lab"]
        _discover_all(paths, PredictSettings())


@pytest.mark.parametrize("name", TREES)
def test_folders_are_what_step_one_takes_them_for(tmp_path, name, capsys):
    root = TREES[name](tmp_path / "in")
    jobs, _, layouts = _discover_all([root], PredictSettings())
    settings = KeyframeSettings(input=str(root), output=str(tmp_path / "out"), labels="none", truth="none")
    make_keyframes(replaced(settings, sheets=False, workers=1, pseudonym_key=str(tmp_path / "key")))
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    assert layouts == [name] == [manifest["settings"]["layout_found"]]
    rows = pd.read_csv(tmp_path / "out/intake.csv", dtype=str).query("reader.notna()")
    assert [source.clip_id for source, *_ in jobs] == sorted(rows["clip_id"])
    made = pd.read_csv(tmp_path / "out/keyframes.csv", dtype=str)
    assert set(made["method"]) <= {method for _, method, _ in jobs}
    assert "is laid out as" in capsys.readouterr().out


def test_each_path_has_its_own_layout_and_method(folders, capsys):
    arcade = write_arcade(folders / "frames")
    jobs, rows, layouts = _discover_all([folders / "ward", arcade], PredictSettings())
    assert [(source.clip_id, *how) for source, *how in jobs] == [
        ("ward/clip", "opacification", ()),
        ("frames/train/1", "published", (0,)),
        ("frames/val/1", "published", (0,)),
    ]
    assert layouts == ["clips", "arcade"] and [row.path for row in rows] == [
        "frames/stenosis/train/images/2.png"
    ]
    said = " ".join(capsys.readouterr().out.split())
    assert "frames is laid out as ARCADE" in said and "folder of clips" not in said
    with pytest.raises(DatasetError, match="lesionVideos"):
        _discover_all([folders / "ward"], PredictSettings(layout="cadica"))
    with pytest.raises(SettingsError, match="ships no key frames"):
        _discover_all([arcade, folders / "ward"], PredictSettings(method="published"))


def test_an_unknown_method_is_refused_before_any_work(folders):
    with pytest.raises(SettingsError, match="moon2022"):
        predict.predict([folders], PredictSettings(method="moon2022", experiment=str(folders / "none")))


def test_a_clip_without_contrast_is_not_predicted(tmp_path):
    still = np.random.default_rng(0).integers(90, 110, (8, 128, 128), np.uint8)
    (source,) = find_clips(make_dicom(tmp_path / "still.dcm", still)).sources
    clip, choice, row = read_clip((source, "opacification", ()), lambda patient_id: "p-1", 5)
    assert clip is None and choice is None
    assert row.status == "quarantined" and "No contrast injection" in row.reason
    assert read_clip((source, "midpoint", ()), lambda patient_id: "p-1", 5)[2].status == "ok"


def fatal(job, **settings):
    """Stands for `read_clip`: the decoder of one clip kills its process."""
    if job[0].clip_id == "clip":
        os.kill(os.getpid(), signal.SIGSEGV)
    return read_clip(job, **settings)


def undecided(learners, clip, choice, methods, all_maps):
    """Stands for `_apply`: what five models that know nothing would say."""
    maps = {method: np.zeros((512, 512), np.float32) for method in methods}
    return np.full((5, 5), 0.5, np.float32), 0, maps, None


@pytest.fixture
def unlearned(journey, monkeypatch, tmp_path):
    """Settings of an experiment whose models know nothing."""
    monkeypatch.setattr(predict, "load_learners", lambda *_: [])
    monkeypatch.setattr(predict, "_apply", undecided)
    return PredictSettings(
        experiment=str(journey.folder / "results/demo"),
        output=str(tmp_path / "out"),
        pseudonym_key=str(tmp_path / "key"),
        threads=1,
    )


def test_stills_are_predicted_and_a_damaged_one_is_listed(unlearned, tmp_path):
    root = write_kemerovo(tmp_path / "in")
    damaged = root / "dataset/14_002_6_0003.bmp"
    damaged.write_bytes(damaged.read_bytes()[:2000])  # its header is whole
    write_arcade(tmp_path / "frames")
    predict.predict([root, tmp_path / "frames"], unlearned)
    table = pd.read_csv(tmp_path / "out/predictions.csv")
    frames = table.groupby("clip_id")["frame_index"].agg(list).to_dict()
    assert frames == {
        "in/14_002_5": [0, 0, 0, 2, 2], "in/14_003_5": [0, 0, 0, 1, 1], "frames/train/1": [0] * 5,
        "frames/val/1": [0] * 5,
    }  # fmt: skip
    intake = pd.read_csv(tmp_path / "out/intake.csv", index_col="path")
    assert intake.at["in/dataset/14_002_6_0003.bmp", "status"] == "quarantined"
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    assert manifest["layouts"] == ["kemerovo", "arcade"] and manifest["methods"] == ["published"]
    assert (tmp_path / "out/heatmaps/frames__train__1.cam.gif").read_bytes().startswith(b"GIF8")


def test_a_decoder_that_kills_its_process_costs_its_clip_alone(folders, unlearned, monkeypatch, capsys):
    monkeypatch.setattr(predict, "read_clip", fatal)
    shutil.copy(folders / "lab" / "other.dcm", folders / "lab" / "another.dcm")
    predict.predict([str(folders / "lab")], unlearned)
    table = pd.read_csv(folders / "out" / "predictions.csv")
    assert table["clip_id"].unique().tolist() == ["another", "other"]
    intake = pd.read_csv(folders / "out" / "intake.csv", index_col="clip_id")
    assert intake["status"].to_dict() == {"another": "ok", "clip": "quarantined", "other": "ok"}
    assert "decoder crash" in intake.at["clip", "reason"]
    assert "1 quarantined" in capsys.readouterr().out


def test_a_prediction_leaves_nothing_of_the_one_before(folders, unlearned):
    predict.predict([str(folders / "lab")], unlearned)
    out = folders / "out"
    (out / "dicom").mkdir()
    (out / "dicom" / "clip.dcm").write_bytes(b"names")
    (out / "notes.txt").write_text("the user's own")
    predict.predict([str(folders / "lab" / "other.dcm")], unlearned)
    assert not (out / "dicom").exists() and (out / "notes.txt").exists()
    assert {path.name for path in (out / "sheets").iterdir()} == {"other.png"}
    assert not (out / ".unfinished.json").exists()


def test_a_prediction_never_replaces_something_else(folders, unlearned):
    experiment = Path(unlearned.experiment)
    before = (experiment / "manifest.json").read_bytes()
    with pytest.raises(DatasetError, match="belongs to 'stenoscope/experiment'"):
        predict.predict([str(folders / "lab")], replaced(unlearned, output=str(experiment)))
    assert (experiment / "manifest.json").read_bytes() == before and (experiment / "heatmaps").exists()


def test_clips_of_the_training_are_named_on_page_terminal_and_table(journey, folders, unlearned, capsys):
    phantom = journey.folder / "data/phantom"
    recoded = pydicom.dcmread(phantom / "p003_c1.dcm")
    if recoded.file_meta.TransferSyntaxUID.is_compressed:
        recoded.decompress()
    else:
        recoded.compress(pydicom.uid.RLELossless)
    recoded.save_as(folders / "lab" / "recoded.dcm")
    unseen = pydicom.dcmread(phantom / "p004_c1.dcm")
    if unseen.file_meta.TransferSyntaxUID.is_compressed:
        unseen.decompress()
    unseen.PixelData = unseen.pixel_array[:, ::-1].tobytes()
    unseen.save_as(folders / "lab" / "unseen.dcm")
    predict.predict([str(folders / "lab")], unlearned)
    table = pd.read_csv(folders / "out/clips.csv", keep_default_na=False).set_index("clip_id")
    assert table["in_training"].to_dict() == {
        "clip": "clip",
        "other": "clip",
        "recoded": "clip",
        "unseen": "no",
    }
    assert table["training_clip"].to_dict() == {
        "clip": "p001_c1", "other": "p002_c1", "recoded": "p003_c1", "unseen": "",
    }  # fmt: skip
    told = "3 of 4 clips were in the training data: their probabilities are optimistic (clip, other, recoded)"
    assert told in " ".join(capsys.readouterr().out.split())
    page = (folders / "out/report.html").read_text("utf-8")
    assert told in page and "<td>yes: p003_c1</td>" in page and page.count("<td>no</td>") == 1


def test_an_older_experiment_does_not_know_what_it_was_trained_on(folders, unlearned, tmp_path, capsys):
    old = tmp_path / "old"
    shutil.copytree(unlearned.experiment, old, ignore=shutil.ignore_patterns("trained_on.csv", "predict"))
    manifest = json.loads((old / "manifest.json").read_text())
    del manifest["outputs"]["trained_on.csv"], manifest["sha256"]
    (old / "manifest.json").write_text(json.dumps(manifest))
    predict.predict([str(folders / "ward")], replaced(unlearned, experiment=str(old)))
    table = pd.read_csv(folders / "out/clips.csv", keep_default_na=False)
    assert table["in_training"].tolist() == ["not known"]
    assert "Not known whether" in capsys.readouterr().out
    assert "Not known whether" in (folders / "out/report.html").read_text("utf-8")
