import json

import numpy as np
import pytest

from stenoscope.dataset.truth import keyframe_lesions, read_truth, truth_text
from stenoscope.errors import DatasetError

BOX, OTHER = [1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]


def test_a_frame_without_a_mark_has_no_box(tmp_path):
    seen = {"kind": "p99", "severity": 0.99, "boxes": [None, BOX, OTHER, None]}
    clips = {"a": {"lesions": [seen, {"boxes": [BOX, None, None, None]}, {"box": OTHER}]}}
    (tmp_path / "truth.json").write_text(truth_text(clips))
    assert read_truth(tmp_path / "truth.json") == clips
    first, second = keyframe_lesions(
        clips["a"], (1, 2, 2, 3, 3), "here"
    )  # the second is marked in none of them
    np.testing.assert_array_equal(first["boxes"], [BOX, OTHER, OTHER, [np.nan] * 4, [np.nan] * 4])
    assert first["boxes"].dtype == np.float32 and first["severity"] == 0.99
    np.testing.assert_array_equal(second["boxes"], [OTHER] * 5)


def test_boxes_that_are_wrong_or_too_few_are_refused(tmp_path):
    path = tmp_path / "truth.json"
    path.write_text(truth_text({"a": {"lesions": [{"boxes": [None, [3, 2, 1, 4]]}]}}))
    with pytest.raises(DatasetError, match="clip 'a'"):
        read_truth(path)
    path.write_text(
        json.dumps({"schema": "stenoscope/truth", "version": 1, "clips": {"a": {"lesions": [{}]}}})
    )
    with pytest.raises(DatasetError, match="None"):
        read_truth(path)
    with pytest.raises(DatasetError, match="2 frames of 5"):
        keyframe_lesions({"lesions": [{"boxes": [None, BOX]}]}, (0, 1, 2, 3, 4), "here")
