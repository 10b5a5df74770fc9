import json
import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from stenoscope.app import keyframes, outcomes
from stenoscope.app.keyframes import make_keyframes
from stenoscope.data.clipset import ClipSet
from stenoscope.errors import DatasetError, SettingsError
from stenoscope.settings import KeyframeSettings
from tests.imaging.make_dicom import make_dicom, write_repeats
from tests.keyframes.clips import LEVELS, filling_clip


@pytest.fixture(scope="module")
def clips(cohort, tmp_path_factory):
    """Three clips of the cohort, in folders N/ and A/ and below names that differ by an underscore."""
    phantom, folder = cohort.folder / "data/phantom", tmp_path_factory.mktemp("clips")
    for name, source in (("N/p/1.dcm", "p001_c1"), ("A/a/b.dcm", "p002_c1"), ("A/a__b/x.dcm", "p003_c1")):
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_bytes((phantom / f"{source}.dcm").read_bytes())
    return folder


def run(clips, tmp_path, **changes) -> pd.DataFrame:
    settings = {"input": str(clips), "output": str(tmp_path / "out"), "workers": 1}
    make_keyframes(KeyframeSettings(**{**settings, "pseudonym_key": str(tmp_path / "key"), **changes}))
    return pd.read_csv(tmp_path / "out" / "keyframes.csv", dtype=str, keep_default_na=False)


def crash(job, **settings):
    """Stands for `process`: the decoder of one clip kills its process."""
    if job[0].clip_id == "A/a/b":
        os.kill(os.getpid(), signal.SIGSEGV)
    return process(job, **settings)


process = outcomes.process


def test_labels_come_from_folders_by_themselves(clips, tmp_path, capsys):
    table = run(clips, tmp_path)
    assert "folders N/ and A/" in capsys.readouterr().out
    assert table[["clip_id", "patient_id", "label"]].to_numpy().tolist() == [
        ["A/a/b", "a", "1"],
        ["A/a__b/x", "a__b", "1"],
        ["N/p/1", "p", "0"],
    ]
    opened = ClipSet.open(tmp_path / "out")
    opened.verify()
    np.testing.assert_array_equal(opened.labels, [[1], [1], [0]])
    assert opened.label_names == ["label"] and opened.method == "opacification"


def test_without_labels_there_is_no_next_step(clips, tmp_path, capsys):
    table = run(clips, tmp_path, labels="none")
    assert set(table["label"]) == {""} and table["patient_id"].str.startswith("p-").all()
    assert "next:" not in capsys.readouterr().out
    assert ClipSet.open(tmp_path / "out").labels.shape == (3, 0)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_killed_worker_costs_its_clip_alone(clips, tmp_path, monkeypatch, workers):
    monkeypatch.setattr(outcomes, "process", crash)
    table = run(clips, tmp_path, workers=workers)
    assert table["clip_id"].tolist() == ["A/a__b/x", "N/p/1"]
    intake = pd.read_csv(tmp_path / "out" / "intake.csv", index_col="clip_id")
    assert intake["status"].to_dict() == {"A/a/b": "quarantined", "A/a__b/x": "ok", "N/p/1": "ok"}
    assert "crash" in intake.at["A/a/b", "reason"] and "To fix" in intake.at["A/a/b", "reason"]


def test_the_number_of_workers_changes_no_byte(clips, tmp_path):
    for workers in (1, 2):
        (tmp_path / str(workers)).mkdir()
        run(clips, tmp_path / str(workers), workers=workers)
    for name in ("clips.pickle", "clips.frames", "keyframes.csv", "intake.csv"):
        assert (tmp_path / "1/out" / name).read_bytes() == (tmp_path / "2/out" / name).read_bytes()


@pytest.fixture
def repeated(tmp_path):
    return write_repeats(tmp_path / "in")


QUICK = {"method": "midpoint", "sheets": False}


