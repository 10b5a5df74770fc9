"""The stage with trainings that cost nothing: what it writes, and how it goes on."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import yaml
from sklearn.metrics import roc_auc_score

from stenoscope.app import tune
from stenoscope.errors import DatasetError, SettingsError
from stenoscope.presets import training_settings
from stenoscope.run import provenance
from stenoscope.run.arguments import Step, parse
from stenoscope.run.executors import concurrency
from stenoscope.settings import TrainingSettings, TuningSettings
from tests.tuning import fakes

CODE = """
if __name__ == "__main__":
    from stenoscope.settings import TuningSettings
    from tests.tuning import fakes
    fakes.install()
    fakes.tune.tune(TuningSettings({}))
"""


@pytest.fixture
def faked(monkeypatch):
    monkeypatch.setattr(tune, "open_folds", fakes.open_folds)
    monkeypatch.setattr(tune, "fit_job", fakes.fit)


@pytest.fixture(scope="module")
def space(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("space") / "space.yaml"
    path.write_text(fakes.SPACE_YAML)
    return str(path)


@pytest.fixture(scope="module")
def nested(tmp_path_factory, space):
    """A study of two outer folds."""
    folder = tmp_path_factory.mktemp("nested") / "study"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tune, "open_folds", fakes.open_folds)
        patch.setattr(tune, "fit_job", fakes.fit)
        tune.tune(TuningSettings(study=str(folder), space=space, trials=8, outer_folds=2))
    return folder


def trials(folder) -> pd.DataFrame:
    return pd.read_csv(folder / "trials.csv", keep_default_na=False).drop(columns="seconds")


def summary_of(folder) -> dict:
    return json.loads((folder / "summary.json").read_text())


def test_printed_settings_are_the_defaults_with_their_reasons(capsys):
    tune.print_settings()
    text = capsys.readouterr().out
    assert TrainingSettings(**yaml.safe_load(text)) == TrainingSettings()
    assert "# Initial learning rate." in text


def test_the_base_is_a_preset_or_a_file(tmp_path):
    assert tune._base(TuningSettings(preset="paper")) == training_settings("paper")
    (tmp_path / "mine.yaml").write_text("preset: smoke\nseed: 3\n")
    assert tune._base(TuningSettings(base=str(tmp_path / "mine.yaml"))) == training_settings("smoke", seed=3)


@pytest.mark.parametrize(
    "wrong", [{"inner_folds": 1}, {"outer_folds": 11}, {"outer_folds": 0}, {"workers": 0}, {"trials": -1}]
)
def test_settings_out_of_range_are_refused(wrong):
    ((name, value),) = wrong.items()
    with pytest.raises(SettingsError, match=f"{name} is {value}"):
        TuningSettings(**wrong)


def test_the_folder_holds_what_the_readme_names(nested):
    files = {path.name for path in nested.iterdir()}
    assert files == {
        "study.db", "trials.csv", "nested.csv", "summary.json", "best.yaml", "space.yaml", "report.html",
        "manifest.json", "predictions", "figures",
    }  # fmt: skip
    table = trials(nested)
    assert table.groupby("fold")["trial"].apply(list).tolist() == [list(range(1, 9))] * 2
    assert pd.read_csv(nested / "nested.csv")["fold"].tolist() == ["1", "2", "pooled"]
    importance = summary_of(nested)["importance"]
    assert sum(importance["values"].values()) == pytest.approx(1) and "fANOVA" in importance["method"]


def test_the_outer_score_is_that_of_the_best_trials_settings_on_the_test_part(nested):
    clips, folds, _ = fakes.open_folds()
    summary = summary_of(nested)
    for fold, row in zip(folds, summary["folds"], strict=False):
        found = trials(nested).query("fold == @fold.number and state == 'complete'")
        best = found.loc[found["score"].idxmax()]
        assert row["inner"] == pytest.approx(best["score"], abs=1e-6)
        assert row["chosen"]["learning_rate"] == pytest.approx(best["learning_rate"])
        chosen = training_settings("cpu", **row["chosen"])
        for settings, key in ((chosen, "outer"), (training_settings("cpu"), "default_outer")):
            expected = fakes.predict(settings, fold.number, clips, fold.valid)
            voted = expected.groupby("clip_id")[["label", "probability"]].mean()
            assert row[key]["value"] == pytest.approx(roc_auc_score(voted["label"], voted["probability"]))
            assert (row[key]["clips"], row[key]["patients"]) == (20, 10)
    assert summary["pooled"]["outer"]["clips"] == 40
    assert summary["pooled"]["difference"]["ci95"][0] <= summary["pooled"]["difference"]["difference"]


def test_best_yaml_is_what_main_takes(nested):
    summary = summary_of(nested)
    best = summary["folds"][summary["best_fold"] - 1]
    made = parse(Step(TrainingSettings), ["--config", str(nested / "best.yaml")])[1].settings
    assert made == training_settings("cpu", experiment="results/tuned", **best["chosen"])
    assert f"{best['outer']['value']:.4f}" in (nested / "best.yaml").read_text().replace("\n# ", " ")


def test_its_space_can_be_given_back(nested, tmp_path, faked, capsys):
    tune.tune(TuningSettings(study=str(nested), space=str(nested / "space.yaml"), trials=8, outer_folds=2))
    assert "nothing to do" in capsys.readouterr().out


def test_a_finished_study_is_left_alone_and_a_lost_report_drawn_again(nested, space, faked, capsys):
    before = {path.name: path.read_bytes() for path in nested.iterdir() if path.is_file()}
    (nested / "report.html").unlink()
    for asked in ({"trials": 8, "outer_folds": 2}, {"trials": 3, "outer_folds": 1}):
        tune.tune(TuningSettings(study=str(nested), space=space, **asked))
        assert "nothing to do" in capsys.readouterr().out
    assert {path.name: path.read_bytes() for path in nested.iterdir() if path.is_file()} == before


def test_a_study_can_be_made_longer_and_says_so(tmp_path, space, faked):
    study = {"study": str(tmp_path / "study"), "space": space}
    tune.tune(TuningSettings(**study, trials=3, outer_folds=2))
    first = summary_of(tmp_path / "study")
    assert [fold["tested"] for fold in first["folds"]] == [1, 1]
    tune.tune(TuningSettings(**study, trials=8))
    longer = summary_of(tmp_path / "study")
    assert [sum(fold["trials"].values()) for fold in longer["folds"]] == [8, 8], "both folds are kept"
    page = (tmp_path / "study" / "report.html").read_text()
    changed = [
        then["chosen"] != now["chosen"] for then, now in zip(first["folds"], longer["folds"], strict=True)
    ]
    assert any(changed)
    assert [fold["tested"] for fold in longer["folds"]] == [1 + more for more in changed]
    for fold, more in enumerate(changed, start=1):
        assert (f"The test part of fold {fold} has scored 2 settings" in page) == more


def test_another_study_is_not_mixed_in(nested, space, faked, tmp_path):
    with pytest.raises(DatasetError, match=r"different settings \(seed: 7, now 8\)"):
        tune.tune(TuningSettings(study=str(nested), space=space, trials=9, outer_folds=2, seed=8))
    with pytest.raises(DatasetError, match=r"different .*input \(settings\)"):
        tune.tune(TuningSettings(study=str(nested), space=space, trials=9, outer_folds=2, preset="paper"))
    other = tmp_path / "space.yaml"
    other.write_text("epochs: [5, 10]\n")
    with pytest.raises(DatasetError, match=r"input \(space\)"):
        tune.tune(TuningSettings(study=str(nested), space=str(other), trials=9, outer_folds=2))


def test_overwrite_begins_anew(tmp_path, space, faked):
    study = {"study": str(tmp_path / "study"), "space": space, "trials": 2}
    tune.tune(TuningSettings(**study, outer_folds=2))
    tune.tune(TuningSettings(**study, seed=8, overwrite=True))
    assert len(summary_of(tmp_path / "study")["folds"]) == 1 and len(trials(tmp_path / "study")) == 2


def test_two_runs_in_one_folder_refuse_each_other(tmp_path, space, faked, monkeypatch):
    settings = TuningSettings(study=str(tmp_path / "study"), space=space, trials=2)

    def second(job, **where):
        monkeypatch.setattr(os, "getpid", lambda: 1)  # as another process would see the note of this one
        try:
            with pytest.raises(DatasetError, match="is writing to"):
                tune.tune(settings)
        finally:
            monkeypatch.undo()
            monkeypatch.setattr(tune, "open_folds", fakes.open_folds)
        return fakes.fit(job, **where)

    monkeypatch.setattr(tune, "fit_job", second)
    tune.tune(settings)
    assert not (tmp_path / "study" / provenance.UNFINISHED).exists()


def run(folder: Path, space: str, seconds="0", **more) -> subprocess.Popen:
    """A run in a process of its own."""
    (folder / "calls").mkdir(exist_ok=True)
    (folder / "run.py").write_text(
        CODE.format(f"study={str(folder / 'study')!r}, input={str(folder)!r}, space={space!r}, **{more!r}")
    )
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd()), "FAKE_SECONDS": seconds}
    return subprocess.Popen([sys.executable, str(folder / "run.py")], env=environment, stdout=subprocess.PIPE)


def calls(folder) -> list[dict]:
    return [json.loads(path.read_text()) for path in sorted((folder / "calls").iterdir())]


def test_a_killed_run_goes_on_to_the_same_result(nested, tmp_path, space):
    process = run(tmp_path, space, "0.1", trials=8, outer_folds=2)
    deadline = time.monotonic() + 100
    while len(list((tmp_path / "calls").iterdir())) < 9:
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (tmp_path / "study" / "manifest.json").exists()
    process = run(tmp_path, space, trials=8, outer_folds=2)
    assert process.wait(100) == 0, process.communicate()
    pd.testing.assert_frame_equal(trials(tmp_path / "study"), trials(nested))
    for name in ("summary.json", "nested.csv", "best.yaml"):
        theirs = (nested / name).read_text().replace("data/folds", str(tmp_path))
        assert (tmp_path / "study" / name).read_text() == theirs, name
    made = list((tmp_path / "study" / "predictions").rglob("*.csv"))
    assert len(made) <= len(calls(tmp_path)) <= len(made) + 1, "at most the killed training was repeated"


def test_two_workers_share_a_study_and_its_threads(tmp_path, space):
    process = run(tmp_path, space, "0.05", trials=7, workers=2, threads=4)
    assert process.wait(100) == 0, process.communicate()
    assert trials(tmp_path / "study")["trial"].tolist() == list(range(1, 8))
    made = calls(tmp_path)
    assert len({call["pid"] for call in made}) == 2 and {call["threads"] for call in made} == {2}
    assert process.pid not in {call["pid"] for call in made}


def test_dask_workers_do_the_trainings(tmp_path, space, faked):
    from distributed import LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=1, processes=False, dashboard_address=None) as cluster:
        settings = TuningSettings(
            study=str(tmp_path / "study"), space=space, trials=4, dask_scheduler=cluster.scheduler_address
        )
        assert concurrency(1, cluster.scheduler_address) == (2, 1)
        tune.tune(settings)
    assert trials(tmp_path / "study")["trial"].tolist() == [1, 2, 3, 4]
