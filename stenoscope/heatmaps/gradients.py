"""Maps from activations and gradients at any layer of the network that holds the whole evidence.

All share one algorithm: run the network to the layer, differentiate the logit by the layer's output, weigh
the activations, sum over the channels. What differs is the weighing. The gradient itself is the only thing
here that needs the tensor library, with one function for each Keras backend, imported when it is used.
"""

from collections.abc import Callable

import keras
import numpy as np

from stenoscope.heatmaps.cam import BATCH_SIZE, predict
from stenoscope.models.classifier import split_at


def hirescam(model: keras.Model, images: np.ndarray, layer: str, label: int = 0) -> np.ndarray:
    r"""HiResCAM: the gradient times the activation, the gradient not averaged.

    .. math:: M_{ij} = \sum_c \frac{\partial s}{\partial A_{ijc}} A_{ijc}

    for the logit s and the activations A [1]_ (equation 3). Where only linear operations follow the layer,
    the sum over the map is the logit but for biases.

    Parameters
    ----------
    model : Model
        Made by `build_classifier`.
    images : ndarray, float32, shape (n, S, S, 1)
        Grey levels 0..255.
    layer : str
        Name of the layer to explain at; every connection from image to logit must pass it.
    label : int
        Column of the labels.

    Returns
    -------
    ndarray, float32, shape (n, rows, cols)
        In logits; negative is evidence against the label (the published map cuts it off by a ReLU).

    Raises
    ------
    SettingsError
        If there is no such layer, or it does not hold the whole evidence.

    References
    ----------
    .. [1] Draelos RL, Carin L. Use HiResCAM instead of Grad-CAM for faithful explanations of convolutional
       neural networks. arXiv 2011.08891 (2020).
    """
    return _weighted_map(model, images, layer, label, lambda gradients: gradients)


def gradcam(model: keras.Model, images: np.ndarray, layer: str, label: int = 0) -> np.ndarray:
    r"""Grad-CAM: every channel weighed by its mean gradient.

    .. math:: M_{ij} = \sum_c \left(\frac{1}{N} \sum_{kl} \frac{\partial s}{\partial A_{klc}}\right) A_{ijc}

    [1]_ (equations 1 and 2). Parameters, returns and errors are those of `hirescam`.

    References
    ----------
    .. [1] Selvaraju RR et al. Grad-CAM: Visual Explanations from Deep Networks via Gradient-based
       Localization. ICCV 2017.
    """
    return _weighted_map(model, images, layer, label, lambda gradients: gradients.mean((1, 2), keepdims=True))


def _weighted_map(model, images, layer, label, weigh: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    front, head = split_at(model, layer)
    activations = predict(front, images)
    gradient = _GRADIENTS[keras.backend.backend()]
    maps = []
    for start in range(0, len(images), BATCH_SIZE):
        batch = activations[start : start + BATCH_SIZE]
        gradients = gradient(lambda values: head(values, training=False)[:, label], batch)
        maps.append((weigh(gradients) * batch).sum(-1, dtype=np.float32))
    return np.concatenate(maps or [activations[..., 0]])


def _gradient_tensorflow(function, values: np.ndarray) -> np.ndarray:
    import tensorflow as tf

    inputs = tf.convert_to_tensor(values)
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(inputs)
        total = tf.reduce_sum(function(inputs))
    return tape.gradient(total, inputs).numpy()


def _gradient_jax(function, values: np.ndarray) -> np.ndarray:
    import jax

    return np.asarray(jax.grad(lambda inputs: function(inputs).sum())(values))


def _gradient_torch(function, values: np.ndarray) -> np.ndarray:
    import torch

    inputs = keras.ops.convert_to_tensor(values).requires_grad_()
    (gradients,) = torch.autograd.grad(function(inputs).sum(), inputs)
    return gradients.cpu().numpy()


_GRADIENTS = {"tensorflow": _gradient_tensorflow, "jax": _gradient_jax, "torch": _gradient_torch}
"""Gradient of the sum of ``function(values)`` by `values`, for each Keras backend."""
