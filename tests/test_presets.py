import re
from dataclasses import asdict, fields
from pathlib import Path

import pytest
import yaml

from stenoscope import presets as module
from stenoscope.errors import SettingsError
from stenoscope.presets import ABOUT, PRESETS, preset, training_settings
from stenoscope.settings import TrainingSettings

FILES = sorted(Path(module.__file__).parent.glob("*.yaml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_each_file_is_a_preset_of_known_settings_in_range_with_reasons(path):
    made, text = training_settings(path.stem), path.read_text("utf-8")
    written = yaml.safe_load(text)
    assert made.preset == path.stem and written == PRESETS[path.stem]
    assert set(written) <= {item.name for item in fields(TrainingSettings)} - {"preset"}
    for key, value in written.items():
        assert getattr(made, key) == value and type(getattr(made, key)) is type(value)
        assert re.search(rf"^{key}: \S+ # \S", text, re.MULTILINE), f"{key} has no reason"
    assert text == f"# {ABOUT[path.stem]}\n" + text.partition("\n")[2]


def test_they_are_read_in_order_and_each_differs_from_the_defaults():
    assert list(PRESETS) == list(ABOUT) == ["cpu", "quick", "smoke", "paper", "cadica"]
    assert len(FILES) == len(PRESETS) and training_settings("cpu") == TrainingSettings()
    usual = asdict(TrainingSettings())
    same = {(name, key) for name, own in PRESETS.items() for key, value in own.items() if value == usual[key]}
    assert same == {("paper", "optimizer"), ("paper", "heatmap")}, "what a paper says is written all the same"


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
