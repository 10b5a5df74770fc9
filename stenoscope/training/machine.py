"""Threads, seeds and determinism of the tensor library, given deliberately and before its first use."""

import os

from stenoscope.executors import available_cores


def prepare(threads: int, seed: int) -> int:
    """Set the threads and all seeds; call before any tensor is made.

    Parameters
    ----------
    threads : int
        Threads of the tensor library; 0 = one per available core.
    seed : int
        Seeds Python, NumPy and the tensor library; with TensorFlow also asks for deterministic kernels, so
        that the same seed on the same machine gives the same predictions.

    Returns
    -------
    int
        The number of threads in use.
    """
    threads = threads or available_cores()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    # oneDNN picks other kernels by thread count and rounds differently on other processors.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    import cv2
    import keras

    cv2.setNumThreads(1)
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        try:
            tf.config.threading.set_intra_op_parallelism_threads(threads)
            tf.config.threading.set_inter_op_parallelism_threads(min(threads, 2))
        except RuntimeError:  # the library runs already, as in a notebook: its threads stay as they are
            threads = tf.config.threading.get_intra_op_parallelism_threads() or available_cores()
        tf.config.experimental.enable_op_determinism()
    elif backend == "torch":
        import torch

        torch.set_num_threads(threads)
    keras.utils.set_random_seed(seed)
    return threads
