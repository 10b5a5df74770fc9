import pytest

from stenoscope.errors import SettingsError
from stenoscope.presets import PRESETS, preset, training_settings


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
