"""Backbones in a registry: network, preprocessing, where to cut it and where to explain it."""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np
from keras import applications

from stenoscope.errors import SettingsError, unknown_name
from stenoscope.models.efficientnet_lite import efficientnet_lite0


@dataclass(frozen=True)
class Preprocessing:
    """What a backbone expects: ``(x - centre) * scale`` in grey levels, for each channel that it sees."""

    centre: tuple[float, float, float]
    scale: tuple[float, float, float]
    order: str = "rgb"  # ``rgb`` or ``bgr``: colour of the first channel; matters only for colour images

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Preprocess RGB images, shape (..., 3), grey levels 0..255; the input is left as it was."""
        ordered = images[..., ::-1] if self.order == "bgr" else images
        return ((ordered - np.array(self.centre)) * np.array(self.scale)).astype(np.float32)


@dataclass(frozen=True)
class Backbone:
    """One entry of the registry."""

    name: str
    # from a tensor (batch, rows, cols, 3) to the model, from the tensor's source inputs to the last features,
    # without classification head, with random weights
    build: Callable[[keras.KerasTensor], keras.Model]
    preprocessing: Preprocessing
    cut: str  # layer that ``cut="auto"`` stands for: ``top``, or the name of the last layer to use
    heatmap_layer: str  # layer that ``heatmap_layer="auto"`` stands for
    weights_file: str  # name of the published file of ImageNet weights without the head
    # makes the model without head with ImageNet weights, downloading them if Keras has not kept them; None
    # where the weights come with the installation
    download: Callable[[], keras.Model] | None = None


# The three conventions of keras.applications (`imagenet_utils.preprocess_input`).
_MINUS_ONE_TO_ONE = Preprocessing((127.5,) * 3, (1 / 127.5,) * 3)
_CAFFE = Preprocessing((103.939, 116.779, 123.68), (1.0,) * 3, "bgr")
_TORCH = Preprocessing(
    (0.485 * 255, 0.456 * 255, 0.406 * 255), (1 / (0.229 * 255), 1 / (0.224 * 255), 1 / (0.225 * 255))
)


def _application(
    name: str,
    function: Callable[..., keras.Model],
    preprocessing: Preprocessing,
    heatmap_layer: str,
    weights_file: str = "{}_weights_tf_dim_ordering_tf_kernels_notop.h5",
) -> Backbone:
    """A backbone of keras.applications, used whole."""
    return Backbone(
        name,
        lambda tensor: function(include_top=False, weights=None, input_tensor=tensor),
        preprocessing,
        "top",
        heatmap_layer,
        weights_file.format(name),
        lambda: function(include_top=False, weights="imagenet", input_shape=(224, 224, 3)),
    )


BACKBONES: dict[str, Backbone] = {
    backbone.name: backbone
    for backbone in (
        Backbone(
            "efficientnet_lite0",
            efficientnet_lite0,
            Preprocessing((127.0,) * 3, (1 / 128,) * 3),
            cut="block10_add",
            heatmap_layer="block7_add",
            weights_file="efficientnet-lite0-57934424.pth",
        ),
        _application("inception_v3", applications.InceptionV3, _MINUS_ONE_TO_ONE, "mixed7"),
        _application("resnet50", applications.ResNet50, _CAFFE, "conv4_block6_out"),
        _application("vgg16", applications.VGG16, _CAFFE, "block5_conv3"),
        _application("densenet121", applications.DenseNet121, _TORCH, "conv4_block24_concat"),
        _application(
            "mobilenet_v2",
            applications.MobileNetV2,
            _MINUS_ONE_TO_ONE,
            "block_12_add",
            "{}_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5",
        ),
    )
}
"""Backbones by name. Adding one: its builder, its preprocessing, and the names of two layers."""


def get_backbone(name: str) -> Backbone:
    """The backbone `name`, or a SettingsError that lists the known ones."""
    if name not in BACKBONES:
        raise unknown_name("backbone", name, BACKBONES)
    return BACKBONES[name]


def build_backbone(backbone: Backbone, tensor: keras.KerasTensor) -> keras.Model:
    """Build the whole backbone, without head, on a tensor of preprocessed images (batch, rows, cols, 3).

    Its layers are part of the graph of `tensor`, not nested in a layer of their own. A SettingsError if the
    images are too small for the backbone.
    """
    try:
        network = backbone.build(tensor)
    except ValueError as problem:
        raise SettingsError(
            f"The backbone {backbone.name!r} can't be built on images of {tensor.shape[1]} px: {problem}",
            "an image_size that the backbone's strides leave something of",
            "raise image_size (inception_v3 needs at least 75).",
        ) from problem
    name_layers(network)
    return network


def name_layers(network: keras.Model) -> None:
    """Give unnamed layers the same names in every process: Keras numbers them as they are made."""
    counts: Counter[str] = Counter()
    for layer in network.layers:
        kind = re.sub(r"_\d+$", "", layer.name)
        if kind.replace("_", "") == type(layer).__name__.lower():
            layer.name = f"{kind}_{counts[kind]:03d}"
            counts[kind] += 1


def cut_layer(backbone: Backbone, network: keras.Model, cut: str) -> keras.layers.Layer:
    """The last layer to use, for ``cut`` = ``auto``, ``top`` or a layer's name; SettingsError without it."""
    name = backbone.cut if cut == "auto" else cut
    if name == "top":
        return network.layers[-1]
    for layer in network.layers:
        if layer.name == name:
            return layer
    raise unknown_name(
        f"layer of {backbone.name} (setting cut)", name, [layer.name for layer in network.layers]
    )
