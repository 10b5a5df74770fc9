"""EfficientNet-Lite0 in Keras, with the layout of its published PyTorch weights.

The network is EfficientNet-B0's block table without squeeze-and-excitation, with ReLU6 instead of swish [1]_
[2]_. Layers are named ``stem_*``, ``block{0..15}_*`` and ``head_*``; the output of block i is
``block{i}_add`` where the block has a skip connection and ``block{i}_project_bn`` where it changes size or
channels.

=====  ======  ======  ======  =========  =======
stage  blocks  kernel  stride  expansion  outputs
=====  ======  ======  ======  =========  =======
1      0       3       1       1          16
2      1-2     3       2       6          24
3      3-4     5       2       6          40
4      5-7     3       2       6          80
5      8-10    5       1       6          112
6      11-14   5       2       6          192
7      15      3       1       6          320
=====  ======  ======  ======  =========  =======

The stem halves the image once before stage 1, so blocks 5 to 10 run at stride 16.

References
----------
.. [1] Tan M, Le QV. EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks. ICML 2019,
   table 1.
.. [2] Liu R. Higher accuracy on vision models with EfficientNet-Lite. TensorFlow blog, 2020.
"""

from collections.abc import Iterable

import numpy as np
from keras import KerasTensor, Model, layers, utils

from stenoscope.errors import WeightsError

_STAGES = (  # blocks, kernel, stride of the first block, expansion, outputs
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
_STEM, _HEAD, _CLASSES = 32, 1280, 1000
_EPSILON, _MOMENTUM = 1e-3, 0.99


def efficientnet_lite0(inputs: KerasTensor, include_top: bool = False) -> Model:
    """EfficientNet-Lite0 on a tensor (batch, rows, cols, 3), already preprocessed: ``(rgb - 127) / 128``.

    From the source of `inputs` to the head's activations ``(batch, rows/32, cols/32, 1280)``, or with
    `include_top`, which adds global average pooling and the dense layer, to the logits of the 1000 ImageNet
    classes.
    """
    x = _conv_bn(inputs, layers.Conv2D(_STEM, 3, 2, "same", use_bias=False, name="stem_conv"))
    channels, index = _STEM, 0
    for blocks, kernel, stride, expansion, outputs in _STAGES:
        for repeat in range(blocks):
            x = _block(
                x, f"block{index}", kernel, stride if repeat == 0 else 1, channels * expansion, outputs
            )
            channels, index = outputs, index + 1
    x = _conv_bn(x, layers.Conv2D(_HEAD, 1, use_bias=False, name="head_conv"))
    if include_top:
        x = layers.GlobalAveragePooling2D(name="head_pool")(x)
        x = layers.Dense(_CLASSES, name="head_dense")(x)
    return Model(utils.get_source_inputs(inputs)[0], x, name="efficientnet_lite0")


def _conv_bn(x, conv, activate: bool = True):
    name = conv.name.removesuffix("_conv")
    x = layers.BatchNormalization(epsilon=_EPSILON, momentum=_MOMENTUM, name=f"{name}_bn")(conv(x))
    return layers.ReLU(6.0, name=f"{name}_relu")(x) if activate else x


def _block(x, name: str, kernel: int, stride: int, expanded: int, outputs: int):
    """Mobile inverted bottleneck: expand (1 x 1), filter each channel, project (1 x 1), add."""
    inputs = x
    if expanded != inputs.shape[-1]:
        x = _conv_bn(x, layers.Conv2D(expanded, 1, use_bias=False, name=f"{name}_expand_conv"))
    x = _conv_bn(
        x, layers.DepthwiseConv2D(kernel, stride, "same", use_bias=False, name=f"{name}_depthwise_conv")
    )
    x = _conv_bn(x, layers.Conv2D(outputs, 1, use_bias=False, name=f"{name}_project_conv"), activate=False)
    if stride == 1 and inputs.shape[-1] == outputs:
        x = layers.Add(name=f"{name}_add")([inputs, x])
    return x


def load_torch_weights(network_layers: Iterable[layers.Layer], state: dict[str, np.ndarray]) -> None:
    """Put a PyTorch state dict into layers made by `efficientnet_lite0`; layers without weights are skipped.

    `state` holds the tensors by PyTorch name, as `read_state_dict` returns them. A WeightsError if a layer's
    tensors are missing or of another shape.
    """
    for layer in network_layers:
        if layer.weights:
            layer.set_weights(_torch_weights(layer, state))


def _torch_weights(layer, state) -> list[np.ndarray]:
    """Tensors of one layer in the order and layout of Keras."""
    name = _torch_name(layer.name)
    if isinstance(layer, layers.BatchNormalization):
        wanted = [("weight", None), ("bias", None), ("running_mean", None), ("running_var", None)]
    elif isinstance(layer, layers.DepthwiseConv2D):
        wanted = [("weight", (2, 3, 0, 1))]  # (channels, 1, rows, cols) -> (rows, cols, channels, 1)
    elif isinstance(layer, layers.Dense):
        wanted = [("weight", (1, 0)), ("bias", None)]
    else:
        wanted = [("weight", (2, 3, 1, 0))]  # (out, in, rows, cols) -> (rows, cols, in, out)
    arrays = []
    for (suffix, axes), variable in zip(wanted, layer.weights, strict=True):
        key = f"{name}.{suffix}"
        array = state.get(key)
        if array is not None and axes and array.ndim == len(axes):
            array = array.transpose(axes)
        if array is None or array.shape != tuple(variable.shape):
            found = "nothing" if array is None else f"shape {array.shape}"
            raise WeightsError(
                f"The weights file has {found} under {key!r} for layer {layer.name!r}.",
                f"shape {tuple(variable.shape)}",
                "use weights of EfficientNet-Lite0.",
            )
        arrays.append(array)
    return arrays


def _torch_name(name: str) -> str:
    """PyTorch's name of a layer, for example ``block3_expand_bn`` -> ``_blocks.3._bn0``."""
    fixed = {
        "stem_conv": "_conv_stem",
        "stem_bn": "_bn0",
        "head_conv": "_conv_head",
        "head_bn": "_bn1",
        "head_dense": "_fc",
    }
    if name in fixed:
        return fixed[name]
    block, part, kind = name.split("_")
    norms = {"expand": "bn0", "depthwise": "bn1", "project": "bn2"}
    suffix = norms[part] if kind == "bn" else f"{part}_conv"
    return f"_blocks.{block.removeprefix('block')}._{suffix}"
