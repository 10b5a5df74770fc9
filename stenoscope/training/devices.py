"""Where the tensors live: accelerators, and several of them sharing each batch."""

import contextlib
from collections.abc import Callable
from contextlib import AbstractContextManager

import keras

from stenoscope.errors import SettingsError


def accelerated() -> bool:
    """Whether the tensor library computes on an accelerator."""
    if keras.backend.backend() == "torch":
        import torch

        return torch.cuda.is_available()
    return not all(name.startswith("cpu") for name in keras.distribution.list_devices())


def sharing(devices: int, batch_size: int) -> Callable[[], AbstractContextManager]:
    """How `devices` devices share each batch: TensorFlow's MirroredStrategy or Keras' DataParallel with JAX.

    Returns what makes a context in which models are built, trained and reset. Devices are accelerators, or
    CPU devices where there is none; 1 shares nothing. Each holds all weights and takes an equal part of every
    batch; the gradient is that of the whole batch, so one device and several differ by rounding only (batch
    norm that is trained sees its own device's part). A SettingsError if there are fewer devices, the batch
    can't be shared equally, or the library can't share it.
    """
    if devices == 1:
        return contextlib.nullcontext
    backend = keras.backend.backend()
    if backend not in ("tensorflow", "jax"):
        raise SettingsError(
            f"devices is {devices}, and {backend} can't share a batch here.",
            "one device, or TensorFlow or JAX",
            "set KERAS_BACKEND=jax or tensorflow, or leave devices at 1.",
        )
    names = keras.distribution.list_devices()
    if len(names) < devices:
        raise SettingsError(
            f"devices is {devices}, and {backend} sees {len(names)} ({', '.join(names)}).",
            "at most as many as there are",
            f"set devices to {len(names)}, or make the others visible (CUDA_VISIBLE_DEVICES).",
        )
    if batch_size % devices:
        raise SettingsError(
            f"batch_size {batch_size} can't be shared equally by {devices} devices.",
            f"a multiple of {devices}",
            f"set batch_size to {-(-batch_size // devices) * devices}.",
        )
    if backend == "tensorflow":
        import tensorflow as tf

        return tf.distribute.MirroredStrategy(names[:devices]).scope
    return keras.distribution.DataParallel(devices=names[:devices], auto_shard_dataset=False).scope
