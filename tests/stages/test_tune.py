import numpy as np
import pytest
import yaml

from stenoscope.errors import SettingsError
from stenoscope.records import Fold
from stenoscope.settings import TrainingSettings, TuningSettings, training_settings
from stenoscope.stages import tune


def test_printed_settings_are_the_defaults_with_their_reasons(capsys):
    tune.print_settings()
    text = capsys.readouterr().out
    assert TrainingSettings(**yaml.safe_load(text)) == TrainingSettings()
    assert "# Initial learning rate." in text


def test_the_base_is_a_preset_or_a_file(tmp_path):
    assert tune._base(TuningSettings(preset="paper")) == training_settings("paper")
    (tmp_path / "mine.yaml").write_text("preset: smoke\nseed: 3\n")
    assert tune._base(TuningSettings(base=str(tmp_path / "mine.yaml"))) == training_settings("smoke", seed=3)


def test_one_inner_fold_is_no_split():
    with pytest.raises(SettingsError, match="inner_folds is 1"):
        tune.tune(TuningSettings(inner_folds=1, trials=1))


def test_a_trials_score_is_the_pooled_auc_of_the_clips(monkeypatch):
    class Known:
        """Stands for the trainer: clip i has the probability i / 10 in the mean."""

        def __init__(self, settings, num_labels):
            self.trained = None

        def fit(self, frames, clips, labels, mean, fold):
            self.trained = set(clips)

        def predict(self, frames, clips):
            assert not self.trained & set(clips)
            spread = np.array([-0.02, -0.01, 0, 0.01, 0.02])
            return (np.asarray(clips)[:, None] / 10 + spread)[..., None]

    monkeypatch.setattr("stenoscope.training.fold.Trainer", Known)

    class Clips:
        frames = None
        labels = np.array([[0], [1], [0], [1]], np.float32)

    folds = [Fold(1, np.array([2, 3]), np.array([0, 1])), Fold(2, np.array([0, 1]), np.array([2, 3]))]
    done = []
    score = tune.inner_auc(Clips, folds, [None, None], TrainingSettings(), on_fold=lambda: done.append(1))
    assert score == 0.75 and len(done) == 2  # of the pairs (1, 0), (1, 2), (3, 0), (3, 2) one is wrong
