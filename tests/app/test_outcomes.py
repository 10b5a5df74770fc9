"""What step 1 takes from the run before: new labels and corrected key frames cost no second reading."""

import json
import shutil
from dataclasses import replace

import cv2
import numpy as np
import pandas as pd
import pytest

from stenoscope.app import keyframe_worker, keyframes, outcomes
from stenoscope.app.keyframes import make_keyframes
from stenoscope.data.clipset import ClipSet
from stenoscope.errors import DatasetError
from stenoscope.settings import KeyframeSettings

LABELS = "clip_id,patient_id,label\np001_c1,p1,0\np002_c1,p2,1\np003_c1,p3,{}\n"
ALL = ["p001_c1", "p002_c1", "p003_c1"]


@pytest.fixture
def read(monkeypatch):
    """Ids of the clips that are read, as they are."""
    ids = []
    process = outcomes.process
    monkeypatch.setattr(
        outcomes, "process", lambda job, **how: ids.append(job[0].clip_id) or process(job, **how)
    )
    return ids


@pytest.fixture
def lab(cohort, tmp_path, read):
    """Three clips and their labels, after step 1."""
    (tmp_path / "in").mkdir()
    for clip_id in ALL:
        shutil.copy(cohort.folder / f"data/phantom/{clip_id}.dcm", tmp_path / "in")
    (tmp_path / "in/labels.csv").write_text(LABELS.format(0))
    run(tmp_path)
    assert read == ALL
    read.clear()
    return tmp_path


def run(lab, output="out", **changes) -> pd.DataFrame:
    make_keyframes(
        KeyframeSettings(
            input=str(lab / "in"),
            output=str(lab / output),
            executor="serial",
            pseudonym_key=str(lab / "key"),
            **changes,
        )
    )
    return pd.read_csv(lab / output / "keyframes.csv", dtype=str, keep_default_na=False, index_col="clip_id")


def made(lab, output="out") -> dict:
    folder = lab / output
    files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    del files["manifest.json"], files[".check/sources.json"]
    return files


def as_fresh(lab, **changes):
    """Whether the output is what a run that reads every clip makes."""
    run(lab, "fresh", **changes)
    return made(lab) == made(lab, "fresh")


def write(lab, *rows, name="hand.csv") -> dict:
    (lab / name).write_text("\n".join(["clip_id,keyframes", *rows]) + "\n")
    return {"corrections": str(lab / name)}


def test_new_labels_read_no_clip_and_give_the_bytes_of_a_fresh_run(lab, read, capsys):
    (lab / "in/labels.csv").write_text(LABELS.format(1))
    with pytest.raises(DatasetError, match=r"different input \(labels\)"):
        run(lab)
    before = made(lab)
    table = run(lab, overwrite=True)
    assert read == [] and table["label"].tolist() == ["0", "1", "1"]
    assert "3 of 3 clips are as before" in " ".join(capsys.readouterr().out.split())
    assert made(lab) != before and as_fresh(lab)


def test_a_clip_without_a_label_goes_with_its_sheet_and_comes_back(lab, read):
    (lab / "in/labels.csv").write_text("".join(LABELS.format(0).splitlines(True)[:3]))
    run(lab, overwrite=True)
    assert read == [] and as_fresh(lab)
    assert sorted(path.stem for path in (lab / "out/sheets").iterdir()) == ALL[:2]
    read.clear()
    (lab / "in/labels.csv").write_text(LABELS.format(0))
    run(lab, overwrite=True)
    assert read == ["p003_c1"]


def test_one_clip_is_corrected_and_the_rest_left_to_the_method(lab, read):
    before = ClipSet.open(lab / "out")
    kept = before.frames[:].copy()
    table = run(lab, overwrite=True, **write(lab, "p002_c1,2 4 6 8 10"))
    assert read == ["p002_c1"]
    assert table["method"].tolist() == ["opacification", "corrected", "opacification"]
    assert table.loc["p002_c1", ["start", "apex", "end", "keyframes"]].tolist() == ["", "6", "", "2 4 6 8 10"]
    clips = ClipSet.open(lab / "out")
    assert clips.keyframes[1].tolist() == [2, 4, 6, 8, 10]
    assert np.array_equal(clips.frames[0], kept[0]) and np.array_equal(clips.frames[2:], kept[2:])
    assert not np.array_equal(clips.frames[1], kept[1])
    assert json.loads((lab / "out/manifest.json").read_text())["counts"]["corrected"] == 1
    assert as_fresh(lab, corrections=str(lab / "hand.csv"))


