"""Attention blocks between the backbone and the class map, in a registry."""

from collections.abc import Callable

import keras
from keras import ops


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

    Parameters
    ----------
    reduction : int
        Channels of the input per channel of f and g.

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
        """Create the weights."""
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
        """Attention of every position to every other.

        Parameters
        ----------
        features : tensor, shape (batch, rows, cols, channels)

        Returns
        -------
        tensor, shape (batch, rows * cols, rows * cols)
            Row i holds the weights with which position i gathers the others; each row sums to 1.
        """
        x = self._flatten(features)
        query = ops.matmul(x, self.query_kernel) + self.query_bias
        key = ops.matmul(x, self.key_kernel) + self.key_bias
        return ops.softmax(ops.matmul(query, ops.transpose(key, (0, 2, 1))), axis=-1)

    def call(self, features):
        """Apply the layer."""
        value = ops.matmul(self._flatten(features), self.value_kernel) + self.value_bias
        gathered = ops.matmul(self.attention_map(features), value)
        return features + self.gain * ops.reshape(gathered, (-1, *features.shape[1:]))

    def compute_output_shape(self, input_shape):
        """Shape of the output."""
        return input_shape

    def get_config(self):
        """Arguments to make the layer again."""
        return {**super().get_config(), "reduction": self.reduction}


ATTENTION: dict[str, Callable[[], Callable]] = {
    "none": lambda: lambda features: features,
    "self_attention": lambda: SelfAttention(name="attention"),
}
"""Attention blocks by name: each entry makes a function from features to features of the same shape."""
