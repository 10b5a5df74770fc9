import math
import subprocess
import sys

import pandas as pd
import pytest
import yaml

from stenoscope.cli import parse
from stenoscope.errors import DatasetError, SettingsError
from stenoscope.settings import TrainingSettings
from stenoscope.tuning.search import search
from stenoscope.tuning.space import SPACE

BASE = TrainingSettings(experiment="results/tuned")


def score(settings):
    """Best at a learning rate of 1e-4 with attention."""
    distance = abs(math.log10(settings.learning_rate) + 4)
    return 1 - 0.2 * distance + 0.1 * (settings.attention == "self_attention")


def trials(folder):
    return pd.read_csv(folder / "trials.csv").drop(columns="seconds")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An undisturbed study of 14 trials, beyond the sampler's 10 random ones."""
    folder = tmp_path_factory.mktemp("whole")
    return folder, search(folder, score, 14, BASE, seed=7)


def test_best_yaml_is_what_main_takes(whole):
    folder, best = whole
    assert parse(TrainingSettings, "", ["--config", str(folder / "best.yaml")]) == best
    table = trials(folder)
    assert len(table) == 14 and list(table.columns) == ["trial", "score", *SPACE]
    row = table.loc[table["score"].idxmax()]
    assert row["learning_rate"] == pytest.approx(best.learning_rate)
    assert score(best) == pytest.approx(table["score"].max())
    assert best.experiment == "results/tuned" and best.seed == BASE.seed


def test_the_search_learns(tmp_path):
    search(tmp_path, score, 20, BASE, seed=1)
    table = trials(tmp_path)
    assert table["score"][10:].mean() > table["score"][:10].mean()


def test_an_interrupted_study_ends_like_an_undisturbed_one(whole, tmp_path):
    calls = []

    def interrupted(settings):
        calls.append(settings)
        if len(calls) in (3, 9):
            raise KeyboardInterrupt
        return score(settings)

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            search(tmp_path, interrupted, 14, BASE, seed=7)
    assert len(trials(tmp_path)) == 7
    search(tmp_path, interrupted, 14, BASE, seed=7)
    pd.testing.assert_frame_equal(trials(tmp_path), trials(whole[0]))
    assert (tmp_path / "best.yaml").read_bytes() == (whole[0] / "best.yaml").read_bytes()


def test_a_killed_trial_is_done_again(whole, tmp_path):
    code = (
        "import os, signal\n"
        "from tests.tuning.test_search import BASE, score, search\n"
        "calls = []\n"
        "def killed(settings):\n"
        "    calls.append(1)\n"
        "    if len(calls) == 4: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return score(settings)\n"
        f"search({str(tmp_path)!r}, killed, 14, BASE, seed=7)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    assert len(trials(tmp_path)) == 3
    search(tmp_path, score, 14, BASE, seed=7)
    pd.testing.assert_frame_equal(trials(tmp_path), trials(whole[0]))


def test_trials_is_the_total(whole):
    folder, best = whole
    rows = []
    assert search(folder, score, 14, BASE, seed=7, on_trial=rows.append) == best
    assert search(folder, score, 5, BASE, seed=7, on_trial=rows.append) == best
    assert rows == []


def test_more_trials_continue_the_study(tmp_path):
    rows = []
    search(tmp_path, score, 2, BASE, seed=7)
    search(tmp_path, score, 4, BASE, seed=7, on_trial=rows.append)
    assert [row["trial"] for row in rows] == [3, 4]
    table = trials(tmp_path)
    assert table["learning_rate"].is_unique and table["trial"].tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize(
    "change",
    [{"seed": 8}, {"base": TrainingSettings(image_size=128)}, {"inputs": {"folds": "ab"}}],
)
def test_a_study_is_not_continued_with_something_else(tmp_path, change):
    search(tmp_path, score, 1, BASE, seed=7)
    with pytest.raises(SettingsError, match="other data, settings, seed"):
        search(tmp_path, score, 2, **{"base": BASE, "seed": 7, **change})


def test_where_it_runs_may_change(tmp_path):
    search(tmp_path, score, 1, BASE, seed=7)
    search(tmp_path, score, 2, TrainingSettings(experiment="results/other", threads=1), seed=7)
    assert yaml.safe_load((tmp_path / "best.yaml").read_text())["experiment"] == "results/other"


def test_an_undefined_score_stops_the_study(tmp_path):
    with pytest.raises(DatasetError, match="nan"):
        search(tmp_path, lambda settings: math.nan, 3, BASE, seed=7)
    search(tmp_path, score, 1, BASE, seed=7)


def test_trials_below_one_are_refused(tmp_path):
    with pytest.raises(SettingsError, match="trials is 0"):
        search(tmp_path, score, 0, BASE, seed=7)
