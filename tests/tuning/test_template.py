from dataclasses import asdict

import yaml

from stenoscope.presets import training_settings
from stenoscope.roles import reasons_of
from stenoscope.run.arguments import Step, parse
from stenoscope.settings import TrainingSettings
from stenoscope.tuning.template import settings_yaml


def test_every_setting_has_its_reason():
    reasons = reasons_of(TrainingSettings)
    assert set(reasons) == set(asdict(TrainingSettings())) and all(reasons.values())
    assert "Frames per step" in settings_yaml(TrainingSettings())


def test_yaml_reads_back_as_the_settings():
    made = training_settings("paper", experiment="results/é: #1", seed=3)
    text = settings_yaml(made, "A heading that is long enough to be wrapped over two lines of a file. " * 3)
    assert yaml.safe_load(text) == asdict(made)
    assert text.startswith("# A heading")


def test_the_command_line_takes_it(tmp_path):
    made = training_settings("cpu", learning_rate=1e-5, enhance="none", frozen_layers=0.3)
    path = tmp_path / "best.yaml"
    path.write_text(settings_yaml(made), encoding="utf-8")
    assert parse(Step(TrainingSettings), ["--config", str(path)])[1].settings == made
