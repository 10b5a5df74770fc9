import json
from dataclasses import asdict

import pandas as pd
import pytest

from stenoscope.app import study as stage
from stenoscope.app.steps import STEPS
from stenoscope.app.study import ARMS, study
from stenoscope.errors import DatasetError, SettingsError
from stenoscope.evaluation.metrics import shown_in
from stenoscope.presets import training_settings
from stenoscope.report.comparison_page import STUDY_ARMS
from stenoscope.run.arguments import parse
from tests.app.fakes import INPUTS, PREDICTIONS, better, hurry, write_experiment

GAIN = dict(zip(ARMS, (0.0, 0.1, 0.2, 0.4), strict=True))


@pytest.fixture
def trained(monkeypatch):
    """Settings of every arm that was asked for, and whether there was anything to train."""
    calls = []

    def end_experiment(settings, clips, folds, inputs, jobs, tasks):
        arm = settings.experiment.rsplit("/", 1)[1]
        calls.append((settings, write_experiment(settings, better(PREDICTIONS, GAIN[arm]), inputs)))

    hurry(monkeypatch)
    monkeypatch.setattr(stage, "open_folds", lambda folder: (None, [], INPUTS))
    monkeypatch.setattr(stage, "begin_experiment", lambda settings, clips, inputs: [])
    monkeypatch.setattr(stage, "end_experiment", end_experiment)
    return calls


def settings_in(folder, **changes):
    return training_settings("smoke", experiment=str(folder / "s"), attention="cbam", **changes)


def files(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_the_arms_differ_in_attention_and_augmentation_alone(trained, tmp_path):
    settings = settings_in(tmp_path, augmentation=False)
    study(settings)
    varied = [(arm.augmentation, arm.attention) for arm, _ in trained]
    assert varied == [(False, "none"), (False, "cbam"), (True, "none"), (True, "cbam")]
    names = [arm.experiment for arm, _ in trained]
    assert names == [f"{tmp_path}/s/arms/{name}" for name in STUDY_ARMS], "in the order of the report"
    more = [(arm.narrowings, arm.mirrored_test) for arm, _ in trained]
    assert more == [(False, False)] * 2 + [(True, True)] * 2, "the original sees the key frames alone"
    ours = {"augmentation", "narrowings", "mirrored_test", "attention", "experiment"}
    for arm, _ in trained:
        assert {k: v for k, v in asdict(arm).items() if k not in ours} == {
            k: v for k, v in asdict(settings).items() if k not in ours
        }


def test_the_table_compares_every_arm_with_the_first(trained, tmp_path, capsys):
    study(settings_in(tmp_path))
    folder = tmp_path / "s"
    table = pd.read_csv(folder / "study.csv")
    assert table["arm"].unique().tolist() == list(ARMS) and set(table["figure"]) == set(shown_in("study"))
    auc = table[table["figure"] == "clip_auc"].set_index("arm")
    gain = auc["difference"].drop("original")
    assert gain.is_monotonic_increasing and (gain > 0).all() and pd.isna(auc.at["original", "difference"])
    assert (auc["difference_low"].drop("original") <= gain).all()
    saved = json.loads((folder / "study.json").read_text())
    assert saved["schema"] == "stenoscope/study" and list(saved["arms"]) == list(ARMS)
    assert saved["counts"]["patients"] == 30
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["schema"] == "stenoscope/study" and set(manifest["outputs"]) == {
        "study.csv",
        "study.json",
    }
    _, again = parse(STEPS["train"], ["--config", str(folder / "config.yaml"), "--study"])
    assert (again.settings, again.mode) == (settings_in(tmp_path), "study"), "it runs again from its folder"
    said = capsys.readouterr().out
    for text in ("augmentation", "+ attention", "clip AUC", f"{gain.iloc[-1]:+.3f}"):
        assert text in said, text


def test_a_finished_study_is_left_alone(trained, tmp_path, capsys):
    settings = settings_in(tmp_path)
    study(settings)
    before = files(tmp_path)
    study(settings)
    assert len(trained) == len(ARMS) and "nothing to do" in capsys.readouterr().out
    assert files(tmp_path) == before


def test_an_interrupted_study_goes_on(trained, tmp_path, monkeypatch):
    settings, end = settings_in(tmp_path), stage.end_experiment

    def interrupted(arm, *rest):
        if arm.experiment.endswith("/augmentation"):
            raise KeyboardInterrupt
        end(arm, *rest)

    monkeypatch.setattr(stage, "end_experiment", interrupted)
    with pytest.raises(KeyboardInterrupt):
        study(settings)
    assert not (tmp_path / "s" / "study.csv").exists()
    monkeypatch.setattr(stage, "end_experiment", end)
    study(settings)
    assert [already for _, already in trained] == [False, False, True, True, False, False]
    other = tmp_path / "other"
    study(settings_in(other))
    assert (tmp_path / "s/study.csv").read_bytes() == (other / "s/study.csv").read_bytes()


def test_other_settings_do_not_mix_in(trained, tmp_path):
    study(settings_in(tmp_path))
    with pytest.raises(DatasetError, match="epochs"):
        study(settings_in(tmp_path, epochs=3))
    study(settings_in(tmp_path, epochs=3, overwrite=True))
    assert len(trained) == 2 * len(ARMS)


def test_an_experiment_is_not_taken_for_a_study(trained, tmp_path):
    settings = settings_in(tmp_path)
    write_experiment(settings, PREDICTIONS, INPUTS)
    with pytest.raises(DatasetError, match="stenoscope/experiment"):
        study(settings)
    assert trained == []


def test_without_attention_there_is_nothing_to_study(trained, tmp_path):
    with pytest.raises(SettingsError, match="none"):
        study(training_settings("smoke", experiment=str(tmp_path), attention="none"))
    assert trained == [] and not list(tmp_path.iterdir())


def test_a_heatmap_that_two_arms_cannot_draw_is_refused(trained, tmp_path):
    with pytest.raises(SettingsError, match="attention"):
        study(settings_in(tmp_path, heatmap="attention"))
    assert not trained and not (tmp_path / "s").exists()
