"""Where an attention block attends."""

import keras
import numpy as np

from stenoscope.errors import SettingsError
from stenoscope.heatmaps.cam import part_of, predict

POOLED = "attention_mil"
"""The pooling that attends."""
_LAYERS = ("attention", "gated_attention")


def no_attention() -> SettingsError:
    """The error of a network without attention."""
    return SettingsError(
        "The network has no attention block, so there is no attention to draw.",
        f"a network with attention: self_attention, cbam or arl, or with pooling: {POOLED}",
        "choose another heatmap method, or train with an attention block.",
    )


def attention(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """Attention of each position, relative to an even share; float32 (n, rows, cols).

    For self-attention, how much a position receives from all others; for CBAM, its gate; for attention
    residual learning, the mean over the channels of the softmax; for a network whose only attention is in its
    pooling (attention-MIL), the weights of the pooling. It says where the block looks, not what it concludes.
    0 where a position has the image's mean attention, 1 where it has twice as much, at least -1. Images are
    those of `evidence`. A SettingsError if the network has no attention.
    """
    names = [layer.name for layer in model.layers]
    found = [name for name in _LAYERS if name in names]
    if not found:
        raise no_attention()
    layer = model.get_layer(found[0])
    weights = part_of(
        model, "attention", lambda: keras.Model(model.input, layer.spatial_attention(layer.input))
    )
    values = predict(weights, images).astype(np.float32)
    return values / values.mean((1, 2), keepdims=True) - 1
