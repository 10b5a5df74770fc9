"""What a cell of a map can see of the image, and what it does see."""

import math
from typing import NamedTuple

import keras
import numpy as np

from stenoscope.errors import unknown_name
from stenoscope.models.gradient import input_gradient
from stenoscope.models.standardize import StandardizeLayer


class Field(NamedTuple):
    """Receptive field of one cell of a layer's map, pixels of the network's input.

    Attributes
    ----------
    stride : float
        Distance of neighbouring cells.
    size : float
        Side of the square that a cell can see at all; infinite after a layer that sees the whole image.
    """

    stride: float
    size: float


def theoretical_field(model: keras.Model, layer: str) -> Field:
    r"""Receptive field by the layers alone.

    Along each path from the image, a window of k cells (dilation d) at stride j adds :math:`d (k - 1) j`
    pixels, and its own stride multiplies j [1]_ (equations 2 to 4); where paths meet, the largest counts.

    Parameters
    ----------
    model : Model
        With images (batch, S, S, channels) as its only input.
    layer : str
        Name of a layer whose output has positions.

    Raises
    ------
    SettingsError
        If the model has no such layer.

    References
    ----------
    .. [1] Araujo A, Norris W, Sim J. Computing Receptive Fields of Convolutional Neural Networks. Distill
       2019, 10.23915/distill.00021.
    """
    _layer(model, layer)
    fields: dict[int, Field] = {}
    for item in model.layers:
        if isinstance(item, keras.layers.InputLayer):
            fields[id(item.output)] = Field(1.0, 1.0)
        else:
            tensors = item.input if isinstance(item.input, list) else [item.input]
            before = [fields[id(tensor)] for tensor in tensors]
            fields[id(item.output)] = _through(item, before)
        if item.name == layer:
            break
    return fields[id(item.output)]


def _through(layer: keras.layers.Layer, before: list[Field]) -> Field:
    """Field after a layer, from those of its inputs."""
    stride, size = (max(values) for values in zip(*before, strict=True))
    if layer.name == "attention" or len(layer.output.shape) < 4:
        return Field(stride, math.inf)
    if isinstance(layer, StandardizeLayer):  # the top-hat is a dilation, then an erosion
        return Field(stride, size + sum(2 * (k - 1) * stride for k in layer.tophat_sizes[:1]))
    window = getattr(layer, "kernel_size", getattr(layer, "pool_size", (1,)))[0]
    dilation = _first(getattr(layer, "dilation_rate", 1))
    step = _first(getattr(layer, "strides", 1))
    return Field(stride * step, size + dilation * (window - 1) * stride)


def _first(value) -> int:
    return value[0] if isinstance(value, tuple | list) else value


def effective_field(model: keras.Model, layer: str, images: np.ndarray, seed: int = 0) -> np.ndarray:
    r"""Where the image moves the central cell of a layer: its mean squared gradient.

    Parameters
    ----------
    model : Model
        Made by `build_classifier`.
    layer : str
        Name of a layer whose output has positions.
    images : ndarray, float32, shape (n, S, S, 1)
        Grey levels 0..255.
    seed : int
        What is differentiated is a random mixture of the cell's channels, another for each image (of a class
        map with one label: its logit, but for the factor), which stands for the heads that might follow.

    Returns
    -------
    ndarray, float64, shape (S, S)
        Mean over the images, sum 1 (zero everywhere if no image moves the cell).

    Raises
    ------
    SettingsError
        If the model has no such layer.

    References
    ----------
    .. [1] Luo W, Li Y, Urtasun R, Zemel R. Understanding the Effective Receptive Field in Deep Convolutional
       Neural Networks. NeurIPS 2016, section 3.
    """
    output = _layer(model, layer).output
    front = keras.Model(model.input, output)
    row, col = (length // 2 for length in output.shape[1:3])
    rng = np.random.default_rng(seed)
    total = np.zeros(images.shape[1:3])
    for image in images:
        mixture = keras.ops.convert_to_tensor(rng.normal(size=output.shape[-1]).astype(np.float32))

        def mixed(values, mixture=mixture):
            return keras.ops.sum(front(values, training=False)[:, row, col] * mixture)

        total += (input_gradient(mixed, image[None])[0].astype(np.float64) ** 2).sum(axis=-1)
    return total / max(total.sum(), np.finfo(float).tiny)


def field_radius(field: np.ndarray) -> float:
    """Root mean square distance of a field from its centre of mass, pixels.

    For a Gaussian field, 2 standard deviations on either side, 95 % along each axis [1]_, are 2.8 times this.

    References
    ----------
    .. [1] Luo W et al. 2016, as in `effective_field`, section 3.
    """
    rows, cols = np.mgrid[: field.shape[0], : field.shape[1]]
    weight = field / max(field.sum(), np.finfo(float).tiny)
    centre = (weight * rows).sum(), (weight * cols).sum()
    return float(np.sqrt((weight * ((rows - centre[0]) ** 2 + (cols - centre[1]) ** 2)).sum()))


def _layer(model: keras.Model, name: str) -> keras.layers.Layer:
    found = {layer.name: layer for layer in model.layers if len(layer.output.shape) == 4}
    if name not in found:
        raise unknown_name("layer with positions", name, found)
    return found[name]
