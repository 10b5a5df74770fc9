from dataclasses import FrozenInstanceError, fields

import pytest

from stenoscope import settings as module
from stenoscope.data.layouts import LAYOUTS
from stenoscope.errors import SettingsError
from stenoscope.heatmaps.registry import METHODS
from stenoscope.keyframes import registry
from stenoscope.learners.registry import LEARNERS
from stenoscope.models.standardize import ENHANCE
from stenoscope.roles import reasons_of
from stenoscope.settings import KeyframeSettings, PredictSettings, TrainingSettings

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
        {"frames_per_epoch": 100},
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


@pytest.mark.parametrize(
    ("settings_class", "name", "entries"),
    [
        (KeyframeSettings, "layout", LAYOUTS),
        (KeyframeSettings, "method", registry.METHODS),
        (PredictSettings, "layout", LAYOUTS),
        (PredictSettings, "method", registry.METHODS),
        (TrainingSettings, "learner", LEARNERS),
        (TrainingSettings, "enhance", ENHANCE),
        (TrainingSettings, "heatmap", METHODS),
    ],
)
def test_reasons_name_what_a_registry_holds(settings_class, name, entries):
    assert ", ".join(map(repr, entries)) in reasons_of(settings_class)[name]
