"""From a class map to one number for each label, in a registry."""

from collections.abc import Callable

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="stenoscope")
class LogSumExpPooling(keras.layers.Layer):
    r"""Log-sum-exp over the positions: between the mean and the maximum.

    .. math:: s = \frac{1}{r} \log \frac{1}{N} \sum_{i=1}^{N} \exp(r\,x_i)

    Sharpness r towards 0 gives the mean, towards infinity the maximum; in between, all positions of similar
    score share the gradient, which suits a lesion that fills a few per cent of the image [1]_ (equation 6)
    [2]_.

    Parameters
    ----------
    sharpness : float
        r; fixed, since the scale of the class map is learned anyway.

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
        """Apply the layer."""
        num_positions = class_map.shape[1] * class_map.shape[2]
        total = ops.logsumexp(self.sharpness * class_map, axis=(1, 2))
        return (total - ops.log(ops.cast(num_positions, total.dtype))) / self.sharpness

    def compute_output_shape(self, input_shape):
        """Shape of the output."""
        return (input_shape[0], input_shape[-1])

    def get_config(self):
        """Arguments to make the layer again."""
        return {**super().get_config(), "sharpness": self.sharpness}


POOLING: dict[str, Callable[[], keras.layers.Layer]] = {
    "average": lambda: keras.layers.GlobalAveragePooling2D(name="pooling"),
    "log_sum_exp": lambda: LogSumExpPooling(name="pooling"),
}
"""Poolings by name: each entry makes a layer from (batch, rows, cols, labels) to (batch, labels)."""
