"""Fast versions of benchmarks/kill_test.py: full disks and second runs (kills: test_scripts.py)."""

import json
import shutil
import subprocess
from contextlib import ExitStack

import pytest

from benchmarks.kill_test import contents, small_disk
from stenoscope.app.folds import make_folds
from stenoscope.app.keyframes import make_keyframes
from stenoscope.phantom.cohort import write_cohort
from stenoscope.presets import training_settings
from stenoscope.run import locks
from stenoscope.run.cli import run
from stenoscope.settings import (
    FoldSettings,
    KeyframeSettings,
    PhantomSettings,
    PredictSettings,
    TuningSettings,
)


@pytest.fixture
def disk(tmp_path):
    """Mounts a disk of some bytes, and gives it room once it was full."""
    with ExitStack() as stack:

        def mount(size: int):
            try:
                stack.enter_context(small_disk(tmp_path / "disk", size))
            except PermissionError as problem:
                pytest.skip(f"no small disk can be mounted: {problem}")
            return tmp_path / "disk"

        yield mount


def grow(place) -> None:
    subprocess.run(["mount", "-o", "remount,size=1g", str(place)], check=True)


def fills_up(stage, place, capsys) -> str:
    """Run a stage that must end in one error; returns the name of the file that could not be written."""
    assert run(stage) == 2
    said = capsys.readouterr().err
    assert said.count("error:") == 1 and "No space left on device" in said and "run the same command" in said
    named = said.split("error: ")[1].split(" can't be written")[0]
    assert named.startswith(str(place)), said
    return named.removeprefix(f"{place}/")


@pytest.mark.parametrize("size", [8192, 400_000, 4_000_000])
def test_step_two_on_a_full_disk(prepared, disk, capsys, size):
    place = disk(size)
    settings = FoldSettings(input=str(prepared.folder / "data/keyframes"), output=str(place / "out"))
    assert fills_up(lambda: make_folds(settings), place, capsys).startswith("out")
    grow(place)
    assert run(lambda: make_folds(settings)) == 0
    assert contents(place / "out") == contents(prepared.folder / "data/folds")


PARTS = (".pickle", "clips.frames")


@pytest.mark.parametrize("size, file", [(8192, ""), (2_000_000, PARTS), (4_500_000, "clips.frames")])
def test_step_one_on_a_full_disk(cohort, disk, tmp_path, monkeypatch, capsys, size, file):
    """First beside what a worker keeps of a clip, then in clips.frames itself."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    for clip in ("p001_c1", "p002_c1"):
        shutil.copy(cohort.folder / "data/phantom" / f"{clip}.dcm", tmp_path / "in")
    place = disk(size)

    def settings(output):
        return KeyframeSettings(input="in", output=str(output), labels="none", workers=1, sheets=False)

    assert fills_up(lambda: make_keyframes(settings(place / "out")), place, capsys).endswith(file)
    assert not (place / "out" / "clips.pickle").exists()
    grow(place)
    for output in (place / "out", tmp_path / "undisturbed"):
        assert run(lambda output=output: make_keyframes(settings(output))) == 0
    assert contents(place / "out") == contents(tmp_path / "undisturbed")


def stages(workspace):
    """Every stage that writes a folder, by that folder."""
    from stenoscope.app.predict import predict
    from stenoscope.app.study import study
    from stenoscope.app.train import train
    from stenoscope.app.tune import tune

    clip = str(workspace.folder / "data/phantom/p001_c1.dcm")
    return {
        "phantom": lambda folder: write_cohort(PhantomSettings(output=folder, patients=1)),
        "step 1": lambda folder: make_keyframes(KeyframeSettings(output=folder)),
        "step 2": lambda folder: make_folds(FoldSettings(output=folder)),
        "step 3": lambda folder: train(training_settings("smoke", experiment=folder)),
        "study": lambda folder: study(training_settings("smoke", experiment=folder)),
        "tuning": lambda folder: tune(TuningSettings(study=folder, trials=1, inner_folds=2)),
        "predict": lambda folder: predict([clip], PredictSettings(output=folder)),
    }


@pytest.mark.parametrize("name", ["phantom", "step 1", "step 2", "step 3", "study", "tuning", "predict"])
def test_a_folder_that_another_machine_writes_to_is_left_alone(journey, tmp_path, monkeypatch, capsys, name):
    monkeypatch.chdir(journey.folder)
    folder = tmp_path / "out"
    locks.hold(folder)
    owner = json.loads((folder / locks.LOCK).read_text())
    locks.release(folder)
    (folder / locks.LOCK).write_text(json.dumps({**owner, "pid": 4711, "host": "elsewhere"}))
    assert run(lambda: stages(journey)[name](str(folder))) == 2
    said = capsys.readouterr().err
    assert "Process 4711 on elsewhere" in said and f"rm {folder}" in said.replace("\n", "")
    assert [path.name for path in folder.iterdir()] == [locks.LOCK]
