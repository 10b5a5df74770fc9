"""The classifier: its parts, its start, what trains, and what a saved one gives back."""

import keras
import numpy as np
import pytest

from stenoscope.errors import SettingsError, WeightsError
from stenoscope.heatmaps.cam import cam
from stenoscope.models.classifier import (
    build_classifier,
    heatmap_layer,
    load_classifier,
    reset_weights,
    set_mean_image,
    split_at,
)
from stenoscope.settings import TrainingSettings

SMALL = {"image_size": 32, "cut": "block2_add", "heatmap_layer": "block2_add"}


def _settings(**changes) -> TrainingSettings:
    return TrainingSettings(**{**SMALL, **changes})


@pytest.fixture
def images():
    return np.random.default_rng(0).uniform(0, 255, (4, 32, 32, 1)).astype(np.float32)


def _run(model, images):
    return keras.ops.convert_to_numpy(model(images, training=False))


def _randomise_head(model):
    rng = np.random.default_rng(1)
    for layer in model.layers:
        if layer.name in ("class_map", "logits", "gated_attention"):
            for weight in layer.weights:
                weight.assign(rng.normal(0, 0.02, weight.shape))


def _train(model, images, steps=2):
    model.compile(keras.optimizers.Adam(1e-2), "binary_crossentropy")
    for _ in range(steps):
        model.train_on_batch(images, np.ones((len(images), model.output.shape[-1])))


