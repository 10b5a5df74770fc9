"""A frozen backbone whose features are computed once."""

import keras
import numpy as np
import pytest

from stenoscope.errors import SettingsError
from stenoscope.models.classifier import build_classifier
from stenoscope.training import features, fold
from stenoscope.training.fold import Trainer
from tests.training.small import TEST, part, predict, settings, seven_clips

STILL = {"frozen_layers": 1.0, "flip": False, "shift": 0, "epochs": 2, "variants_per_epoch": 2}


@pytest.fixture(scope="module")
def frames():
    return seven_clips()


@pytest.fixture(scope="module")
def trainer():
    return Trainer(settings(**STILL))


@pytest.fixture(scope="module")
def trained(trainer, frames):
    history = trainer.fit(part(frames))
    return history, predict(trainer, frames, TEST)


def test_stored_features_train_as_images_do(frames, trained, monkeypatch):
    monkeypatch.setattr(fold, "cacheable", lambda settings: False)
    plain = Trainer(settings(**STILL))
    history = plain.fit(part(frames))
    np.testing.assert_allclose(
        [row["loss"] for row in history], [row["loss"] for row in trained[0]], rtol=1e-5
    )
    np.testing.assert_allclose(predict(plain, frames, TEST), trained[1], atol=1e-5)
    assert not np.allclose(trained[1], 0.5), "the head has learnt something"


def test_every_image_is_computed_once(trainer, frames, monkeypatch):
    seen = []
    render = fold.render
    monkeypatch.setattr(fold, "render", lambda f, plan, *more: seen.append(plan) or render(f, plan, *more))
    trainer.fit(part(frames))
    whole = [sample for plan in seen for sample in plan]
    wanted = set(whole)
    assert len(wanted) > 5 * 3 * 2, "both epochs' variants"
    assert len(whole) - len(wanted) < 4, "but for the filling of the last batch"


def test_many_features_go_to_a_file(trainer, frames, trained, monkeypatch):
    monkeypatch.setattr(features, "IN_MEMORY", 0)
    trainer.fit(part(frames))
    np.testing.assert_array_equal(predict(trainer, frames, TEST), trained[1])


def test_a_full_disk_is_said_before_the_work(trainer, frames, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(features, "IN_MEMORY", 0)
    monkeypatch.setattr(features.os, "posix_fallocate", full)
    with pytest.raises(SettingsError, match=r"GiB do not fit.*No space left") as caught:
        trainer.fit(part(frames))
    assert "image_size" in caught.value.fix


def test_what_can_not_be_stored_is_refused():
    for changes, names in (
        ({"flip": True}, "flip"),
        ({"shift": 3}, "shift"),
        ({"narrowings": True}, "narrowings"),
        ({"flip": True, "shift": 3, "narrowings": True}, "flip, shift, narrowings"),
    ):
        with pytest.raises(SettingsError, match=f"{names} would change"):
            features.cacheable(settings(**{**STILL, **changes}))
    assert features.cacheable(settings(**{**STILL, "flip": True, "augmentation": False}))
    assert not features.cacheable(settings(flip=True)), "less than everything is frozen"
    assert not features.cacheable(settings(**STILL, weights="none")), "nothing is frozen"


def test_every_setting_that_augments_is_refused(monkeypatch):
    known = {"flip": "flips", "shift": "shifts", "label_smoothing": "another augmentation"}
    monkeypatch.setattr(features, "augmentations", lambda settings_class: known)
    with pytest.raises(SettingsError, match="label_smoothing would change") as caught:
        features.cacheable(settings(**STILL, label_smoothing=0.1))
    assert caught.value.fix == "add --flip false --shift 0 --label_smoothing 0.0 --narrowings false."


def test_an_attention_that_looks_back_keeps_its_block_in_the_head():
    model = build_classifier(settings(**STILL, attention="arl", heatmap_layer="auto"))
    front, head = features.split_backbone(model)
    names = [layer.name for layer in head.layers]
    assert "attention" in names and "block2_project_conv" in names and "block1_add" not in names
    images = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 1)).astype(np.float32)
    logits, probabilities = (keras.ops.convert_to_numpy(x) for x in (head(front(images)), model(images)))
    np.testing.assert_allclose(1 / (1 + np.exp(-logits)), probabilities, atol=1e-6)
