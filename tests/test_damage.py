"""An artifact that is cut, missing or has one flipped bit is never read as good: the error names the file."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from stenoscope.app import keyframe_worker
from stenoscope.app.folds import make_folds
from stenoscope.app.keyframes import make_keyframes
from stenoscope.app.train import open_folds, train
from stenoscope.errors import DatasetError
from stenoscope.presets import training_settings
from stenoscope.results.experiment import read_experiment
from stenoscope.run import provenance
from stenoscope.settings import FoldSettings, KeyframeSettings
from tests.journey import SMALL


def flip(path: Path) -> None:
    """Flip one bit in the middle of a file."""
    with path.open("r+b") as stream:
        stream.seek(path.stat().st_size // 2)
        byte = stream.read(1)[0]
        stream.seek(-1, 1)
        stream.write(bytes([byte ^ 4]))


def truncate(path: Path) -> None:
    """Cut the last bytes off."""
    with path.open("r+b") as stream:
        stream.truncate(path.stat().st_size - 3)


DAMAGE = pytest.mark.parametrize("damage", [flip, truncate, Path.unlink], ids=["flipped", "cut", "missing"])


@pytest.fixture
def data(journey, tmp_path, monkeypatch):
    """The finished journey, without its pictures, to be damaged."""
    for name in ("data/keyframes", "data/folds", "results/demo"):
        leave_out = shutil.ignore_patterns("sheets", "heatmaps", "predict", "figures")
        shutil.copytree(journey.folder / name, tmp_path / name, ignore=leave_out)
    (tmp_path / "data/phantom").symlink_to(journey.folder / "data/phantom")
    (tmp_path / "data/pseudonym.key").symlink_to(journey.folder / "data/pseudonym.key")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def raises_naming(path: str, action) -> None:
    with pytest.raises(DatasetError) as caught:
        action()
    assert Path(path).name in caught.value.received, caught.value
    assert caught.value.fix


@DAMAGE
@pytest.mark.parametrize("name", ["clips.pickle", "clips.frames"])
def test_the_clips(data, damage, name):
    damage(data / "data/keyframes" / name)
    other = training_settings("smoke", experiment="results/other")
    for action in (
        lambda: make_keyframes(KeyframeSettings()),
        lambda: make_folds(FoldSettings(output="data/other")),
        lambda: train(other),
    ):
        raises_naming(name, action)
    assert not (data / "data/other/manifest.json").exists() and not (data / "results/other/fold_1").exists()


@DAMAGE
@pytest.mark.parametrize("part", ["train", "valid", "mean"])
def test_the_folds(data, damage, part):
    path = data / f"data/folds/fold_3_{part}.pickle"
    damage(path)
    raises_naming(path.name, lambda: open_folds("data/folds"))
    raises_naming(path.name, lambda: make_folds(FoldSettings()))


@DAMAGE
@pytest.mark.parametrize(
    "name",
    [
        "predictions.csv", "summary.json", "config.yaml", "fold_2/predictions.csv", "fold_2/history.csv",
        "fold_2/model.keras", "fold_2/maps/cam.npy", "fold_2/maps/clips.npy", "fold_2/randomisation.csv",
    ],
)  # fmt: skip
def test_a_finished_experiment(data, damage, name):
    experiment = Path("results/demo")
    damage(experiment / name)
    raises_naming(name, lambda: train(training_settings("smoke", threads=1, **SMALL)))
    raises_naming(name, lambda: read_experiment(experiment))


@DAMAGE
@pytest.mark.parametrize("name", ["data/keyframes", "data/folds", "results/demo"])
def test_the_manifests(data, damage, name):
    damage(data / name / "manifest.json")
    kind = {"data/keyframes": "keyframes", "data/folds": "folds", "results/demo": "experiment"}[name]
    raises_naming("manifest.json", lambda: provenance.read_manifest(data / name, kind, "python main.py"))


@DAMAGE
def test_a_fold_that_is_done_before_its_experiment_is(data, damage):
    experiment = data / "results/demo"
    manifest = json.loads((experiment / "manifest.json").read_text())
    note = {name: manifest[name] for name in ("schema", "settings", "inputs")}
    provenance.write_json(experiment / provenance.UNFINISHED, note)
    (experiment / "manifest.json").unlink()
    damage(experiment / "fold_4/predictions.csv")
    raises_naming("fold_4/predictions.csv", lambda: train(training_settings("smoke", threads=1, **SMALL)))


def test_a_clip_that_an_interrupted_step_one_kept(journey, tmp_path):
    from stenoscope.imaging.find import find_clips

    source = find_clips(journey.folder / "data/phantom/p001_c1.dcm").sources[0]
    kept_at = tmp_path / "kept.pickle"
    job = (source, kept_at, (), ())
    assert keyframe_worker.process(job, lambda name: "p", "opacification", 5, False, None) is None
    whole, before = kept_at.read_bytes(), keyframe_worker.read_outcome(kept_at)
    rng = np.random.default_rng(0)
    noticed = 0
    some = [*range(0, 200, 7), *rng.integers(0, len(whole), 20), *range(len(whole) - 200, len(whole), 7)]
    for position in some:
        kept_at.write_bytes(whole[:position] + bytes([whole[position] ^ 4]) + whole[position + 1 :])
        try:
            found = keyframe_worker.read_outcome(kept_at)
        except DatasetError as problem:
            assert str(kept_at) in problem.received
            noticed += 1
        else:  # of the pickle's own bookkeeping
            assert (found.row, found.meta) == (before.row, before.meta)
            np.testing.assert_array_equal(found.frames, before.frames)
    assert noticed > 0.9 * len(some)
    kept_at.write_bytes(whole[:-1])
    raises_naming("kept.pickle", lambda: keyframe_worker.read_outcome(kept_at))
