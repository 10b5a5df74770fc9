"""The classifier: standardize, backbone, attention, class map, pooling, probability.

``image`` -> ``standardize`` -> backbone up to its cut -> ``attention`` -> ``class_map`` -> ``pooling``
-> ``logits`` -> ``probability``. The pooling's input is the last place with positions, and everything after
it is fixed but for the bias: with average pooling ``logits = mean(class_map) + bias``, the global average
pooling and dense layer of the literature in the order that shows the evidence (Zhou et al., CVPR 2016,
equation 2).
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import cv2
import keras
import numpy as np

from stenoscope.errors import SettingsError, WeightsError, unknown_name
from stenoscope.models.attention import ATTENTION, block_of
from stenoscope.models.backbones import build_backbone, cut_layer, get_backbone
from stenoscope.models.pooling import POOLING
from stenoscope.models.standardize import ENHANCE, StandardizeLayer
from stenoscope.models.weights import load_weights, read_model
from stenoscope.settings import TrainingSettings


@keras.saving.register_keras_serializable(package="stenoscope")
class AddBias(keras.layers.Layer):
    """Add one trainable number to each label's score."""

    def build(self, input_shape):
        self.bias = self.add_weight(name="bias", shape=(input_shape[-1],), initializer="zeros")

    def call(self, scores):
        return scores + self.bias


