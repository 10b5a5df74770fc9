"""The class activation map, which is exact in these networks."""

from collections.abc import Callable, Hashable
from weakref import WeakKeyDictionary

import keras
import numpy as np

BATCH_SIZE = 16

_parts: WeakKeyDictionary[keras.Model, dict] = WeakKeyDictionary()


def cam(model: keras.Model, images: np.ndarray, label: int = 0) -> np.ndarray:
    """Class activation map: what the pooling makes the score from; parameters and result as of `evidence`.

    With average pooling ``mean(map) + bias`` is the logit, so the map is a complete account of it (Zhou B,
    Khosla A, Lapedriza A, Oliva A, Torralba A. Learning Deep Features for Discriminative Localization. CVPR
    2016, equation 2). With attention-MIL the map is the class map times the attention of each position, and
    the same holds. With log-sum-exp the pooling is a soft maximum of the map.
    """
    front = part_of(model, "cam", lambda: keras.Model(model.input, model.get_layer("pooling").input))
    return predict(front, images)[..., label].astype(np.float32)


def predict(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """Outputs of a model in inference mode, in batches, without a progress bar."""
    if not len(images):  # Keras can't predict nothing
        return np.zeros((0, *model.output.shape[1:]), np.float32)
    return np.asarray(model.predict(images, batch_size=BATCH_SIZE, verbose=0))


def part_of(model: keras.Model, name: Hashable, make: Callable):
    """What `make` makes of a model, made once: tracing a network costs more than explaining some images."""
    parts = _parts.setdefault(model, {})
    if name not in parts:
        parts[name] = make()
    return parts[name]
