from dataclasses import fields

import numpy as np
import pytest

from stenoscope.errors import SettingsError
from stenoscope.settings import TrainingSettings
from stenoscope.tuning.space import SPACE, with_parameters


def test_every_entry_is_a_setting_and_holds_its_default():
    defaults = TrainingSettings()
    assert set(SPACE) <= {field.name for field in fields(TrainingSettings)}
    for name, distribution in SPACE.items():
        assert distribution._contains(distribution.to_internal_repr(getattr(defaults, name))), name


def test_every_choice_makes_valid_settings():
    rng = np.random.default_rng(0)
    for _ in range(50):
        parameters = {
            name: rng.choice(np.array(entry.choices, dtype=object))
            if hasattr(entry, "choices")
            else entry.high
            for name, entry in SPACE.items()
        }
        made = with_parameters(TrainingSettings(), parameters)
        assert {name: getattr(made, name) for name in parameters} == parameters


def test_values_are_checked():
    with pytest.raises(SettingsError, match="batch_size"):
        with_parameters(TrainingSettings(), {"batch_size": 0})
