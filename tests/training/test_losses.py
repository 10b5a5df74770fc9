import math

import numpy as np
import pytest
from keras import ops

from stenoscope.training.losses import (
    cell_crossentropy,
    class_weights,
    masked_accuracy,
    masked_binary_crossentropy,
    sample_weights,
    smooth,
)

NAN = float("nan")


def loss(labels, logits):
    return ops.convert_to_numpy(
        masked_binary_crossentropy(np.array(labels, np.float32), np.array(logits, np.float32))
    )


def test_cross_entropy_by_hand():
    # p = sigmoid(log 3) = 3/4: -log(3/4) for the label 1, -log(1/4) for 0
    found = loss([[1], [0], [1]], [[math.log(3)], [math.log(3)], [0]])
    np.testing.assert_allclose(found[:, 0], [math.log(4 / 3), math.log(4), math.log(2)], rtol=1e-6)


def test_extreme_logits_do_not_overflow():
    found = loss([[0], [1], [1]], [[1000], [-1000], [5]])
    np.testing.assert_allclose(found[:, 0], [1000, 1000, math.log1p(math.exp(-5))], rtol=1e-4)


def test_unknown_labels_add_nothing():
    found = loss([[1, NAN], [NAN, NAN], [1, 0]], [[0, 99], [5, 5], [0, 0]])
    np.testing.assert_allclose(found, [[math.log(2), 0], [0, 0], [math.log(2)] * 2], rtol=1e-6)


def test_unknown_labels_have_a_gradient_of_zero():
    import keras

    if keras.backend.backend() != "tensorflow":
        pytest.skip("takes the gradient with TensorFlow")
    import tensorflow as tf

    logits = tf.constant([[0.3, 2.0], [1.0, -1.0]])
    with tf.GradientTape() as tape:
        tape.watch(logits)
        value = tf.reduce_sum(masked_binary_crossentropy(tf.constant([[1.0, NAN], [NAN, NAN]]), logits))
    gradient = tape.gradient(value, logits).numpy()
    np.testing.assert_allclose(gradient, [[1 / (1 + math.exp(-0.3)) - 1, 0], [0, 0]], rtol=1e-5)


def test_accuracy_by_hand():
    found = masked_accuracy(
        np.array([[1, 0], [1, NAN], [NAN, NAN]], np.float32), np.array([[2, 1], [-1, 9], [1, 1]], np.float32)
    )
    np.testing.assert_array_equal(ops.convert_to_numpy(found), [[1, 0], [0, 0], [0, 0]])


def test_smoothed_labels_by_hand():
    found = smooth(np.array([0, 1, NAN], np.float32), 0.2)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, [0.1, 0.9, NAN], rtol=1e-6)
    np.testing.assert_array_equal(smooth(np.array([0, 1, NAN], np.float32), 0.0), [0, 1, NAN])
    # p = 3/4: 0.9 of the loss for the label 1 and 0.1 of that for 0; the accuracy still knows the label
    expected = 0.9 * math.log(4 / 3) + 0.1 * math.log(4)
    np.testing.assert_allclose(loss([[found[1]]], [[math.log(3)]]), [[expected]], rtol=1e-6)
    accuracy = masked_accuracy(smooth(np.array([[0, 1]], np.float32), 0.9), np.array([[-1, 1]], np.float32))
    assert ops.convert_to_numpy(accuracy).tolist() == [[1, 1]]


def test_cells_by_hand():
    labels = np.full((3, 2, 2, 1), NAN, np.float32)
    labels[0, :, :, 0] = [[1, 0], [0, NAN]]
    labels[1] = 0
    logits = np.zeros((3, 2, 2, 1), np.float32)
    logits[0, :, :, 0] = [[math.log(3), math.log(3)], [0, 99]]
    found = ops.convert_to_numpy(cell_crossentropy(labels, logits))
    # image 0: its positive cell -log(3/4), its negative ones the mean of -log(1/4) and log 2
    expected = [math.log(4 / 3) + (math.log(4) + math.log(2)) / 2, math.log(2), 0]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize(
    "labels, expected",
    [
        ([0, 0, 0, 1], [4 / 6, 4 / 2]),
        ([0, 1], [1, 1]),
        ([0, 1, 1, NAN], [1.5, 0.75]),
        ([1, 1], [1, 1]),
        ([NAN], [1, 1]),
    ],
)
def test_class_weights_by_hand(labels, expected):
    found = class_weights(np.array(labels, np.float32))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert class_weights(np.array(labels, np.float32), balance=False).tolist() == [1, 1]


def test_weighted_classes_count_the_same():
    weights = class_weights(np.repeat([0.0, 1.0], [30, 10]).astype(np.float32))
    assert 30 * weights[0] == pytest.approx(10 * weights[1]) == pytest.approx(20)


def test_weights_of_several_labels_by_hand():
    labels = np.array([[1, 0], [0, NAN], [NAN, NAN]], np.float32)
    found = sample_weights(labels, np.array([[0.5, 2], [3, 7]], np.float32))
    # of the second sample one of two labels is known: it counts for both
    np.testing.assert_array_equal(found, [[2, 3], [1, 0], [0, 0]])
    assert found.dtype == np.float32
