import os
import shutil
import signal

import numpy as np
import pandas as pd
import pytest

from stenoscope.errors import DatasetError
from stenoscope.settings import PredictSettings
from stenoscope.stages import predict
from stenoscope.stages.explain import drawn_methods
from stenoscope.stages.predict import _discover_all
from stenoscope.stages.predict_worker import read_clip


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


def fatal(source, **settings):
    """Stands for `read_clip`: the decoder of one clip kills its process."""
    if source.clip_id == "clip":
        os.kill(os.getpid(), signal.SIGSEGV)
    return read_clip(source, **settings)


def undecided(models, clip, choice, trained, all_maps):
    """Stands for `_apply`: what five models that know nothing would say."""
    maps = {method: np.zeros((512, 512), np.float32) for method in drawn_methods(trained)}
    return np.full((5, 5), 0.5, np.float32), 0, maps, None


def test_a_decoder_that_kills_its_process_costs_its_clip_alone(folders, journey, monkeypatch, capsys):
    monkeypatch.setattr(predict, "read_clip", fatal)
    monkeypatch.setattr(predict, "load_models", lambda *_: [])
    monkeypatch.setattr(predict, "_apply", undecided)
    shutil.copy(folders / "lab" / "other.dcm", folders / "lab" / "another.dcm")
    settings = PredictSettings(
        experiment=str(journey.folder / "results/demo"),
        output=str(folders / "out"),
        pseudonym_key=str(folders / "key"),
        threads=1,
    )
    predict.predict([str(folders / "lab")], settings)
    table = pd.read_csv(folders / "out" / "predictions.csv")
    assert table["clip_id"].unique().tolist() == ["another", "other"]
    intake = pd.read_csv(folders / "out" / "intake.csv", index_col="clip_id")
    assert intake["status"].to_dict() == {"another": "ok", "clip": "quarantined", "other": "ok"}
    assert "crash of the decoder" in intake.at["clip", "reason"]
    assert "1 quarantined" in capsys.readouterr().out
