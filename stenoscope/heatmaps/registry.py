"""Heatmap methods by name, and the functions that run them."""

from collections.abc import Callable

import keras
import numpy as np

from stenoscope.errors import unknown_name
from stenoscope.heatmaps.attention import POOLED, attention, no_attention
from stenoscope.heatmaps.cam import cam
from stenoscope.heatmaps.gradients import gradcam, gradcam_plus_plus, hirescam
from stenoscope.heatmaps.occlusion import occlusion
from stenoscope.settings import TrainingSettings

METHODS: dict[str, Callable[..., np.ndarray]] = {
    "cam": lambda model, images, layer, label: cam(model, images, label),
    "gradcam": gradcam,
    "gradcam_plus_plus": gradcam_plus_plus,
    "hirescam": hirescam,
    "occlusion": lambda model, images, layer, label: occlusion(model, images, label),
    "attention": lambda model, images, layer, label: attention(model, images),
}
"""Heatmap methods by name: functions of (model, images, layer, label) to float32 (n, rows, cols)."""

SLOW = ("occlusion",)
"""Methods that take hundreds of passes an image: too slow for every key frame."""


def check_method(settings: TrainingSettings) -> None:
    """Check, before a network is trained, that `settings.heatmap` can be drawn of it.

    A SettingsError for an unknown name, or 'attention' where the network has none.
    """
    if settings.heatmap not in METHODS:
        raise unknown_name("heatmap method", settings.heatmap, METHODS)
    if settings.heatmap == "attention" and settings.attention == "none" and settings.pooling != POOLED:
        raise no_attention()


def evidence(model: keras.Model, images: np.ndarray, method: str, layer: str, label: int = 0) -> np.ndarray:
    """Heatmaps of images, at the resolution that the method gives.

    Parameters
    ----------
    model : Model
        Made by `build_classifier`.
    images : ndarray, float32, shape (n, S, S, 1)
        Grey levels 0..255.
    method : str
        Name in `METHODS`.
    layer : str
        Layer to explain at, from `models.classifier.heatmap_layer`; used by the gradient-based methods.
    label : int
        Column of the labels.

    Returns
    -------
    ndarray, float32, shape (n, rows, cols)
        Signed evidence in logits (of `attention`, as it says), each image on the same scale.

    Raises
    ------
    SettingsError
        For an unknown method or layer, or a method that the network has nothing for.
    """
    if method not in METHODS:
        raise unknown_name("heatmap method", method, METHODS)
    return METHODS[method](model, images, layer, label)
