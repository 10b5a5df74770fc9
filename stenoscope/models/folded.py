"""Frozen batch norm folded into the convolution before it: the same function in fewer passes over memory.

A batch norm that keeps its statistics is one factor and one offset a channel, so it can be applied to the
kernel instead of to the map (Jacob et al., CVPR 2018, section 3.2, equation 14). The kernel itself goes on
learning: the factor is applied anew in each step.
"""

import keras
from keras import ops


class FoldedConvolution(keras.layers.Layer):
    """A convolution and the frozen batch norm after it as one; both keep their own weights."""

    def __init__(self, convolution: keras.layers.Layer, batch_norm: keras.layers.BatchNormalization):
        super().__init__(name=f"{convolution.name}_folded", dtype=convolution.dtype_policy)
        self.convolution, self.batch_norm = convolution, batch_norm
        self.built = True

    def call(self, values):
        conv, norm = self.convolution, self.batch_norm
        factor = ops.rsqrt(norm.moving_variance + norm.epsilon)  # float32 in any precision
        if norm.gamma is not None:
            factor = factor * norm.gamma
        before = norm.moving_mean if conv.bias is None else norm.moving_mean - conv.bias
        offset = -before * factor
        if norm.beta is not None:
            offset = offset + norm.beta
        depthwise = type(conv) is keras.layers.DepthwiseConv2D
        apply = ops.depthwise_conv if depthwise else ops.conv
        kernel = ops.cast(conv.kernel * (factor[:, None] if depthwise else factor), values.dtype)
        result = apply(values, kernel, conv.strides, conv.padding, conv.data_format, conv.dilation_rate)
        return result + ops.cast(offset, values.dtype)


def fold_batch_norm(model: keras.Model) -> keras.Model:
    """A model of the same layers in which each frozen batch norm is part of the convolution before it.

    `model` is functional. The result has its own inputs, the outputs of `model` up to rounding, and the same
    weights (not copies); it is not compiled and not to be saved. `model` itself, if nothing can be folded.
    """
    made: dict[int, tuple] = {}  # by the id of a convolution's output: convolution, its input, the output
    folded = []

    def call(layer, *args, **kwargs):
        if _is_frozen_norm(layer) and id(args[0]) in made:
            convolution, values, _ = made[id(args[0])]
            folded.append(FoldedConvolution(convolution, layer))
            return folded[-1](values)
        result = layer(*args, **kwargs)
        if _is_foldable(layer):
            made[id(result)] = layer, args[0], result
        return result

    clone = keras.models.clone_model(model, clone_function=lambda layer: layer, call_function=call)
    return clone if folded else model


def _is_frozen_norm(layer: keras.layers.Layer) -> bool:
    return type(layer) is keras.layers.BatchNormalization and not layer.trainable and layer.axis in (-1, 3)


def _is_foldable(layer: keras.layers.Layer) -> bool:
    """Whether this is a plain convolution of maps with the channels last."""
    if type(layer) not in (keras.layers.Conv2D, keras.layers.DepthwiseConv2D):
        return False
    plain = layer.activation is keras.activations.linear and layer.data_format == "channels_last"
    return plain and getattr(layer, "groups", 1) == 1 and getattr(layer, "depth_multiplier", 1) == 1
