"""Probabilities averaged over an image and its mirror images.

A network trained on flipped images has learnt four views of each; the mean of their probabilities errs less
than any one of them (test-time augmentation [1]_).

References
----------
.. [1] Krizhevsky A, Sutskever I, Hinton GE. ImageNet classification with deep convolutional neural networks.
   NeurIPS 2012, section 4.1.
"""

import keras
import numpy as np

VIEWS = ((1, 1), (1, -1), (-1, 1), (-1, -1))
"""Direction of rows and columns in each view."""


def predict_probabilities(model: keras.Model, images: np.ndarray, mirrored: bool) -> np.ndarray:
    """Probabilities of one batch of images, float32 (batch, num_labels).

    `model` is from `build_classifier`; `images` are float32 (batch, S, S, 1), grey levels 0 to 255. With
    `mirrored` they are averaged over the four views; what is mirrored is the difference to the model's mean
    image, as in training.
    """
    if not mirrored:
        return np.asarray(model.predict_on_batch(images))
    held = model.get_layer("standardize").mean_image
    mean = 0.0 if held is None else np.asarray(held)
    centred = images - mean
    views = [centred[:, ::down, ::right] + mean for down, right in VIEWS]
    return np.mean([np.asarray(model.predict_on_batch(view)) for view in views], axis=0)