def test_repeated_clips_are_told_every_time_and_named_a_leak_across_patients(repeated, tmp_path, capsys):
    for again in (False, True):
        run(repeated, tmp_path, **QUICK)
        said = " ".join(capsys.readouterr().out.split())
        assert ("nothing to do" in said) == again
        assert (
            "LEAK 1 group of clips with the same pixels under several patients: a leak between folds" in said
        )
        assert "(a (patient p1), copy (patient p9)) To fix: find out whose they are" in said
        assert "WARNING 1 group of clips with the same pixels more than once: they count double." in said
    intake = pd.read_csv(tmp_path / "out/intake.csv", index_col="clip_id")["same_pixels_as"]
    assert intake.to_dict() == {"a": "a", "b": "b", "copy": "a", "twin": "b"}
    found = json.loads((tmp_path / "out/manifest.json").read_text())["repeats"]
    assert [(problem["severity"], problem["items"]) for problem in found] == [
        ("leak", ["a (patient p1), copy (patient p9)"]),
        ("warning", ["b (patient p2), twin (patient p2)"]),
    ]


def test_without_repeats_nothing_is_told(repeated, tmp_path, capsys):
    (repeated / "copy.dcm").unlink()
    (repeated / "twin.dcm").unlink()
    run(repeated, tmp_path, **QUICK)
    said = capsys.readouterr().out
    assert "LEAK" not in said and "same pixels" not in said
    assert json.loads((tmp_path / "out/manifest.json").read_text())["repeats"] == []


