"""Batches come in order, once each, without a pause at the end."""

import threading

import keras
import numpy as np
import pytest

from stenoscope.training.feed import feed
from stenoscope.training.machine import prepare


def batch(number):
    return np.full((2, 3), number, np.float32), (np.full((2, 1), -number, np.float32),)


@pytest.mark.parametrize("threads", [1, 3])
def test_every_batch_in_order(threads):
    with feed(batch, 5, threads) as data:
        found = [data[step] for step in range(5)] if isinstance(data, keras.utils.PyDataset) else list(data)
    assert [float(np.array(values)[0, 0]) for values, _ in found] == [0, 1, 2, 3, 4]
    assert [float(np.array(labels)[0, 0]) for _, (labels,) in found] == [0, -1, -2, -3, -4]


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="TensorFlow's own data set")
def test_nothing_tunes_the_data_set():
    """Its tuner is woken by no end of the data: an epoch of 6 s took 10."""
    with feed(batch, 5) as data:
        assert data.options().autotune.enabled is False


def test_batches_are_made_ahead_with_deterministic_kernels():
    """`machine.prepare` asks for them, and TensorFlow then runs nothing that has a state ahead of time."""
    prepare(threads=0, seed=7)
    made = [threading.Event() for _ in range(5)]

    def noted(number):
        made[number].set()
        return batch(number)

    with feed(noted, 5) as data:
        if isinstance(data, keras.utils.PyDataset):
            data[0]
        else:
            iterator = iter(data)
            next(iterator)
        assert made[2].wait(60), "the third batch, while the first one is learnt from"
