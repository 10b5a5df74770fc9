from dataclasses import FrozenInstanceError, fields

import pytest

from stenoscope import settings as module
from stenoscope.errors import SettingsError
from stenoscope.settings import PRESETS, TrainingSettings, preset, training_settings
from stenoscope.tuning.template import field_reasons

CLASSES = [item for name, item in vars(module).items() if name.endswith("Settings")]


@pytest.mark.parametrize("settings_class", CLASSES)
def test_every_setting_has_a_default_and_a_reason(settings_class):
    reasons = field_reasons(settings_class)
    assert [field.name for field in fields(settings_class)] == list(reasons)
    assert all(len(reason) > 10 for reason in reasons.values())
    made = settings_class()
    with pytest.raises(FrozenInstanceError):
        made.input = "elsewhere"


@pytest.mark.parametrize("name", PRESETS)
def test_presets_hold_known_settings_in_range(name):
    made = training_settings(name)
    assert all(getattr(made, key) == value for key, value in preset(name).items())


def test_the_papers_preset_is_the_papers():
    paper = training_settings("paper")
    assert (paper.backbone, paper.image_size, paper.optimizer) == ("inception_v3", 500, "adam")
    assert (paper.epochs, paper.learning_rate, paper.variants_per_epoch) == (10, 1e-5, 25)
    assert (paper.frames_per_epoch, paper.pooling, paper.flip, paper.shift) == (5, "average", False, 0)


def test_a_preset_is_a_copy():
    preset("smoke")["epochs"] = 99
    assert PRESETS["smoke"]["epochs"] == 1


def test_changes_win_over_the_preset():
    assert training_settings("smoke", epochs=3).epochs == 3
    assert training_settings("smoke", epochs=3).image_size == PRESETS["smoke"]["image_size"]


@pytest.mark.parametrize("make", [lambda: preset("gpu"), lambda: training_settings("cpu", epoch=3)])
def test_unknown_names_are_refused(make):
    with pytest.raises(SettingsError, match="Unknown"):
        make()


@pytest.mark.parametrize(
    "change",
    [
        {"image_size": 16},
        {"image_size": 512},
        {"epochs": 0},
        {"batch_size": 0},
        {"variants_per_epoch": 26},
        {"frames_per_epoch": 6},
        {"frozen_layers": 1.5},
        {"shift": -1},
        {"learning_rate": 0.0},
        {"learning_rate": float("nan")},
    ],
)
def test_settings_out_of_range_are_refused(change):
    (name,) = change
    with pytest.raises(SettingsError, match=name):
        TrainingSettings(**change)
