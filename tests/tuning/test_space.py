from dataclasses import fields, replace

import numpy as np
import pytest
import yaml
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from stenoscope.errors import SettingsError
from stenoscope.presets import PRESETS, training_settings
from stenoscope.settings import TrainingSettings
from stenoscope.tuning.space import (
    FIXED,
    built_in_space,
    check_names,
    parameters_of,
    parse_space,
    read_space,
    scored,
    space_yaml,
)


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_the_built_in_space_holds_what_a_preset_says(name):
    base = training_settings(name)
    space = built_in_space(base)
    assert set(space) <= {field.name for field in fields(TrainingSettings)} - FIXED
    assert replace(base, **parameters_of(base, space)) == base


def test_every_choice_makes_valid_settings():
    rng = np.random.default_rng(0)
    space = built_in_space(TrainingSettings())
    for _ in range(50):
        parameters = {
            name: rng.choice(np.array(entry.choices, dtype=object))
            if hasattr(entry, "choices")
            else entry.high
            for name, entry in space.items()
        }
        made = replace(TrainingSettings(), **parameters)
        assert {name: getattr(made, name) for name in parameters} == parameters


def test_every_name_in_the_built_in_space_is_in_a_registry():
    check_names(built_in_space(TrainingSettings()))


def test_a_file_gives_choices_and_ranges(tmp_path):
    path = tmp_path / "space.yaml"
    path.write_text(
        "learning_rate: {low: 1e-5, high: 1.0e-3, log: true}\n"  # YAML reads 1e-5 as text
        "image_size: {low: 128, high: 320, step: 64}\n"
        "warmup: {low: 0, high: 2}\n"
        "attention: [none, cbam]\n"
        "flip: [true, false]\n"
        "optimizer: [adam, sgd]\n"
    )
    assert read_space(path) == {
        "learning_rate": FloatDistribution(1e-5, 1e-3, log=True),
        "image_size": IntDistribution(128, 320, step=64),
        "warmup": FloatDistribution(0.0, 2.0),
        "attention": CategoricalDistribution(("none", "cbam")),
        "flip": CategoricalDistribution((True, False)),
        "optimizer": CategoricalDistribution(("adam", "sgd")),
    }


def test_a_space_reads_back_from_its_own_yaml():
    for space in (
        built_in_space(TrainingSettings()),
        parse_space({"image_size": {"low": 128, "high": 320, "step": 64}, "warmup": {"low": 0, "high": 2}}),
    ):
        assert parse_space(yaml.safe_load(space_yaml(space))) == space


@pytest.mark.parametrize(
    "entries, says",
    [
        ({}, "No settings to search"),
        (["epochs"], "No settings to search"),
        ({"epoch": [1, 2]}, "Unknown setting to search 'epoch'"),
        ({"seed": [1, 2]}, "seed can't be searched"),
        ({"experiment": ["a", "b"]}, "experiment can't be searched"),
        ({"epochs": []}, "epochs is []"),
        ({"epochs": 5}, "epochs is 5"),
        ({"epochs": [5, 5]}, "epochs has a choice twice"),
        ({"epochs": [5, 2.5]}, "epochs has the value 2.5"),
        ({"epochs": [True]}, "epochs has the value True"),
        ({"epochs": [0]}, "epochs is 0"),
        ({"flip": [0, 1]}, "flip has the value 0"),
        ({"optimizer": ["adam", "lion"]}, "Unknown optimizer 'lion'"),
        ({"attention": [False]}, "attention has the value False"),  # what YAML makes of `no`
        ({"attention": {"low": "a", "high": "b"}}, "attention has a range"),
        ({"learning_rate": {"low": 1e-4}}, "learning_rate is {'low': 0.0001}"),
        ({"learning_rate": {"low": 1e-4, "high": 1e-3, "logarithmic": True}}, "learning_rate is"),
        ({"learning_rate": {"low": 1e-3, "high": 1e-4}}, "low 0.001 not below high 0.0001"),
        ({"learning_rate": {"low": "fast", "high": 1e-4}}, "learning_rate has the value 'fast'"),
        ({"learning_rate": {"low": 1e-4, "high": float("inf")}}, "learning_rate has the value inf"),
        ({"warmup": {"low": 0, "high": 1, "log": True}}, "log and low 0.0"),
        ({"warmup": {"low": 0, "high": 1, "step": 0.3}}, "the step 0.3"),
        ({"epochs": {"low": 1, "high": 5, "step": 0.5}}, "the step 0.5"),
        ({"epochs": {"low": 1, "high": 5, "log": "yes"}}, "log 'yes'"),
    ],
)
def test_a_faulty_space_is_refused_with_the_fault(entries, says):
    with pytest.raises(SettingsError) as caught:
        parse_space(entries)
    assert says in str(caught.value) and caught.value.fix


def test_errors_name_the_file(tmp_path):
    path = tmp_path / "mine.yaml"
    for text in ("epochs: [0]\n", "epochs: [1\n", "[]"):
        path.write_text(text)
        with pytest.raises(SettingsError, match=r"mine\.yaml"):
            read_space(path)
    with pytest.raises(SettingsError, match=r"none\.yaml"):
        read_space(tmp_path / "none.yaml")


def test_names_are_looked_up_before_the_first_trial():
    with pytest.raises(SettingsError, match=r"Unknown attention 'sbam'.*\n.*self_attention"):
        check_names(parse_space({"attention": ["none", "sbam"]}))
    with pytest.raises(SettingsError, match="Unknown backbone"):
        check_names(parse_space({"backbone": ["efficientnet_lite0", "resnet51"]}))


def test_settings_outside_the_space_have_no_parameters():
    space = parse_space({"image_size": {"low": 128, "high": 320, "step": 64}, "epochs": [5, 18]})
    base = TrainingSettings()
    assert parameters_of(base, space) == {"image_size": 256, "epochs": 18}
    for change in ({"image_size": 250}, {"image_size": 384}, {"epochs": 7}):
        assert parameters_of(replace(base, **change), space) is None


def test_a_score_does_not_depend_on_where_it_is_computed():
    base = TrainingSettings()
    same = replace(base, experiment="elsewhere", threads=3, heatmap="hirescam", sensitivity=0.8)
    assert scored(base) == scored(same)
    assert scored(base) != scored(replace(base, seed=8))
