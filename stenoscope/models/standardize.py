"""The first layer of every network: from grey levels to what the backbone was trained on."""

from collections.abc import Callable

import keras
from keras import ops

BLACK_TOPHAT_SIZE = 11 / 256
"""Side of the structuring element as a share of the image: wider than an artery, narrower than a rib."""

BLACK_TOPHAT_GAIN = 4.0
"""Brings the contrast of vessels (20 to 60 grey levels) to that of the objects in a photograph."""


def black_tophat_size(image_size: int) -> int:
    """Odd side, in pixels, of the structuring element for a square image of `image_size` pixels."""
    return max(3, 2 * round((BLACK_TOPHAT_SIZE * image_size - 1) / 2) + 1)


ENHANCE: dict[str, Callable[[int], tuple[int, ...]]] = {
    "none": lambda image_size: (),
    "black_tophat": lambda image_size: (black_tophat_size(image_size),),
}
"""What a network sees, by name: the `tophat_sizes` of a `StandardizeLayer` for images of some size."""


def black_tophat(images, size: int):
    r"""Black top-hat: how much darker a pixel is than the narrow-structure-free image around it.

    .. math:: T = (f \bullet b) - f = \varepsilon_b(\delta_b(f)) - f \geq 0

    with a flat square :math:`b`, whose dilation is the maximum over rows, then over columns. Dark structures
    narrower than `size` come out bright, on a background of zero, whatever the slow brightness around them.
    Images are float (batch, rows, cols, 1), `size` is the odd side of the square in pixels; the result is not
    negative.
    """
    rows, cols = images.shape[1:3]

    def along_rows(values):
        return ops.max_pool(values, (size, 1), 1, "same")

    def turned(values):
        return ops.transpose(values, (0, 3, 2, 1))

    # Pooling is fast over many channels and slow over one, so the columns go there.
    dilated = along_rows(turned(along_rows(ops.reshape(images, (-1, rows, 1, cols)))))
    closed = -along_rows(turned(along_rows(-dilated)))  # erosion is dilation of the negative
    return ops.reshape(closed, (-1, rows, cols, 1)) - images


@keras.saving.register_keras_serializable(package="stenoscope")
class StandardizeLayer(keras.layers.Layer):
    """Subtract the mean image, optionally enhance vessels, and scale to three channels.

    ==============  =============  ==========================================
    subtract_mean   tophat_sizes   output, for each channel c
    ==============  =============  ==========================================
    no              none           ``(x - centre[c]) * scale[c]``
    yes             none           ``(x - mean_image) * scale[c]``
    no              (k, ...)       ``min(gain * tophat(x, k[c]), 255) * scale[c]``
    yes             (k, ...)       ``min(gain * tophat(x - mean_image, k[c]), 255) * scale[c]``
    ==============  =============  ==========================================

    Parameters
    ----------
    centre, scale : sequence of 3 floats
        The backbone's preprocessing, in its own channel order.
    subtract_mean : bool
        Hold a non-trainable weight `mean_image`, shape (rows, cols, 1), zero until it is set, and subtract
        it.
    tophat_sizes : sequence of int
        Sides of the structuring elements, pixels: none, one for all channels, or one for each channel.
    gain : float
        Factor on the black top-hat.

    Notes
    -----
    Input is float ``(batch, rows, cols, 1)`` in grey levels 0..255, output ``(batch, rows, cols, 3)``. The
    input is not overwritten.
    """

    def __init__(
        self,
        centre,
        scale,
        subtract_mean: bool = True,
        tophat_sizes=(),
        gain: float = BLACK_TOPHAT_GAIN,
        **kwargs,
    ):
        super().__init__(trainable=False, **{k: v for k, v in kwargs.items() if k != "trainable"})
        if len(tophat_sizes) not in (0, 1, 3):
            raise ValueError(f"tophat_sizes has {len(tophat_sizes)} entries; expected 0, 1 or 3.")
        self.centre, self.scale = tuple(map(float, centre)), tuple(map(float, scale))
        self.subtract_mean = subtract_mean
        self.tophat_sizes = tuple(map(int, tophat_sizes))
        self.gain = gain
        self.mean_image = None

    def build(self, input_shape):
        if self.subtract_mean:
            self.mean_image = self.add_weight(
                name="mean_image", shape=(*input_shape[1:3], 1), initializer="zeros", trainable=False
            )

    def call(self, images):
        if self.subtract_mean:
            images = images - self.mean_image
        elif not self.tophat_sizes:
            images = images - ops.convert_to_tensor(self.centre, images.dtype)
        if self.tophat_sizes:
            maps = [black_tophat(images, size) for size in self.tophat_sizes]
            # The limit keeps a thin dark border beside the collimator from outshining all vessels.
            images = ops.minimum(self.gain * ops.concatenate(maps, axis=-1), 255.0)
        return images * ops.convert_to_tensor(self.scale, images.dtype)  # one channel spreads to three here

    def get_config(self):
        return {
            **super().get_config(),
            "centre": self.centre,
            "scale": self.scale,
            "subtract_mean": self.subtract_mean,
            "tophat_sizes": self.tophat_sizes,
            "gain": self.gain,
        }
