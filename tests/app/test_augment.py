import numpy as np
import pandas as pd
import pytest

from stenoscope.app import augment
from stenoscope.augmentation.grid import CENTRE
from stenoscope.data.clipset import ClipSet
from stenoscope.errors import DatasetError, SettingsError
from stenoscope.presets import training_settings
from stenoscope.settings import AugmentSettings
from stenoscope.training.batches import Sample, render


@pytest.fixture
def drawn(prepared, tmp_path, monkeypatch):
    """Draws with some settings; returns what training shows, its notes, and the folder."""
    found = {}

    def note(seen, title, notes):
        found.update(seen=seen, title=title, notes=" ".join(notes))
        return np.zeros((8, 8, 3), np.uint8)

    def draw(**settings):
        monkeypatch.setattr(augment, "draw_training", note)
        keyframes = str(prepared.folder / "data/keyframes")
        augment.draw_variants(AugmentSettings(input=keyframes, output=str(tmp_path), **settings))
        assert {path.name for path in tmp_path.iterdir()} == {"sheet.png", "training.png"}
        return found

    return draw


def clip_of(prepared, label):
    table = pd.read_csv(prepared.folder / "data/keyframes/keyframes.csv")
    return table.loc[table["label"] == label, "clip_id"].iloc[0]


def test_the_default_preset_flips_shifts_and_narrows_a_normal_clip(prepared, drawn):
    found = drawn()
    assert found["title"].startswith(clip_of(prepared, 0)) and len(found["seen"]) == 10
    texts = ["; ".join(one.captions) for one in found["seen"]]
    assert any("; flipped" in text for text in texts) and any("shifted +" in text for text in texts)
    for one in found["seen"]:
        changed = np.argwhere(one.image != one.twin)
        if one.place is not None:
            assert np.hypot(*(changed - one.place).T).min() < 4, "the narrowing is where the ring is"
        else:
            assert not len(changed)
    assert sum(one.place is not None for one in found["seen"]) >= 5


def test_an_abnormal_clip_has_no_twins(prepared, drawn):
    found = drawn(clip=clip_of(prepared, 1))
    assert all(one.twin is None for one in found["seen"]) and "labelled abnormal" in found["notes"]


def test_what_is_not_augmented_is_the_centre_crop(prepared, drawn, monkeypatch):
    plain = training_settings("smoke", augmentation=False, narrowings=False)
    monkeypatch.setattr(augment, "training_settings", lambda name: plain)
    (one,) = drawn(preset="smoke")["seen"]
    clips = ClipSet.open(prepared.folder / "data/keyframes")
    clip = clips.clip_ids.index(clip_of(prepared, 0))
    expected = render(clips.frames, [Sample(clip, 2, CENTRE)], plain.image_size).images[0, ..., 0]
    np.testing.assert_array_equal(one.image, np.rint(expected))
    assert one.captions == ("crop centre, +0 grey levels", "not flipped", "not shifted")


def test_paper_neither_flips_nor_narrows(drawn):
    found = drawn(preset="paper")
    assert {one.captions[1:] for one in found["seen"]} == {("not flipped", "not shifted")}
    assert "no synthetic narrowings" in found["notes"]


def test_unknown_names_are_refused(drawn, tmp_path):
    for settings, problem in (({"clip": "none"}, DatasetError), ({"preset": "none"}, SettingsError)):
        with pytest.raises(problem, match="none"):
            drawn(**settings)
    assert not any(tmp_path.iterdir())
