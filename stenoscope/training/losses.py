"""Losses and class weights for binary labels of which some may be unknown."""

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable(package="stenoscope")
def masked_binary_crossentropy(labels, logits):
    """Binary cross-entropy from logits; a label NaN (unknown) adds nothing.

    Parameters
    ----------
    labels : tensor, float32, shape (batch, num_labels)
        0, 1 or NaN.
    logits : tensor, float32, shape (batch, num_labels)

    Returns
    -------
    tensor, float32, shape (batch,)
        Mean over the known labels of each row, 0 where none is known.
    """
    known = ops.logical_not(ops.isnan(labels))
    weight = ops.cast(known, "float32")
    target = ops.where(known, labels, 0.0)
    # log(1 + exp(-|x|)) + max(x, 0) - x y, which neither overflows nor loses small values
    loss = ops.log1p(ops.exp(-ops.abs(logits))) + ops.maximum(logits, 0.0) - logits * target
    return ops.sum(loss * weight, axis=-1) / ops.maximum(ops.sum(weight, axis=-1), 1.0)


@keras.saving.register_keras_serializable(package="stenoscope")
def masked_accuracy(labels, logits):
    """Share of the known labels of each row on whose side of 0 the logit lies, float32 (batch,)."""
    known = ops.cast(ops.logical_not(ops.isnan(labels)), "float32")
    right = ops.cast(ops.equal(logits > 0, labels > 0.5), "float32")
    return ops.sum(right * known, axis=-1) / ops.maximum(ops.sum(known, axis=-1), 1.0)


def class_weights(labels: np.ndarray) -> np.ndarray:
    """Weights of the classes 0 and 1 that make both count the same: n / (2 n_class).

    Parameters
    ----------
    labels : ndarray, float32, shape (n,)
        0, 1 or NaN.

    Returns
    -------
    ndarray, float32, shape (2,)
        A class without a member has weight 1.
    """
    counts = np.array([(labels == 0).sum(), (labels == 1).sum()])
    return np.where(counts > 0, counts.sum() / (2 * np.maximum(counts, 1)), 1.0).astype(np.float32)
