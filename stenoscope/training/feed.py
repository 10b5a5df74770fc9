"""Batches for `keras.Model.fit`, made in threads while the last one is learnt from."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import keras


@contextmanager
def feed(batch: Callable[[int], tuple], count: int, threads: int = 1) -> Iterator:
    """`count` batches of one epoch in order.

    `batch` makes each from its number, from 0: a tuple (of tuples) of arrays whose shapes are the same for
    all. Same number, same batch: some are asked for twice.
    """
    first = batch(0)

    def numbered(number: int) -> tuple:
        return batch(number) if number else first

    if keras.backend.backend() == "tensorflow":
        yield _dataset(numbered, first, count, threads)
    else:
        with ThreadPoolExecutor(threads) as pool:
            yield _Batches(numbered, count, pool, threads + 2)


def _dataset(batch: Callable[[int], tuple], example: tuple, count: int, threads: int):
    """The batches as a TensorFlow data set.

    Keras would wrap a Python generator, but TensorFlow's kernel for those makes the allocator give memory
    back at once (mallopt M_TRIM_THRESHOLD), which costs 8 per cent of the training in page faults. The data
    set is not tuned either: the tuner sleeps for 10 ms, 20 ms, 40 ms and so on, the end of the data does not
    wake it, and an epoch of 6 s took 10.
    """
    import tensorflow as tf

    arrays = tf.nest.flatten(example)

    def load(number):
        # Not stateful: with deterministic kernels a stateful function is never run ahead.
        values = tf.numpy_function(
            lambda n: tf.nest.flatten(batch(int(n))),
            [number],
            [array.dtype for array in arrays],
            stateful=False,
        )
        for value, array in zip(values, arrays, strict=True):
            value.set_shape(array.shape)
        return tf.nest.pack_sequence_as(example, values)

    options = tf.data.Options()
    options.autotune.enabled = False
    data = tf.data.Dataset.range(count).map(load, num_parallel_calls=threads).prefetch(2)
    return data.with_options(options)


class _Batches(keras.utils.PyDataset):
    """The batches for the other libraries; those that follow the last one asked for are begun."""

    def __init__(self, batch: Callable[[int], tuple], count: int, pool: ThreadPoolExecutor, ahead: int):
        super().__init__()
        self._batch, self._count, self._pool, self._ahead = batch, count, pool, ahead
        self._waiting: dict[int, Future] = {}

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, step: int) -> tuple:
        """Batch number `step`."""
        for number in range(step, min(step + self._ahead, self._count)):
            if number not in self._waiting:
                self._waiting[number] = self._pool.submit(self._batch, number)
        for number in [number for number in self._waiting if number < step]:
            del self._waiting[number]
        return self._waiting[step].result()
