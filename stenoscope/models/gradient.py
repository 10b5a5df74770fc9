"""The gradient of a function by its input: the only thing here that needs the tensor library itself.

One function for each Keras backend, whose library is imported when it is used.
"""

from collections.abc import Callable

import keras
import numpy as np


def input_gradient(function: Callable, values: np.ndarray) -> np.ndarray:
    """Gradient of the sum of ``function(values)`` by `values`, float32; of the same shape and dtype.

    `function` takes and returns a tensor, and consists of Keras operations.
    """
    return _GRADIENTS[keras.backend.backend()](function, values)


def _tensorflow(function, values: np.ndarray) -> np.ndarray:
    import tensorflow as tf

    inputs = tf.convert_to_tensor(values)
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(inputs)
        total = tf.reduce_sum(function(inputs))
    return tape.gradient(total, inputs, unconnected_gradients="zero").numpy()


def _jax(function, values: np.ndarray) -> np.ndarray:
    import jax

    return np.asarray(jax.grad(lambda inputs: function(inputs).sum())(values))


def _torch(function, values: np.ndarray) -> np.ndarray:
    import torch

    inputs = keras.ops.convert_to_tensor(values).requires_grad_()
    (gradients,) = torch.autograd.grad(function(inputs).sum(), inputs)
    return gradients.cpu().numpy()


_GRADIENTS = {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}
