"""The first layer, by hand and against OpenCV."""

import cv2
import keras
import numpy as np
import pytest

from stenoscope.models.standardize import StandardizeLayer, black_tophat, black_tophat_size

CENTRE, SCALE = (10.0, 20.0, 30.0), (1.0, 0.5, 0.1)


def _run(layer, images):
    return keras.ops.convert_to_numpy(layer(images))


@pytest.fixture
def images():
    return np.random.default_rng(0).uniform(0, 255, (2, 24, 20, 1)).astype(np.float32)


def test_black_tophat_is_opencvs(images):
    expected = [cv2.morphologyEx(image, cv2.MORPH_BLACKHAT, np.ones((7, 7), np.uint8)) for image in images]
    result = keras.ops.convert_to_numpy(black_tophat(images, 7))
    np.testing.assert_allclose(result[..., 0], expected, atol=1e-4)


def test_black_tophat_sees_narrow_dark_structures_only():
    image = np.full((1, 40, 40, 1), 100, np.float32)
    image[:, :, 10:13] -= 30  # narrower than the element
    image[:, :, 25:] -= 50  # a step
    image += np.linspace(0, 20, 40, dtype=np.float32)[None, :, None, None]  # slow brightness along the vessel
    result = keras.ops.convert_to_numpy(black_tophat(image, 7))[0, ..., 0]
    np.testing.assert_allclose(result[8:-8, 10:13], 30, atol=1e-4)
    result[:, 10:13] = 0
    assert result[8:-8].max() < 1e-4
    shifted = keras.ops.convert_to_numpy(black_tophat(image + 17, 7))[0, ..., 0]
    np.testing.assert_allclose(shifted[8:-8, 10:13], 30, atol=1e-4)


def test_the_four_combinations_by_hand(images):
    mean = np.random.default_rng(1).uniform(0, 255, (24, 20, 1)).astype(np.float32)
    scale, centre = np.array(SCALE), np.array(CENTRE)

    def tophat(values, size):
        return keras.ops.convert_to_numpy(black_tophat(values, size))

    for subtract, sizes, expected in (
        (False, (), (images - centre) * scale),
        (True, (), (images - mean) * scale),
        (False, (5,), np.minimum(2 * tophat(images, 5), 255) * scale),
        (True, (5,), np.minimum(2 * tophat(images - mean, 5), 255) * scale),
        (
            False,
            (3, 5, 7),
            np.minimum(2 * np.concatenate([tophat(images, k) for k in (3, 5, 7)], -1), 255) * scale,
        ),
    ):
        layer = StandardizeLayer(CENTRE, SCALE, subtract, sizes, gain=2.0)
        layer.build(images.shape)
        if subtract:
            layer.mean_image.assign(mean)
        result = _run(layer, images)
        assert result.shape == (2, 24, 20, 3) and layer(keras.Input((24, 20, 1))).shape[1:] == (24, 20, 3)
        np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-4)


def test_the_input_is_left_as_it_was(images):
    before = images.copy()
    _run(StandardizeLayer(CENTRE, SCALE, True, (5,)), images)
    np.testing.assert_array_equal(images, before)


def test_nothing_in_it_trains():
    layer = StandardizeLayer(CENTRE, SCALE)
    layer.build((None, 8, 8, 1))
    assert not layer.trainable_weights and len(layer.non_trainable_weights) == 1


def test_config_round_trip(images):
    layer = StandardizeLayer(CENTRE, SCALE, False, (3, 5, 7), gain=3.0)
    again = StandardizeLayer.from_config(layer.get_config())
    np.testing.assert_array_equal(_run(layer, images), _run(again, images))


def test_two_structuring_elements_are_refused():
    with pytest.raises(ValueError, match="expected 0, 1 or 3"):
        StandardizeLayer(CENTRE, SCALE, tophat_sizes=(3, 5))


def test_the_structuring_element_grows_with_the_image():
    assert [black_tophat_size(size) for size in (32, 64, 256, 500)] == [3, 3, 11, 21]
