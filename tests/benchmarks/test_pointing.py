import numpy as np
import pytest

from benchmarks import pointing
from stenoscope.app.keyframes import make_keyframes
from stenoscope.data.clipset import ClipSet
from stenoscope.errors import DatasetError
from stenoscope.learners.cnn import Cnn
from stenoscope.settings import KeyframeSettings, TrainingSettings
from tests.data.trees import write_cadica


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pointing")
    tree = write_cadica(folder / "CADICA", patients=2)
    settings = {"workers": 1, "sheets": False, "method": "midpoint", "pseudonym_key": str(folder / "key")}
    make_keyframes(KeyframeSettings(input=str(tree), output=str(folder / "out"), **settings))
    return ClipSet.open(folder / "out")


def test_clips_without_a_box_are_left_out(clips):
    assert pointing.annotated(clips, 0) == [0, 2] and pointing.annotated(clips, 1) == [0]
    assert [clips.clip_ids[clip] for clip in pointing.annotated(clips, 0)] == ["p1/v1", "p2/v1"]


def test_the_map_is_taken_where_a_box_is_known(clips, monkeypatch):
    """Key frame 0 has the highest probability and no box; of the others key frame 3 has."""
    seen = []

    def maps(learners, frames, method):
        seen.append(next(k for k in range(5) if np.array_equal(frames[0], clips.frames[0, k])))
        heatmap = np.zeros((1, 512, 512))
        heatmap[0, 180, 200] = 1  # in the box 80, 160, 320, 224
        return heatmap

    monkeypatch.setattr(pointing, "ensemble_probabilities", lambda *_: np.array([[0.9, 0.1, 0.2, 0.6, 0.3]]))
    monkeypatch.setattr(pointing, "ensemble_maps", maps)
    table = pointing.measure([Cnn(TrainingSettings())], clips, [0])
    assert set(seen) == {3.0}
    found = table.set_index("method")
    assert found.loc["cam", "hit"] == 1 and found.loc["image_centre", "hit"] == 0
    assert set(found["patient_id"]) == {"p1"}


def test_a_set_without_boxes_is_refused(clips, monkeypatch):
    monkeypatch.setattr(pointing, "lesion_boxes", lambda *_: np.zeros((0, 4)))
    with pytest.raises(DatasetError, match="no lesion box"):
        pointing.annotated(clips, 0)
