import shutil

import pytest

from stenoscope.errors import DatasetError
from stenoscope.stages.predict import _discover_all


@pytest.fixture
def folders(cohort, tmp_path):
    for folder in ("ward", "lab"):
        (tmp_path / folder).mkdir()
        shutil.copy(cohort.folder / "data/phantom/p001_c1.dcm", tmp_path / folder / "clip.dcm")
    shutil.copy(cohort.folder / "data/phantom/p002_c1.dcm", tmp_path / "lab" / "other.dcm")
    return tmp_path


def test_an_id_that_two_paths_share_gets_their_names(folders):
    sources, rows = _discover_all([str(folders / "ward"), str(folders / "lab")])
    assert [source.clip_id for source in sources] == ["ward/clip", "lab/clip", "other"] and rows == []


def test_a_clip_named_twice_is_refused(folders):
    with pytest.raises(DatasetError, match="named twice"):
        _discover_all([str(folders / "ward"), str(folders / "ward" / "clip.dcm"), str(folders / "ward")])
