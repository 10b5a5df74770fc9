"""The check by randomised weights."""

import keras
import numpy as np
import pytest

from stenoscope.evaluation.localisation import similarity
from stenoscope.heatmaps.randomisation import PARTS, randomised


@pytest.fixture
def model():
    image = keras.Input((8, 8, 1))
    x = keras.layers.Conv2D(1, 1, name="standardize")(image)
    x = keras.layers.Conv2D(6, 3, padding="same", name="features")(x)
    x = keras.layers.Conv2D(1, 1, name="class_map")(x)
    return keras.Model(image, keras.layers.GlobalAveragePooling2D(name="pooling")(x))


def _weights(model):
    return {layer.name: [array.copy() for array in layer.get_weights()] for layer in model.layers}


def _equal(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_only_what_was_learned_is_randomised_and_put_back(model):
    before = _weights(model)
    changed = {"head": {"class_map"}, "all": {"class_map", "features"}}
    assert set(changed) == set(PARTS)
    for part, names in changed.items():
        with randomised(model, part, seed=1):
            inside = _weights(model)
        assert {name for name in before if not _equal(inside[name], before[name])} == names
        assert all(_equal(_weights(model)[name], before[name]) for name in before)


def test_random_weights_have_the_spread_of_the_learned_ones(model):
    model.get_layer("features").bias.assign(np.arange(6))
    kernel, bias = _weights(model)["features"]
    with randomised(model, "all", seed=1):
        random_kernel, random_bias = _weights(model)["features"]
    assert np.sqrt((random_kernel**2).mean()) == pytest.approx(np.sqrt((kernel**2).mean()), rel=0.3)
    np.testing.assert_array_equal(np.sort(random_bias), bias)
    with randomised(model, "all", seed=2):
        assert not np.array_equal(_weights(model)["features"][0], random_kernel)


def test_weights_come_back_after_an_error(model):
    before = _weights(model)
    with pytest.raises(KeyboardInterrupt), randomised(model, "all", seed=1):
        raise KeyboardInterrupt
    assert all(_equal(_weights(model)[name], before[name]) for name in before)


def test_similarity_is_a_rank_correlation():
    rising = np.arange(6.0).reshape(1, 2, 3)
    maps = np.concatenate([rising, rising, rising, rising])
    others = np.concatenate([np.exp(rising), -rising, np.ones((1, 2, 3)), rising])
    others[3, 0, 0] = 2.5  # ranks 3, 1, 2, 4, 5, 6 against 1 to 6: 1 - 6 (4 + 1 + 1) / (6 * 35)
    np.testing.assert_allclose(similarity(maps, others), [1, -1, 0, 1 - 36 / 210])
