"""Maps from activations and gradients at any layer of the network that holds the whole evidence.

All share one algorithm: run the network to the layer, differentiate the logit by the layer's output, weigh
the activations, sum over the channels. What differs is the weighing.
"""

from collections.abc import Callable

import keras
import numpy as np

from stenoscope.heatmaps.cam import BATCH_SIZE, part_of, predict
from stenoscope.models.classifier import split_at
from stenoscope.models.gradient import input_gradient


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
    return _weighted_map(model, images, layer, label, lambda gradients, activations: gradients)


def gradcam(model: keras.Model, images: np.ndarray, layer: str, label: int = 0) -> np.ndarray:
    r"""Grad-CAM: every channel weighed by its mean gradient.

    .. math:: M_{ij} = \sum_c \left(\frac{1}{N} \sum_{kl} \frac{\partial s}{\partial A_{klc}}\right) A_{ijc}

    [1]_ (equations 1 and 2). Parameters, returns and errors are those of `hirescam`.

    References
    ----------
    .. [1] Selvaraju RR et al. Grad-CAM: Visual Explanations from Deep Networks via Gradient-based
       Localization. ICCV 2017.
    """
    return _weighted_map(
        model, images, layer, label, lambda gradients, activations: gradients.mean((1, 2), keepdims=True)
    )


def gradcam_plus_plus(model: keras.Model, images: np.ndarray, layer: str, label: int = 0) -> np.ndarray:
    r"""Grad-CAM++: every channel weighed by its positive gradients, each by its share in the score.

    .. math::

        w_c = \sum_{ij} \alpha_{ijc} \mathrm{ReLU}(g_{ijc}), \qquad
        \alpha_{ijc} = \frac{g_{ijc}^2}{2 g_{ijc}^2 + g_{ijc}^3 \sum_{kl} A_{klc}}

    with :math:`g = \partial s / \partial A` of the logit s: equations 5, 6 and 19 of [1]_ for the score
    :math:`Y = e^s`. The factor :math:`e^s` in its gradient is the same for the whole image and is left out,
    as it would bring every image to a scale of its own. In [1]_ activations follow a ReLU; where they do not,
    the sum takes their positive part, without which the denominator could vanish.

    Parameters, returns and errors are those of `hirescam`.

    References
    ----------
    .. [1] Chattopadhay A, Sarkar A, Howlader P, Balasubramanian VN. Grad-CAM++: Generalized Gradient-Based
       Visual Explanations for Deep Convolutional Networks. WACV 2018.
    """

    def weigh(gradients, activations):
        rising = np.maximum(gradients, 0.0)
        total = np.maximum(activations, 0.0).sum((1, 2), keepdims=True)
        return (rising / (2.0 + rising * total)).sum((1, 2), keepdims=True)  # both sides cut by g^2

    return _weighted_map(model, images, layer, label, weigh)


def _weighted_map(model, images, layer, label, weigh: Callable[..., np.ndarray]) -> np.ndarray:
    front, head = part_of(model, layer, lambda: split_at(model, layer))
    activations = predict(front, images)
    maps = []
    for start in range(0, len(images), BATCH_SIZE):
        batch = activations[start : start + BATCH_SIZE]
        gradients = input_gradient(lambda values: head(values, training=False)[:, label], batch)
        maps.append((weigh(gradients, batch) * batch).sum(-1, dtype=np.float32))
    return np.concatenate(maps or [activations[..., 0]])
