import json

import numpy as np
import pytest

from stenoscope.errors import DatasetError
from stenoscope.temporal.labels import (
    LabelledClip,
    actions_of,
    clipped,
    keyframes_of,
    labels_text,
    read_labels,
)


def test_phases_outside_the_clip_are_cut_or_missing():
    np.testing.assert_array_equal(actions_of(5, 12, 18, 20), [[5, 12], [12, 18]])
    np.testing.assert_array_equal(actions_of(None, 12, None, 20), [[0, 12], [12, 19]])
    np.testing.assert_array_equal(actions_of(None, 7, 18, 35), [[0, 7], [7, 18]])
    np.testing.assert_array_equal(actions_of(5, 19, None, 20), [[5, 19], [np.nan, np.nan]])
    np.testing.assert_array_equal(actions_of(None, 0, 9, 20), [[np.nan, np.nan], [0, 9]])
    np.testing.assert_array_equal(clipped([[-4, 3], [3, 40]], 20), [[0, 3], [3, 19]])


def test_the_apex_is_the_mean_of_both_actions():
    np.testing.assert_array_equal(keyframes_of(np.array([[3, 9], [12, 20]])), [3, 10.5, 20])
    np.testing.assert_array_equal(keyframes_of(np.array([[3, 9], [np.nan] * 2])), [3, 9, np.nan])
    np.testing.assert_array_equal(keyframes_of(np.full((2, 2), np.nan)), [np.nan] * 3)


def test_labels_survive_their_file(tmp_path):
    clips = {
        "a/b": LabelledClip("training", 7.5, actions_of(3, 12, 20, 30)),
        "empty": LabelledClip("testing", 30.0, np.full((2, 2), np.nan, np.float32)),
    }
    text = labels_text(clips, {"a/b": 30, "empty": 60})
    entry = json.loads(text)["database"]["a/b"]
    assert entry["duration"] == 4.0
    assert entry["annotations"][0] == {"label": "start_to_apex", "label_id": 0, "segment": [0.4, 1.6]}
    (tmp_path / "labels.json").write_text(text)
    read = read_labels(tmp_path / "labels.json")
    assert list(read) == ["a/b", "empty"]
    for clip_id, clip in clips.items():
        assert (read[clip_id].subset, read[clip_id].fps) == (clip.subset, clip.fps)
        np.testing.assert_allclose(read[clip_id].actions, clip.actions)


@pytest.mark.parametrize(
    "change",
    [
        {"subset": "train"},
        {"fps": 0},
        {"annotations": [{"label": "apex", "segment": [0, 1]}]},
        {"annotations": [{"label": "apex_to_end", "segment": [2, 1]}]},
        {"annotations": [{"label": "apex_to_end", "segment": [2]}]},
        {"annotations": None},
    ],
)
def test_faulty_files_are_refused_by_name(tmp_path, change):
    entry = {"subset": "training", "fps": 15, "annotations": [], **change}
    path = tmp_path / "labels.json"
    path.write_text(json.dumps({"database": {"clip": entry}}))
    with pytest.raises(DatasetError, match=r"labels\.json"):
        read_labels(path)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"database": []}'])
def test_other_files_are_refused(tmp_path, text):
    path = tmp_path / "labels.json"
    path.write_text(text)
    with pytest.raises(DatasetError, match="labels"):
        read_labels(path)