def test_dropping_or_changing_the_corrections_is_noticed(lab, read):
    run(lab, overwrite=True, **write(lab, "p002_c1,2 4 6 8 10"))
    with pytest.raises(DatasetError, match="corrected key frames"):
        run(lab)
    with pytest.raises(DatasetError, match="corrected key frames"):
        run(lab, **write(lab, "p002_c1,2 4 6 8 11"))
    read.clear()
    run(lab, overwrite=True)
    assert read == ["p002_c1"] and as_fresh(lab)


def test_its_own_table_with_a_changed_row_is_a_file_of_corrections(lab, read):
    own = lab / "out/keyframes.csv"
    text = own.read_text()
    frames = pd.read_csv(own, index_col="clip_id").at["p003_c1", "keyframes"]
    assert text.count(frames) == 1
    own.write_text(text.replace(f",{frames}\n", ",0 1 2 3 4\n"))
    with pytest.raises(DatasetError, match="was changed since step 1") as problem:
        run(lab)
    assert f"--corrections {own} --overwrite" in problem.value.fix
    table = run(lab, overwrite=True, corrections=str(own))
    assert read == ["p003_c1"]
    assert table["method"].tolist() == ["opacification", "opacification", "corrected"]
    read.clear()
    written = own.read_bytes()
    run(lab, corrections=str(own))  # it states the same frames
    assert read == [] and own.read_bytes() == written


def test_an_unchanged_table_changes_nothing(lab, read):
    before = made(lab)
    run(lab, overwrite=True, corrections=str(shutil.copy(lab / "out/keyframes.csv", lab / "same.csv")))
    assert read == [] and made(lab) == before


def test_a_clip_without_contrast_is_used_with_given_frames_and_else_not_read_twice(lab, read, monkeypatch):
    choose = keyframe_worker.choose

    def no_contrast(*job):
        return replace(choose(*job), contrast=False)

    monkeypatch.setattr(keyframe_worker, "choose", no_contrast)
    given = write(lab, "p001_c1,0 1 2 3 4")
    table = run(lab, "empty", **given)
    assert table.index.tolist() == ["p001_c1"] and read == ALL
    assert len(list((lab / "empty/sheets").iterdir())) == 3
    read.clear()
    (lab / "in/labels.csv").write_text(LABELS.format(1))
    run(lab, "empty", overwrite=True, **given)
    assert read == []


@pytest.mark.parametrize("what", ["clips.frames", ".outcomes.pickle", "sheets/p002_c1.png", "gone"])
def test_what_is_damaged_is_read_again(lab, read, what):
    path = lab / "out" / (what if what != "gone" else "sheets/p002_c1.png")
    content = bytearray(path.read_bytes())
    content[200 + 5 * 512 * 512 if what == "clips.frames" else len(content) // 2] ^= 1
    path.write_bytes(content)
    if what == "gone":
        path.unlink()
    (lab / "in/labels.csv").write_text(LABELS.format(1))
    run(lab, overwrite=True)
    assert read == (ALL if what == ".outcomes.pickle" else ["p002_c1"]) and as_fresh(lab)


def test_a_kill_while_relabelling_costs_nothing(lab, read, monkeypatch):
    (lab / "in/labels.csv").write_text(LABELS.format(1))
    for place in ("to_csv", "_counts"):  # before and after the clips have been replaced
        with monkeypatch.context() as patch:
            patch.setattr(keyframes, place, interrupted)
            with pytest.raises(KeyboardInterrupt):
                run(lab, overwrite=True)
    run(lab)
    assert read == [] and as_fresh(lab)


def interrupted(*_):
    raise KeyboardInterrupt


def test_the_sheet_says_corrected_by_hand(lab):
    def title(output):
        return cv2.imread(str(lab / output / "sheets/p002_c1.png"))[:60]

    run(lab, "hand", **write(lab, "p002_c1,2 4 6 8 10"))
    assert not np.array_equal(title("out"), title("hand"))


def test_other_settings_take_nothing_from_the_run_before(lab, read):
    run(lab, overwrite=True, sheets=False)
    assert read == ALL and not (lab / "out/sheets").exists()
