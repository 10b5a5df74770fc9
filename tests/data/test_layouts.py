import pytest

from stenoscope.data.layouts import LAYOUTS, open_layout
from stenoscope.errors import DatasetError, SettingsError
from stenoscope.imaging.intake import admit
from tests.data.trees import TREES, write_arcade, write_cadica, write_folders
from tests.privileges import permissions_hold


@pytest.mark.parametrize("name", TREES)
def test_every_published_layout_is_recognised_and_its_clips_are_read(tmp_path, name):
    TREES[name](tmp_path)
    found, data = open_layout(tmp_path)
    assert found == name
    again = open_layout(tmp_path, name)[1]
    assert (again.sources, again.rows) == (data.sources, data.rows)
    ids = [source.clip_id for source in data.sources]
    assert ids == sorted(set(ids)) and len(ids) >= 2
    for source in data.sources:
        clip, row = admit(source, str)
        assert clip is not None, row.reason
        assert clip.frames.shape[1:] == (512, 512) and clip.clip_id == source.clip_id
        assert max(data.keyframes.get(source.clip_id, [0])) < len(clip.frames)


def test_every_entry_of_the_registry_has_a_tree_but_the_one_for_anything():
    assert set(LAYOUTS) - set(TREES) == {"clips"}


def test_a_data_set_is_found_one_folder_down(tmp_path):
    write_cadica(tmp_path / "CADICA", patients=1)
    name, data = open_layout(tmp_path)
    assert name == "cadica" and [source.clip_id for source in data.sources] == ["p1/v1", "p1/v4"]


def test_other_folders_are_folders_of_clips(tmp_path):
    write_folders(
        tmp_path / "hospital"
    )  # N/ and A/ are looked for at the top only: they are part of clip ids
    name, data = open_layout(tmp_path)
    assert name == "clips" and data.labels is None and not data.stills
    assert [source.clip_id for source in data.sources] == ["hospital/A/p2/run", "hospital/N/p1/run"]


@pytest.mark.parametrize("mode", [0o000, 0o444])
def test_a_closed_folder_is_no_layout_and_stops_nothing(tmp_path, mode):
    write_cadica(tmp_path / "CADICA", patients=1)
    (tmp_path / "CADICA").chmod(mode)
    try:
        with permissions_hold():
            name, data = open_layout(tmp_path)
    finally:
        (tmp_path / "CADICA").chmod(0o755)
    assert name == "clips" and not data.sources
    assert all(": Permission denied. " in row.reason for row in data.rows)


def test_a_folder_of_another_layout_is_refused_with_what_is_expected(tmp_path):
    write_arcade(tmp_path)
    with pytest.raises(DatasetError, match="lesionVideos"):
        open_layout(tmp_path, "cadica")
    with pytest.raises(SettingsError, match="cadica, clips, folders, kemerovo"):
        open_layout(tmp_path, "cardica")
    with pytest.raises(DatasetError, match="does not exist"):
        open_layout(tmp_path / "nowhere")


def test_angiodata_groups_runs_by_patient_and_has_no_labels(tmp_path):
    TREES["angiodata"](tmp_path)
    data = open_layout(tmp_path)[1]
    assert data.patients == {
        "Patient_1/Coro_1": "Patient_1", "Patient_1/Coro_2": "Patient_1", "Patient_3/Coro_1": "Patient_3",
    }  # fmt: skip
    assert data.labels is None and not data.truth and not data.keyframes


def test_arcade_frames_are_abnormal_stills_without_a_patient(tmp_path):
    data = open_layout(write_arcade(tmp_path))[1]
    assert data.stills and data.keyframes == {"train/1": (0,), "val/1": (0,)}
    assert data.labels.labels.tolist() == [[1], [1]] and data.labels.patient_ids == ["", ""]
    assert data.truth["val/1"]["lesions"] == [{"kind": "stenosis", "boxes": [[64, 128, 96, 192]]}]
    assert [(row.path, row.status) for row in data.rows] == [
        ("stenosis/train/images/2.png", "ignored")
    ]


def test_the_real_sets_are_recognised(real_data):
    assert open_layout(real_data / "angiodata")[0] == "angiodata"
    name, data = open_layout(real_data / "arcade")
    assert name == "arcade" and len(data.sources) == 600