@pytest.mark.parametrize(
    "attention, pooling",
    [("none", "average"), ("self_attention", "average"), ("cbam", "attention_mil"), ("arl", "attention_mil")],
)
def test_mean_of_the_cam_and_the_bias_is_the_logit(images, attention, pooling):
    settings = _settings(pooling=pooling, attention=attention, heatmap_layer="auto")
    model = build_classifier(settings, num_labels=2)
    _randomise_head(model)
    logits = _run(keras.Model(model.input, model.get_layer("logits").output), images)
    bias = model.get_layer("logits").bias.numpy()
    for label in (0, 1):
        evidence = cam(model, images, label)
        assert evidence.shape == (4, 8, 8) and evidence.dtype == np.float32
        np.testing.assert_allclose(
            evidence.mean((1, 2)) + bias[label], logits[:, label], rtol=1e-5, atol=1e-4
        )
    probability = _run(model, images)
    np.testing.assert_allclose(probability, 1 / (1 + np.exp(-logits)), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("weights", ["imagenet", "none"])
def test_reset_equals_a_fresh_build(images, weights):
    shallow = {
        "weights": weights,
        "freeze_batch_norm": False,
        "cut": "block0_project_bn",
        "heatmap_layer": "auto",
    }
    model = build_classifier(_settings(**shallow))
    set_mean_image(model, np.full((500, 500), 90.0))
    _train(model, images)
    reset_weights(model, 11)
    fresh = build_classifier(_settings(**shallow, seed=11))
    for one, other in zip(model.weights, fresh.weights, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy(), err_msg=one.path)
    for variable in model.optimizer.variables:
        if variable.name == "learning_rate":
            assert float(variable) == pytest.approx(1e-2)
        else:
            assert not np.any(variable.numpy()), variable.name
    _train(fresh, images)
    for _ in range(2):  # trained again without a new optimizer or trace, it goes the same way
        model.train_on_batch(images, np.ones((4, 1)))
    np.testing.assert_allclose(_run(model, images), _run(fresh, images), rtol=1e-4, atol=1e-6)


def test_another_seed_is_another_start():
    starts = [build_classifier(_settings(seed=seed)).get_layer("attention") for seed in (1, 1, 2)]
    kernels = [layer.query_kernel.numpy() for layer in starts]
    np.testing.assert_array_equal(kernels[0], kernels[1])
    assert not np.array_equal(kernels[0], kernels[2])


def test_frozen_batch_norm_keeps_its_statistics(images):
    for freeze in (True, False):
        model = build_classifier(
            _settings(
                freeze_batch_norm=freeze, frozen_layers=0.0, cut="block0_project_bn", heatmap_layer="auto"
            )
        )
        _randomise_head(model)
        stem = model.get_layer("stem_bn")
        before = [array.copy() for array in stem.get_weights()]
        kernel = model.get_layer("stem_conv").kernel.numpy().copy()
        _train(model, images, steps=1)
        kept = [np.array_equal(a, b) for a, b in zip(before, stem.get_weights(), strict=True)]
        assert kept == [freeze] * 4
        assert not np.array_equal(kernel, model.get_layer("stem_conv").kernel.numpy())


def test_a_random_backbone_trains_its_batch_norm():
    model = build_classifier(_settings(weights="none", freeze_batch_norm=True))
    assert model.get_layer("stem_bn").trainable


def test_frozen_share_of_the_backbone():
    model = build_classifier(_settings(frozen_layers=0.5, freeze_batch_norm=False))
    backbone = [layer for layer in model.layers if layer.name.startswith(("stem", "block"))]
    flags = [layer.trainable for layer in backbone]
    assert flags == sorted(flags) and flags.count(False) == round(0.5 * len(flags))
    whole = build_classifier(_settings(frozen_layers=1.0))
    trained = {weight.path.split("/")[0] for weight in whole.trainable_weights}
    assert trained == {"attention", "class_map", "logits"}


@pytest.mark.parametrize(
    "changes",
    [
        {"enhance": "none"},
        {"attention": "cbam", "pooling": "attention_mil"},
        {"attention": "arl", "pooling": "average", "heatmap_layer": "auto"},
    ],
)
def test_a_saved_classifier_predicts_the_same(tmp_path, images, changes):
    model = build_classifier(_settings(**changes))
    _randomise_head(model)
    for weight in model.get_layer("attention").weights:
        weight.assign(np.random.default_rng(3).normal(0.3, 0.1, weight.shape))
    set_mean_image(model, np.random.default_rng(2).uniform(0, 255, (500, 500)))
    model.save(tmp_path / "model.keras")
    loaded = load_classifier(tmp_path / "model.keras")
    np.testing.assert_array_equal(_run(model, images), _run(loaded, images))
    assert not loaded.get_layer("stem_bn").trainable
    with pytest.raises(SettingsError, match="loaded from a file"):
        reset_weights(loaded, 1)


def test_the_mean_image_is_resized_by_area():
    model = build_classifier(_settings(image_size=50, enhance="none"))
    mean = np.arange(500 * 500, dtype=np.float32).reshape(500, 500) % 251
    set_mean_image(model, mean)
    stored = model.get_layer("standardize").mean_image.numpy()[..., 0]
    np.testing.assert_allclose(stored, mean.reshape(50, 10, 50, 10).mean((1, 3)), rtol=1e-4)
    with pytest.raises(SettingsError, match="no mean image"):
        set_mean_image(build_classifier(_settings(subtract_mean=False)), mean)


def test_brightness_does_not_matter_to_the_enhanced_input(images):
    model = build_classifier(_settings(enhance="black_tophat"))
    _randomise_head(model)
    np.testing.assert_allclose(_run(model, images), _run(model, images + 20), rtol=1e-3, atol=1e-4)


def test_the_start_is_undecided(images):
    model = build_classifier(_settings(), num_labels=3)
    np.testing.assert_array_equal(_run(model, images), np.full((4, 3), 0.5))


@pytest.mark.parametrize("setting", ["backbone", "attention", "pooling", "cut", "heatmap_layer"])
def test_unknown_names_are_refused(setting):
    with pytest.raises(SettingsError, match="nonsense"):
        build_classifier(_settings(**{setting: "nonsense"}))


def test_layers_that_do_not_hold_the_evidence_are_refused():
    model = build_classifier(_settings())
    with pytest.raises(SettingsError, match="passes the layer 'block2_expand_conv' by"):
        split_at(model, "block2_expand_conv")
    for name in ("pooling", "probability"):
        with pytest.raises(SettingsError, match="no map"):
            split_at(model, name)


def test_split_halves_make_the_whole(images):
    model = build_classifier(_settings())
    _randomise_head(model)
    front, head = split_at(model, "block2_add")
    logits = _run(head, _run(front, images))
    np.testing.assert_allclose(1 / (1 + np.exp(-logits)), _run(model, images), rtol=1e-4)


def test_the_heatmap_layer_of_a_short_backbone_is_the_last_that_holds_all():
    for changes, expected in (
        ({"attention": "none", "pooling": "attention_mil"}, "block2_add"),
        ({"attention": "self_attention"}, "block2_add"),
        ({"attention": "arl"}, "block1_project_bn"),  # which takes the last block apart
        ({"attention": "arl", "cut": "block7_add"}, "block6_add"),  # though the backbone would choose block 7
    ):
        settings = _settings(heatmap_layer="auto", **changes)
        assert heatmap_layer(build_classifier(settings), settings) == expected


def test_loading_nonsense_is_explained(tmp_path):
    (tmp_path / "model.keras").write_text("nonsense")
    for name in ("model.keras", "absent.keras"):
        with pytest.raises(WeightsError, match=name):
            load_classifier(tmp_path / name)
