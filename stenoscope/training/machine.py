"""Threads, seeds and determinism of the tensor library, given deliberately and before its first use."""

import contextlib
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from stenoscope.run.executors import available_cores


def prepare(threads: int, seed: int, deterministic: bool = True) -> str:
    """Import the tensor library quietly, set its threads and all seeds; call before any tensor is made.

    `threads` 0 is one per available core. `deterministic` asks TensorFlow for deterministic kernels for the
    rest of the process, so that the same seed on the same machine gives the same predictions. Returns where
    it will compute, for the user: library, devices and threads.
    """
    threads = threads or available_cores()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # errors reach Python as exceptions
    with _quiet():
        import cv2
        import keras

        cv2.setNumThreads(1)
        backend = keras.backend.backend()
        devices = "CPU"
        if backend == "tensorflow":
            import tensorflow as tf

            try:
                tf.config.threading.set_intra_op_parallelism_threads(threads)
                tf.config.threading.set_inter_op_parallelism_threads(min(threads, 2))
            except RuntimeError:  # the library runs already, as in a notebook: its threads stay as they are
                threads = tf.config.threading.get_intra_op_parallelism_threads() or available_cores()
            if deterministic:
                tf.config.experimental.enable_op_determinism()
            tf.get_logger().setLevel("ERROR")  # its advice on retracing is for developers
            graphics = len(tf.config.list_physical_devices("GPU"))
            devices = f"{graphics} GPU" if graphics else "CPU"
        elif backend == "torch":
            import torch

            torch.set_num_threads(threads)
        keras.utils.set_random_seed(seed)
    return f"{backend} on {devices}, {threads} threads"


def keras_backend() -> str:
    """Library that Keras computes with (KERAS_BACKEND, else its own configuration), without importing it."""
    named = os.environ.get("KERAS_BACKEND")
    if named:
        return named
    home = Path(os.environ.get("KERAS_HOME") or Path("~/.keras").expanduser())
    try:
        return str(json.loads((home / "keras.json").read_text(encoding="utf-8"))["backend"])
    except (OSError, ValueError, KeyError, TypeError):
        return "tensorflow"


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep what native code prints to stderr while it starts; show it if the start fails.

    TensorFlow announces its build options and the GPUs that it does not find, past every log level.
    """
    sys.stderr.flush()
    with tempfile.TemporaryFile() as kept:
        before = os.dup(2)
        os.dup2(kept.fileno(), 2)
        try:
            yield
        except BaseException:
            kept.seek(0)
            os.write(before, kept.read())
            raise
        finally:
            os.dup2(before, 2)
            os.close(before)
