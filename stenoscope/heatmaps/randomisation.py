"""Whether a map shows what was learned: the check of Adebayo et al. 2018 by randomised weights."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import keras
import numpy as np

HEAD = ("attention", "class_map", "gated_attention", "logits")
"""Layers after the backbone."""

PARTS = ("head", "all")
"""What is randomised: the layers after the backbone, or every layer that learned something."""


@contextmanager
def randomised(model: keras.Model, part: str, seed: int | Sequence[int]) -> Iterator[None]:
    """Give `part` of a network, a name in `PARTS`, random weights while the context lasts.

    Kernels are drawn from a normal distribution around zero with their own root mean square, which keeps
    activations within bounds; biases and batch-norm statistics are put into random order. The mean image is
    no learned weight and stays.
    """
    rng = np.random.default_rng(seed)
    kept = []
    for layer in model.layers:
        if layer.name == "standardize" or (part == "head" and layer.name not in HEAD):
            continue
        kept += [(variable, np.array(keras.ops.convert_to_numpy(variable))) for variable in layer.weights]
    try:
        for variable, value in kept:
            variable.assign(_random_like(value, rng))
        yield
    finally:
        for variable, value in kept:
            variable.assign(value)


def _random_like(value: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    if value.ndim < 2:
        return rng.permutation(value) if value.ndim else value
    return rng.normal(0.0, np.sqrt(np.mean(value.astype(np.float64) ** 2)), value.shape).astype(value.dtype)