@contextmanager
def computing_in(precision: str) -> Iterator[None]:
    """Layers that are made in this context compute in a precision: a name that Keras' dtype policies take."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def build_classifier(settings: TrainingSettings, num_labels: int = 1) -> keras.Model:
    """Build the classifier that the settings describe, with its starting weights.

    Parameters
    ----------
    settings : TrainingSettings
        Its fields under "Network", `heatmap_layer` and `seed` are used.
    num_labels : int
        Labels, each with its own class map and probability.

    Returns
    -------
    Model
        Not compiled. Input ``(batch, S, S, 1)``, float32, grey levels 0..255, S = `image_size`; output
        ``(batch, num_labels)``, probabilities. The mean image is zero until `set_mean_image`.

    Raises
    ------
    SettingsError
        For a name that is in no registry or a layer that the network does not have.
    WeightsError
        If the pretrained weights are unavailable or do not fit.
    """
    backbone = get_backbone(settings.backbone)
    for kind, name, registry in (
        ("attention", settings.attention, ATTENTION),
        ("pooling", settings.pooling, POOLING),
        ("enhancement", settings.enhance, ENHANCE),
    ):
        if name not in registry:
            raise unknown_name(kind, name, registry)
    size = settings.image_size
    image = keras.Input((size, size, 1), name="image")
    standardized = StandardizeLayer(
        backbone.preprocessing.centre,
        backbone.preprocessing.scale,
        subtract_mean=settings.subtract_mean,
        tophat_sizes=ENHANCE[settings.enhance](size),
        name="standardize",
        dtype="float32",  # half precision can't tell neighbouring grey levels apart
    )(image)
    network = build_backbone(backbone, standardized)
    last = cut_layer(backbone, network, settings.cut)
    features = last.output
    used = keras.Model(standardized, features).layers[1:]  # without the input
    load_weights(backbone, keras.Model(standardized, network.output), used, settings.weights)

    features = ATTENTION[settings.attention](block_of(network, last))
    with computing_in("float32"):  # the evidence is summed over the whole map
        class_map = keras.layers.Conv2D(
            num_labels, 1, use_bias=False, kernel_initializer="zeros", name="class_map"
        )(features)
        logits = AddBias(name="logits")(POOLING[settings.pooling](features, class_map))
    probability = keras.layers.Activation("sigmoid", dtype="float32", name="probability")(logits)
    model = keras.Model(image, probability, name=f"stenoscope_{backbone.name}")

    pretrained = settings.weights != "none"
    if pretrained:  # random weights are not worth keeping
        _freeze(used, settings.frozen_layers, settings.freeze_batch_norm)
    kept = [layer for layer in used if layer.weights] if pretrained else []
    model.stenoscope_start = {layer.name: layer.get_weights() for layer in kept}  # for `reset_weights`
    reset_weights(model, settings.seed)
    heatmap_layer(model, settings)  # a wrong name should fail now, not after the training
    return model


def _freeze(used: list[keras.layers.Layer], share: float, batch_norm: bool) -> None:
    """Make the first layers of the backbone, and its batch norm, keep their weights.

    A batch norm that is not trainable also uses its stored statistics while the rest trains.
    """
    for layer in used[: round(share * len(used))]:
        layer.trainable = False
    if batch_norm:
        for layer in used:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.trainable = False


def reset_weights(model: keras.Model, seed: int) -> None:
    """Set a model made by `build_classifier` back to its start, as a new one with `seed` would be.

    The backbone gets its pretrained weights again, every other weight is drawn anew from `seed`, the mean
    image is zero; if the model is compiled, the optimizer's moments and step counter are zero and metrics are
    reset. A learning rate that is a plain number stays as it is. What was traced stays traced. Each weight
    draws from its own stream, so adding a layer does not change the others.

    A SettingsError if the model was loaded from a file, which does not keep the start.
    """
    start = getattr(model, "stenoscope_start", None)
    if start is None:
        raise SettingsError(
            "A model that was loaded from a file has no start to go back to.",
            "a model made by build_classifier in this process",
            "build it again from the experiment's settings.",
        )
    for layer in model.layers:
        if layer.name in start:
            layer.set_weights(start[layer.name])
            continue
        for variable in layer.weights:
            variable.assign(_initial_value(layer, variable, seed))
    if model.compiled:
        for variable in model.optimizer.variables:  # a learning rate that is a plain number stays
            if variable.name != "learning_rate":
                variable.assign(np.zeros(variable.shape, variable.dtype))
        model.reset_metrics()


def _initial_value(layer, variable, seed: int):
    """What the layer's initializer gives this weight, drawn from the seed and the weight's name."""
    name = variable.name
    if isinstance(layer, keras.layers.DepthwiseConv2D) and name == "kernel":
        name = "depthwise"
    initializer = getattr(layer, f"{name}_initializer", None)
    if initializer is None:  # our own layers' biases, gains and mean image
        return np.zeros(variable.shape, variable.dtype)
    config = initializer.get_config()
    if "seed" in config:
        words = np.frombuffer(f"{layer.name}/{name}".encode(), np.uint8)
        config["seed"] = int(np.random.SeedSequence([seed, *words]).generate_state(1)[0])
    return type(initializer).from_config(config)(tuple(variable.shape), dtype=variable.dtype)


def set_mean_image(model: keras.Model, mean_image: np.ndarray) -> None:
    """Give a model built with `subtract_mean` the mean image of its training part; else a SettingsError.

    `mean_image` is float (rows, cols), grey levels 0..255; resized to the network's input by area, as the
    frames are.
    """
    layer = model.get_layer("standardize")
    if layer.mean_image is None:
        raise SettingsError(
            "The network has no mean image.", "subtract_mean: true", "leave the mean image out."
        )
    size = model.input.shape[1:3]
    mean_image = np.asarray(mean_image, np.float32)
    if mean_image.shape != size:
        mean_image = cv2.resize(mean_image, size[::-1], interpolation=cv2.INTER_AREA)
    layer.mean_image.assign(mean_image[..., None])


def split_at(model: keras.Model, layer: str) -> tuple[keras.Model, keras.Model]:
    """Split a classifier at a layer with a map as output, through which all of its information passes.

    Returns the front, from the image to the layer's output, and the head, from there to the logits. They
    share the model's weights. A SettingsError if there is no such layer, it has no positions, or a connection
    passes it by.
    """
    names = [item.name for item in model.layers]
    if layer not in names:
        raise unknown_name("layer for a heatmap", layer, names)
    output = model.get_layer(layer).output
    advice = "choose the last layer of a block (a name that ends in _add, _out, _concat or mixedN)."
    if len(output.shape) != 4 or "logits" not in names[names.index(layer) :]:
        raise SettingsError(
            f"The layer {layer!r} has no map for each image.", "a layer before the pooling", advice
        )
    try:
        return keras.Model(model.input, output), keras.Model(output, model.get_layer("logits").output)
    except ValueError as problem:
        raise SettingsError(
            f"A connection passes the layer {layer!r} by, so it does not hold the whole evidence.",
            "a layer that all others after it depend on",
            advice,
        ) from problem


def heatmap_layer(model: keras.Model, settings: TrainingSettings) -> str:
    """The layer of the gradient-based maps that the settings name, checked.

    ``auto`` is the backbone's own choice; where the backbone was cut before it, `last_whole_layer`. Raises
    SettingsError if the model has no such layer, or it can't be explained at.
    """
    if settings.heatmap_layer == "auto":
        name = get_backbone(settings.backbone).heatmap_layer
        return name if _holds_all(model, name) else last_whole_layer(model)
    split_at(model, settings.heatmap_layer)
    return settings.heatmap_layer


def last_whole_layer(model: keras.Model) -> str:
    """Name of the last layer before the attention (or class map) through which all information passes.

    It is the backbone's last layer, except with attention residual learning, which takes the last block
    apart.
    """
    names = [layer.name for layer in model.layers]
    before = names[: names.index("attention" if "attention" in names else "class_map")]
    return next(name for name in reversed(before) if _holds_all(model, name))


def _holds_all(model: keras.Model, layer: str) -> bool:
    """Whether the model has this layer, and all information passes it."""
    try:
        split_at(model, layer)
    except SettingsError:
        return False
    return True


def load_classifier(path: str | os.PathLike) -> keras.Model:
    """A classifier for prediction and explanation; WeightsError if the file is missing or holds none."""
    try:
        return read_model(path)
    except (OSError, ValueError, TypeError, KeyError) as problem:
        raise WeightsError(
            f"{path} can't be loaded as a model: {problem}",
            "a model.keras of an experiment",
            "run main.py again.",
        ) from problem
