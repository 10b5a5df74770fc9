"""Steps 1 and 2 on published data sets, as a user runs them."""

import json

import numpy as np
import pandas as pd
import pytest

from stenoscope.app.explain import lesion_boxes
from stenoscope.app.folds import make_folds
from stenoscope.app.keyframes import make_keyframes
from stenoscope.data.clipset import ClipSet
from stenoscope.errors import DatasetError, SettingsError
from stenoscope.settings import FoldSettings, KeyframeSettings
from tests.data.trees import write_angiodata, write_arcade, write_cadica, write_kemerovo


def run(source, tmp_path, **changes) -> ClipSet:
    settings = {"input": str(source), "output": str(tmp_path / "out"), "workers": 1, "sheets": False}
    make_keyframes(KeyframeSettings(**{**settings, "pseudonym_key": str(tmp_path / "key"), **changes}))
    return ClipSet.open(tmp_path / "out")


@pytest.fixture(scope="module")
def cadica(tmp_path_factory):
    return write_cadica(tmp_path_factory.mktemp("CADICA"))


def test_cadica_goes_through_steps_1_and_2(cadica, tmp_path, capsys):
    clips = run(cadica, tmp_path, method="published")
    said = capsys.readouterr().out
    assert "laid out as CADICA" in said and "5 normal, 5 abnormal, 5 patients" in said
    assert clips.method == "published" and clips.clip_ids[:2] == ["p1/v1", "p1/v4"]
    assert clips.keyframes[:2].tolist() == [[2, 3, 4, 4, 5], [1, 1, 1, 2, 2]]
    assert lesion_boxes(clips, 0, 0).tolist() == [[320, 32, 400, 128], [80, 160, 320, 224]]
    assert len(lesion_boxes(clips, 1, 0)) == 0
    make_folds(FoldSettings(input=str(tmp_path / "out"), output=str(tmp_path / "folds")))
    folds = pd.read_csv(tmp_path / "folds/folds.csv", dtype=str)
    assert folds.groupby("patient_id")["fold"].nunique().eq(1).all() and len(folds) == 10


def test_boxes_are_kept_where_a_method_chooses_the_frames(cadica, tmp_path):
    clips = run(cadica, tmp_path, method="midpoint")  # frames 1 to 5, of which 2 to 5 are marked
    assert clips.keyframes[0].tolist() == [1, 2, 3, 4, 5]
    assert [len(lesion_boxes(clips, 0, keyframe)) for keyframe in range(5)] == [0, 2, 2, 2, 2]
    assert set(json.loads((tmp_path / "out/truth.json").read_text())["clips"]) == {
        f"p{n}/v1" for n in range(1, 6)
    }


def test_a_changed_selection_or_box_is_not_taken_for_the_same_input(tmp_path):
    tree = write_cadica(tmp_path / "CADICA", patients=1)
    run(tree, tmp_path, method="published")
    video = tree / "selectedVideos/p1/v1"
    (video / "p1_v1_selectedFrames.txt").write_text("p1_v1_00003\n")
    with pytest.raises(DatasetError, match="published key frames"):
        run(tree, tmp_path, method="published")
    clips = run(tree, tmp_path, method="published", overwrite=True)
    assert clips.keyframes[0].tolist() == [2] * 5
    (video / "groundtruth/p1_v1_00003.txt").write_text("0 0 9 9 p100\n")
    with pytest.raises(DatasetError, match="truth"):
        run(tree, tmp_path, method="published")


def test_labels_of_ones_own_come_before_the_data_sets(tmp_path):
    tree = write_angiodata(tmp_path / "data")
    clips = run(tree, tmp_path, method="midpoint")
    assert clips.labels.shape == (3, 0) and clips.patient_ids == ["Patient_1", "Patient_1", "Patient_3"]
    (tree / "labels.csv").write_text("clip_id,patient_id,label\nPatient_1/Coro_1,x,1\nPatient_3/Coro_1,y,0\n")
    clips = run(tree, tmp_path, method="midpoint", overwrite=True)
    assert clips.patient_ids == ["x", "y"] and clips.labels.tolist() == [[1], [0]]


@pytest.mark.parametrize(
    ("write", "count", "keyframes"), [(write_arcade, 2, [0] * 5), (write_kemerovo, 3, [0, 0, 0, 2, 2])]
)
def test_sets_of_frames_are_one_class_and_say_so(tmp_path, capsys, write, count, keyframes):
    clips = run(write(tmp_path / "data"), tmp_path)
    said = capsys.readouterr().out
    assert "one class" in said and "next:" not in said and "method 'published'" in said
    assert len(clips) == count and clips.keyframes[0].tolist() == keyframes
    assert np.isfinite(clips.lesions[0][0]["boxes"]).all()
    with pytest.raises(DatasetError, match="Too few patients"):
        make_folds(FoldSettings(input=str(tmp_path / "out"), output=str(tmp_path / "folds")))


def test_a_changed_frame_inside_a_series_is_noticed(tmp_path):
    tree = write_kemerovo(tmp_path / "data")
    run(tree, tmp_path)
    path = tree / "dataset/14_002_5_0020.bmp"
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    with pytest.raises(DatasetError, match="clips"):
        run(tree, tmp_path)


def test_published_key_frames_need_a_set_that_has_them(tmp_path):
    with pytest.raises(SettingsError, match="ships no key frames"):
        run(write_angiodata(tmp_path / "data"), tmp_path, method="published")
