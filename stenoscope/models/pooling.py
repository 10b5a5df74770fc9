"""From a class map to one number for each label, in a registry."""

from collections.abc import Callable

import keras
from keras import ops

from stenoscope.models.attention import softmax_over_positions


@keras.saving.register_keras_serializable(package="stenoscope")
class LogSumExpPooling(keras.layers.Layer):
    r"""Log-sum-exp over the positions: between the mean and the maximum.

    .. math:: s = \frac{1}{r} \log \frac{1}{N} \sum_{i=1}^{N} \exp(r\,x_i)

    Sharpness r towards 0 gives the mean, towards infinity the maximum; in between, all positions of similar
    score share the gradient, which suits a lesion that fills a few per cent of the image [1]_ (equation 6)
    [2]_. The sharpness is fixed, since the scale of the class map is learned anyway.

    References
    ----------
    .. [1] Pinheiro PO, Collobert R. From Image-level to Pixel-level Labeling with Convolutional Networks.
       CVPR 2015.
    .. [2] Sun C, Paluri M, Collobert R, Nevatia R, Bourdev L. ProNet: Learning to Propose Object-specific
       Boxes for Cascaded Neural Networks. CVPR 2016.
    """

    def __init__(self, sharpness: float = 5.0, **kwargs):
        super().__init__(**kwargs)
        self.sharpness = sharpness

    def call(self, class_map):
        num_positions = class_map.shape[1] * class_map.shape[2]
        total = ops.logsumexp(self.sharpness * class_map, axis=(1, 2))
        return (total - ops.log(ops.cast(num_positions, total.dtype))) / self.sharpness

    def get_config(self):
        return {**super().get_config(), "sharpness": self.sharpness}


@keras.saving.register_keras_serializable(package="stenoscope")
class GatedAttention(keras.layers.Layer):
    r"""Gated attention over the positions of a feature map, as in multiple-instance learning.

    For features :math:`h_i` at the positions i of the map [1]_ (equations 7 and 9):

    .. math::

        a_i = \mathrm{softmax}_i\; w^\top \left(\tanh(V h_i) \odot \mathrm{sigm}(U h_i)\right)

    The network of [1]_ classifies :math:`\sum_i a_i h_i`; with one linear class map after the features this
    is the sum of :math:`a_i` times the class map, so the evidence of each position is exact. w starts at
    zero: training begins with the mean over the positions. `units` is the rows of V and U; 128 in [1]_.

    References
    ----------
    .. [1] Ilse M, Tomczak JM, Welling M. Attention-based Deep Multiple Instance Learning. ICML 2018.
    """

    def __init__(self, units: int = 128, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        # Small, as features without a last activation are in the tens and would saturate tanh and sigmoid.
        self.content_initializer = keras.initializers.RandomNormal(stddev=0.01)
        self.gate_initializer = keras.initializers.RandomNormal(stddev=0.01)

    def build(self, input_shape):
        shape = (input_shape[-1], self.units)
        self.content = self.add_weight(name="content", shape=shape, initializer=self.content_initializer)
        self.gate = self.add_weight(name="gate", shape=shape, initializer=self.gate_initializer)
        self.score = self.add_weight(name="score", shape=(self.units, 1), initializer="zeros")

    def spatial_attention(self, features):
        """Attention of each position, (batch, rows, cols), sum 1."""
        gated = ops.tanh(ops.matmul(features, self.content)) * ops.sigmoid(ops.matmul(features, self.gate))
        return softmax_over_positions(ops.matmul(gated, self.score))[..., 0]

    def call(self, features):
        """Attention times the number of positions, (batch, rows, cols, 1): its mean is 1."""
        return (features.shape[1] * features.shape[2]) * self.spatial_attention(features)[..., None]

    def get_config(self):
        return {**super().get_config(), "units": self.units}


def _attention_mil(features, class_map):
    weights = GatedAttention(name="gated_attention")(features)
    return keras.layers.GlobalAveragePooling2D(name="pooling")(
        keras.layers.Multiply(name="weighted_class_map")([class_map, weights])
    )


POOLING: dict[str, Callable[[keras.KerasTensor, keras.KerasTensor], keras.KerasTensor]] = {
    "average": lambda features, class_map: keras.layers.GlobalAveragePooling2D(name="pooling")(class_map),
    "log_sum_exp": lambda features, class_map: LogSumExpPooling(name="pooling")(class_map),
    "attention_mil": _attention_mil,
}
"""Poolings by name: functions of features (batch, rows, cols, channels) and class map (batch, rows, cols,
labels) to scores (batch, labels). The input of the layer ``pooling`` is the evidence of each position."""
