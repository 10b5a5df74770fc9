"""Attention blocks between the backbone and the class map, in a registry."""

from collections.abc import Callable

import keras
from keras import ops


def softmax_over_positions(values):
    """Softmax of each channel over the rows and columns, (batch, rows, cols, channels) as the input."""
    flat = ops.reshape(values, (-1, values.shape[1] * values.shape[2], values.shape[3]))
    return ops.reshape(ops.softmax(flat, axis=1), (-1, *values.shape[1:]))


@keras.saving.register_keras_serializable(package="stenoscope")
class SelfAttention(keras.layers.Layer):
    r"""Non-local self-attention with a residual connection whose gain starts at zero.

    For features :math:`x_i` at the positions i of the map [1]_ [2]_ (equations 1 to 3 of [1]_):

    .. math::

        \beta_{ij} = \mathrm{softmax}_j\left(f(x_i)^\top g(x_j)\right), \qquad
        y_i = x_i + \gamma \sum_j \beta_{ij} h(x_j)

    f and g are 1 x 1 convolutions to ``channels // reduction`` channels, h is one to all channels, each with
    a bias. With :math:`\gamma = 0` at the start, training begins from the backbone's own features. f and g
    start small, so that attention starts spread over all positions: features without a last activation are
    in the tens, and would otherwise saturate the softmax.

    References
    ----------
    .. [1] Zhang H, Goodfellow I, Metaxas D, Odena A. Self-Attention Generative Adversarial Networks. ICML
       2019.
    .. [2] Moon JH et al. Automatic stenosis recognition from coronary angiography using convolutional neural
       networks. Comput Methods Programs Biomed 198, 105819 (2021).
    """

    def __init__(self, reduction: int = 8, **kwargs):
        super().__init__(**kwargs)
        self.reduction = reduction
        self.query_kernel_initializer = keras.initializers.RandomNormal(stddev=0.01)
        self.key_kernel_initializer = keras.initializers.RandomNormal(stddev=0.01)
        self.value_kernel_initializer = keras.initializers.GlorotUniform()

    def build(self, input_shape):
        channels = input_shape[-1]
        inner = max(1, channels // self.reduction)

        def convolution(name, outputs):
            initializer = getattr(self, f"{name}_kernel_initializer")
            kernel = self.add_weight(
                name=f"{name}_kernel", shape=(channels, outputs), initializer=initializer
            )
            return kernel, self.add_weight(name=f"{name}_bias", shape=(outputs,), initializer="zeros")

        self.query_kernel, self.query_bias = convolution("query", inner)
        self.key_kernel, self.key_bias = convolution("key", inner)
        self.value_kernel, self.value_bias = convolution("value", channels)
        self.gain = self.add_weight(name="gain", shape=(), initializer="zeros")

    def _flatten(self, features):
        return ops.reshape(features, (-1, features.shape[1] * features.shape[2], features.shape[3]))

    def attention_map(self, features):
        """Attention of every position to every other, (batch, rows * cols, rows * cols).

        Row i holds the weights with which position i gathers the others; each row sums to 1.
        """
        x = self._flatten(features)
        query = ops.matmul(x, self.query_kernel) + self.query_bias
        key = ops.matmul(x, self.key_kernel) + self.key_bias
        return ops.softmax(ops.matmul(query, ops.transpose(key, (0, 2, 1))), axis=-1)

    def spatial_attention(self, features):
        """How much attention each position receives from all others, (batch, rows, cols), sum 1."""
        received = ops.mean(self.attention_map(features), axis=1)
        return ops.reshape(received, (-1, *features.shape[1:3]))

    def call(self, features):
        value = ops.matmul(self._flatten(features), self.value_kernel) + self.value_bias
        gathered = ops.matmul(self.attention_map(features), value)
        return features + self.gain * ops.reshape(gathered, (-1, *features.shape[1:]))

    def get_config(self):
        return {**super().get_config(), "reduction": self.reduction}


@keras.saving.register_keras_serializable(package="stenoscope")
class ConvolutionalBlockAttention(keras.layers.Layer):
    r"""CBAM: a gate for each channel, then a gate for each position.

    For features F [1]_ (equations 1 to 3), with average and maximum over the positions in the first line and
    over the channels in the second:

    .. math::

        F' = \sigma\left(W_1 \mathrm{ReLU}(W_0 F_{avg}) + W_1 \mathrm{ReLU}(W_0 F_{max})\right) \otimes F,
        \qquad
        F'' = \sigma\left(f^{7 \times 7}([F'_{avg}; F'_{max}])\right) \otimes F'

    `reduction` is the channels of the input per channel of :math:`W_0` (16 in [1]_), `window` the rows and
    columns of f (7 in [1]_).

    References
    ----------
    .. [1] Woo S, Park J, Lee JY, Kweon IS. CBAM: Convolutional Block Attention Module. ECCV 2018.
    """

    def __init__(self, reduction: int = 16, window: int = 7, **kwargs):
        super().__init__(**kwargs)
        self.reduction, self.window = reduction, window
        self.squeeze_initializer = keras.initializers.HeNormal()
        self.excite_initializer = keras.initializers.GlorotUniform()
        self.spatial_initializer = keras.initializers.GlorotUniform()

    def build(self, input_shape):
        channels = input_shape[-1]
        inner = max(1, channels // self.reduction)
        for name, shape in (
            ("squeeze", (channels, inner)),
            ("excite", (inner, channels)),
            ("spatial", (self.window, self.window, 2, 1)),
        ):
            initializer = getattr(self, f"{name}_initializer")
            setattr(self, name, self.add_weight(name=name, shape=shape, initializer=initializer))

    def channel_attention(self, features):
        """Gate of each channel, (batch, 1, 1, channels), 0 to 1."""

        def perceptron(values):
            return ops.matmul(ops.relu(ops.matmul(values, self.squeeze)), self.excite)

        pooled = (pool(features, axis=(1, 2), keepdims=True) for pool in (ops.mean, ops.max))
        return ops.sigmoid(sum(perceptron(values) for values in pooled))

    def _position_gate(self, gated):
        """Gate of each position for features whose channels are gated, (batch, rows, cols, 1), 0 to 1."""
        pooled = [pool(gated, axis=-1, keepdims=True) for pool in (ops.mean, ops.max)]
        return ops.sigmoid(ops.conv(ops.concatenate(pooled, axis=-1), self.spatial, padding="same"))

    def spatial_attention(self, features):
        """Gate of each position, (batch, rows, cols), 0 to 1."""
        return self._position_gate(self.channel_attention(features) * features)[..., 0]

    def call(self, features):
        gated = self.channel_attention(features) * features
        return self._position_gate(gated) * gated

    def get_config(self):
        return {**super().get_config(), "reduction": self.reduction, "window": self.window}


@keras.saving.register_keras_serializable(package="stenoscope")
class AttentionResidual(keras.layers.Layer):
    r"""Attention residual learning: a block's own features say where its input counts.

    For a residual block with the input x and the branch F(x), to the block's output is added [1]_ (equations
    2 and 3)

    .. math::

        \gamma\, R(F(x)) \otimes x, \qquad R(F)_{ic} = \frac{\exp(F_{ic})}{\sum_j \exp(F_{jc})}

    over the positions i of each channel c. The learned gain :math:`\gamma` is the only weight and starts at
    zero, so training begins from the block as it is.

    The layer takes ``[output, x, F]`` of the block, three tensors of one shape.

    References
    ----------
    .. [1] Zhang J, Xie Y, Xia Y, Shen C. Attention Residual Learning for Skin Lesion Classification. IEEE
       Trans Med Imaging 38(9), 2092-2103 (2019).
    """

    def build(self, input_shape):
        self.gain = self.add_weight(name="gain", shape=(), initializer="zeros")

    @staticmethod
    def attention_map(branch):
        """Softmax over the positions, for each channel: (batch, rows, cols, channels), sums of 1."""
        return softmax_over_positions(branch)

    def spatial_attention(self, tensors):
        """Attention of each position, mean over the channels, (batch, rows, cols), sum 1."""
        return ops.mean(self.attention_map(tensors[2]), axis=-1)

    def call(self, tensors):
        output, block_input, branch = tensors
        return output + self.gain * self.attention_map(branch) * block_input


def block_of(network: keras.Model, last: keras.layers.Layer) -> list[keras.KerasTensor]:
    """The block that a network's layer ends: ``[output, input, branch]``.

    Input and branch are what a residual block adds, the shortcut first. Where `last` does not end in such a
    sum (with or without an activation after it), both are the block's output: its features weigh themselves.
    """
    made_by = {id(layer.output): layer for layer in network.layers}
    total = last
    if isinstance(last, keras.layers.Activation | keras.layers.ReLU):
        total = made_by[id(last.input)]
    if isinstance(total, keras.layers.Add):
        return [last.output, *total.input]
    return [last.output] * 3


ATTENTION: dict[str, Callable[[list[keras.KerasTensor]], keras.KerasTensor]] = {
    "none": lambda block: block[0],
    "self_attention": lambda block: SelfAttention(name="attention")(block[0]),
    "cbam": lambda block: ConvolutionalBlockAttention(name="attention")(block[0]),
    "arl": lambda block: AttentionResidual(name="attention")(block),
}
"""Attention blocks by name: each entry makes features of the same shape from a `block_of` the backbone."""
