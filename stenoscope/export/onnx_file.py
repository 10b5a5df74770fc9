"""ONNX files: written with Keras and tf2onnx, run with onnxruntime on the CPU."""

import logging
import os
import warnings
from collections.abc import Mapping

import keras
import numpy as np

from stenoscope.errors import SettingsError
from stenoscope.export.extras import extra
from stenoscope.learners.cnn_ensemble import OUTPUTS
from stenoscope.records import FRAME_SIZE

OPSET = 17
"""Version of the operators: onnxruntime 1.12 (2022) and later run it."""


def write_onnx(network: keras.Model, path: str | os.PathLike, properties: Mapping[str, str]) -> None:
    """Write a network of `ensemble_network` as an ONNX file, with `properties` in its metadata.

    A SettingsError if onnx or tf2onnx is not installed, or the Keras backend is not TensorFlow: the others
    fix the number of frames or need further packages.
    """
    onnx = extra("onnx")
    extra("tf2onnx")
    if keras.backend.backend() != "tensorflow":
        raise SettingsError(
            f"ONNX is not written with the Keras backend {keras.backend.backend()!r}.",
            "'tensorflow', which loads the models of every backend",
            "run the command with KERAS_BACKEND=tensorflow.",
        )
    logging.getLogger("tf2onnx").setLevel(logging.CRITICAL)  # tells of optimizations that it leaves out
    spec = keras.InputSpec(shape=(None, FRAME_SIZE, FRAME_SIZE), dtype="uint8", name="frames")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # Keras looks whether NumPy is older than 2
        network.export(str(path), format="onnx", verbose=False, input_signature=[spec], opset_version=OPSET)
    content = onnx.load(str(path))
    for value in (*content.graph.input, *content.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "n"
    onnx.helper.set_model_props(content, dict(properties))
    onnx.checker.check_model(content, full_check=True)
    onnx.save(content, str(path))


def run_onnx(path: str | os.PathLike, frames: np.ndarray) -> dict[str, np.ndarray]:
    """Outputs of a file of `write_onnx` by name, computed by onnxruntime on the CPU.

    Frames are uint8 (n, 512, 512). A SettingsError if onnxruntime is not installed.
    """
    session = extra("onnxruntime").InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return dict(zip(OUTPUTS, session.run(list(OUTPUTS), {"frames": frames}), strict=True))
