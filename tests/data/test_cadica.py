import shutil

import pytest

from stenoscope.data.cadica import read_cadica
from tests.data.trees import write_cadica
from tests.privileges import permissions_hold


@pytest.fixture
def tree(tmp_path):
    return write_cadica(tmp_path, patients=2)


def reasons(data) -> dict[str, str]:
    return {row.clip_id: row.reason for row in data.rows if row.status == "quarantined"}


def test_labels_patients_and_selected_frames(tree):
    data = read_cadica(tree)
    assert data.labels.clip_ids == ["p1/v1", "p1/v4", "p2/v1", "p2/v4"]
    assert data.labels.patient_ids == ["p1", "p1", "p2", "p2"]
    assert data.labels.labels.tolist() == [[1], [0], [1], [0]]
    assert data.keyframes["p1/v1"] == (2, 3, 4, 5) and data.keyframes["p1/v4"] == (1, 2)
    assert not data.stills
    (row,) = data.rows
    assert row.path == "nonselectedVideos" and row.status == "ignored"


@pytest.mark.parametrize("mode", [0o000, 0o444])
def test_a_patient_whose_folder_is_closed_costs_that_patient(tree, mode):
    closed = tree / "selectedVideos" / "p2"
    closed.chmod(mode)
    try:
        with permissions_hold():
            data = read_cadica(tree)
    finally:
        closed.chmod(0o755)
    assert data.labels.clip_ids == ["p1/v1", "p1/v4"]
    (row,) = [row for row in data.rows if row.status == "quarantined"]
    assert row.path == "selectedVideos/p2" and "can't be listed: Permission denied" in row.reason


def test_boxes_are_scaled_to_the_stored_frame_and_known_in_their_frames_alone(tree):
    (mild, severe) = read_cadica(tree).truth["p1/v1"]["lesions"]
    assert (mild["kind"], mild["severity"], severe["kind"], severe["severity"]) == (
        "p0_20",
        0.1,
        "p70_90",
        0.8,
    )
    assert severe["boxes"] == [None, None, *[[80, 160, 320, 224]] * 4, None, None]  # 10 20 30 8, times 8
    assert mild["boxes"][2] == [320, 32, 400, 128]  # 40 4 10 12
    assert set(read_cadica(tree).truth) == {"p1/v1", "p2/v1"}


def test_a_lesion_that_only_some_frames_show_is_not_made_up_in_the_others(tree):
    truth = tree / "selectedVideos/p1/v1/groundtruth"
    (truth / "p1_v1_00004.txt").write_text("1 1 2 2 p70_90\n5 5 2 2 p70_90\n")
    found = {(lesion["kind"], index): lesion["boxes"] for index, lesion in
             enumerate(read_cadica(tree).truth["p1/v1"]["lesions"])}  # fmt: skip
    assert found["p0_20", 0][3] is None and found["p0_20", 0][4] is not None
    assert found["p70_90", 1][3] == [8, 8, 24, 24]
    assert [box is not None for box in found["p70_90", 2]] == [False] * 3 + [True] + [False] * 4


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("v1/groundtruth/p1_v1_00003.txt", "1 2 3 4 p33\n", "p1_v1_00003.txt, line 1"),
        ("v1/groundtruth/p1_v1_00003.txt", "\n1 2 3\n", "lines of four numbers"),
        ("v1/groundtruth/p1_v1_00003.txt", "1 2 0 4 p99\n", "the box is"),
        ("v1/groundtruth/p1_v1_00003.txt", "1 2 nan 4 p99\n", "the box is"),
        ("v1/p1_v1_selectedFrames.txt", "p1_v1_00099\n", "p1_v1_00099, which is not a frame"),
        ("nonlesionVideos.txt", "v1\nv4\n", "both"),
        ("lesionVideos.txt", "", "neither"),
    ],
)
def test_a_damaged_run_is_left_out_with_the_reason_and_no_path_of_this_machine(tree, file, text, said):
    (tree / "selectedVideos/p1" / file).write_text(text)
    data = read_cadica(tree)
    assert [source.clip_id for source in data.sources] == ["p1/v4", "p2/v1", "p2/v4"]
    found = reasons(data)
    assert set(found) == {"p1/v1"} and said in found["p1/v1"] and str(tree) not in found["p1/v1"]


def test_missing_parts_are_named(tree):
    shutil.rmtree(tree / "selectedVideos/p1/v4")
    shutil.rmtree(tree / "selectedVideos/p2/v1/groundtruth")
    (tree / "selectedVideos/p2/v4/input/p2_v4_00003.png").unlink()
    found = reasons(read_cadica(tree))
    assert "no such folder" in found["p1/v4"]
    assert "no box" in found["p2/v1"]
    assert "lacks 1 of the frames" in found["p2/v4"]


def test_a_run_of_one_frame_is_a_still(tree):
    for path in (tree / "selectedVideos/p1/v4/input").glob("*.png"):
        if "00003" not in path.name:
            path.unlink()
    (tree / "selectedVideos/p1/v4/p1_v4_selectedFrames.txt").write_text("p1_v4_00003.png\r\n")
    data = read_cadica(tree)
    assert data.sources[1].reader == "still" and data.keyframes["p1/v4"] == (0,)
