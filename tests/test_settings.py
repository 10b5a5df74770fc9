from dataclasses import FrozenInstanceError, fields

import pytest

from stenoscope import settings as module
from stenoscope.errors import SettingsError
from stenoscope.roles import reasons_of
from stenoscope.settings import TrainingSettings

CLASSES = [item for name, item in vars(module).items() if name.endswith("Settings")]


@pytest.mark.parametrize("settings_class", CLASSES)
def test_every_setting_has_a_default_and_a_reason(settings_class):
    reasons = reasons_of(settings_class)
    assert [field.name for field in fields(settings_class)] == list(reasons)
    assert all(len(reason) > 10 for reason in reasons.values())
    made = settings_class()
    with pytest.raises(FrozenInstanceError):
        made.input = "elsewhere"


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