def test_repeats_are_the_same_with_two_workers_and_after_a_kill(repeated, tmp_path, monkeypatch, capsys):
    def found(output):
        manifest = json.loads((tmp_path / output / "manifest.json").read_text())
        return (tmp_path / output / "intake.csv").read_bytes(), manifest["repeats"], manifest["outputs"]

    run(repeated, tmp_path, **QUICK)
    run(repeated, tmp_path, **QUICK, workers=2, output=str(tmp_path / "two"))
    with monkeypatch.context() as patch:
        patch.setattr(keyframes, "to_csv", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(repeated, tmp_path, **QUICK, output=str(tmp_path / "resumed"))
    next((tmp_path / "resumed/.work").glob("*.pickle")).unlink()
    capsys.readouterr()
    run(repeated, tmp_path, **QUICK, output=str(tmp_path / "resumed"))
    assert "Resuming: 3 of 4" in capsys.readouterr().out
    assert found("out") == found("two") == found("resumed")


def interrupted(*_):
    raise KeyboardInterrupt


def test_spread_and_method_reach_the_choice(clips, tmp_path):
    def spans(**changes):
        folder = tmp_path / str(changes)
        folder.mkdir()
        table = run(clips, folder, **changes)
        frames = [[int(frame) for frame in chosen.split()] for chosen in table["keyframes"]]
        return np.array([chosen[-1] - chosen[0] for chosen in frames]), set(table["method"])

    near, _ = spans()
    far, _ = spans(spread=True)
    _, method = spans(method="midpoint")
    assert (near == 4).all() and (far >= near).all() and (far > near).any()
    assert method == {"midpoint"}


def test_a_sheet_for_every_clip_or_none(clips, tmp_path):
    run(clips, tmp_path)
    names = {path.name for path in (tmp_path / "out" / "sheets").iterdir()}
    assert names == {"A__a__b.png", "A__a%5F%5Fb__x.png", "N__p__1.png"}
    run(clips, tmp_path, output=str(tmp_path / "bare"), sheets=False)
    assert not (tmp_path / "bare" / "sheets").exists()


@pytest.mark.parametrize("level", [0.0, 1.0])
def test_a_clip_without_contrast_is_left_out_with_its_reason(tmp_path, level):
    (tmp_path / "in/A/q").mkdir(parents=True)
    (tmp_path / "in/N/p").mkdir(parents=True)
    make_dicom(tmp_path / "in/N/p/1.dcm", filling_clip(LEVELS))
    make_dicom(tmp_path / "in/A/q/2.dcm", filling_clip(level * LEVELS[:20]))
    found = run(tmp_path / "in", tmp_path)["clip_id"].tolist()
    assert found == (["A/q/2", "N/p/1"] if level else ["N/p/1"]) == ClipSet.open(tmp_path / "out").clip_ids
    row = pd.read_csv(tmp_path / "out/intake.csv", index_col="clip_id", keep_default_na=False).loc["A/q/2"]
    assert row["status"] == ("ok" if level else "quarantined")
    assert ("No contrast injection" in row["reason"] and "To fix" in row["reason"]) == (not level)
    assert (tmp_path / "out/sheets/A__q__2.png").exists(), "its sheet shows why"


def test_changed_input_is_noticed(clips, tmp_path):
    mine = tmp_path / "in"
    for path in clips.rglob("*.dcm"):
        (mine / path.relative_to(clips)).parent.mkdir(parents=True, exist_ok=True)
        (mine / path.relative_to(clips)).write_bytes(path.read_bytes())
    run(mine, tmp_path)
    (mine / "N/p/2.dcm").write_bytes((mine / "N/p/1.dcm").read_bytes())
    with pytest.raises(DatasetError, match=r"input \(clips\)"):
        run(mine, tmp_path)
    assert len(run(mine, tmp_path, overwrite=True)) == 4


def test_one_pixel_in_the_middle_is_a_changed_clip_and_a_copy_is_none(clips, tmp_path):
    mine = tmp_path / "in"
    shutil.copytree(clips, mine)
    run(mine, tmp_path)
    shutil.copytree(mine, tmp_path / "elsewhere")
    done = (tmp_path / "out" / "manifest.json").read_bytes()
    run(tmp_path / "elsewhere", tmp_path)
    assert (tmp_path / "out" / "manifest.json").read_bytes() == done, "nothing was made again"
    data = bytearray((mine / "N/p/1.dcm").read_bytes())
    assert len(data) > 200_000
    data[len(data) // 2] ^= 1
    (mine / "N/p/1.dcm").write_bytes(data)
    with pytest.raises(DatasetError, match=r"clips"):
        run(mine, tmp_path)


def test_lesion_boxes_are_those_of_the_key_frames(prepared):
    from stenoscope.data.truth import read_truth

    truth = read_truth(prepared.folder / "data/phantom/truth.json")
    opened = ClipSet.open(prepared.folder / "data/keyframes")
    assert any(opened.lesions)
    for index, clip_id in enumerate(opened.clip_ids):
        known = truth[clip_id]["lesions"]
        assert len(opened.lesions[index]) == len(known) and bool(known) == (opened.labels[index, 0] == 1)
        for lesion, entry in zip(opened.lesions[index], known, strict=True):
            expected = np.array([entry["boxes"][frame] for frame in opened.keyframes[index]], np.float32)
            np.testing.assert_array_equal(lesion["boxes"], expected)


def test_an_unknown_method_is_refused_before_any_work(clips, tmp_path):
    with pytest.raises(SettingsError, match="moon2022"):
        run(clips, tmp_path, method="moon2022")
    assert list(Path(tmp_path).iterdir()) == []


def test_boxes_that_fit_no_clip_are_counted_and_listed(repeated, tmp_path, capsys):
    lines = [
        "clip_id,frame,x0,y0,x1,y1",
        "a,,1,2,30,40",
        "ghost,0,1,2,3,4",
        "b,0,600,1,700,9",
        "b,999,1,2,3,4",
    ]
    (tmp_path / "boxes.csv").write_text("\n".join(lines))
    run(repeated, tmp_path, truth=str(tmp_path / "boxes.csv"), **QUICK)
    said = " ".join(capsys.readouterr().out.split())
    assert "1 id unknown; 1 box outside; 1 box of a frame that its clip does not have" in said
    table = pd.read_csv(tmp_path / "out/box_faults.csv", keep_default_na=False)
    assert table["clip_id"].tolist() == ["ghost", "b", "b"]
    clips = ClipSet.open(tmp_path / "out")
    np.testing.assert_array_equal(clips.lesions[clips.clip_ids.index("a")][0]["boxes"], [[1, 2, 30, 40]] * 5)
