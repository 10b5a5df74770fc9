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
    weight = ops.cast(ops.logical_not(ops.isnan(labels)), "float32")
    loss = ops.softplus(ops.where(labels > 0.5, -logits, logits))  # stable for any logit
    return ops.sum(loss * weight, axis=-1) / ops.maximum(ops.sum(weight, axis=-1), 1.0)


@keras.saving.register_keras_serializable(package="stenoscope")
def cell_crossentropy(labels, logits):
    """Binary cross-entropy over the cells of class maps, positive and negative cells counting the same.

    Parameters
    ----------
    labels : tensor, float32, shape (batch, rows, cols, num_labels)
        0, 1 or NaN (unknown, adds nothing).
    logits : tensor, float32, same shape

    Returns
    -------
    tensor, float32, shape (batch,)
        Mean over the positive cells plus mean over the negative cells of each image; 0 where none is known.
    """
    loss = ops.softplus(ops.where(labels > 0.5, -logits, logits))
    total = 0.0
    for value in (0.0, 1.0):
        member = ops.cast(ops.equal(labels, value), "float32")
        count = ops.maximum(ops.sum(member, axis=(1, 2, 3)), 1.0)
        total = total + ops.sum(loss * member, axis=(1, 2, 3)) / count
    return total


@keras.saving.register_keras_serializable(package="stenoscope")
def masked_accuracy(labels, logits):
    """Share of the known labels of each row on whose side of 0 the logit lies, float32 (batch,)."""
    known = ops.cast(ops.logical_not(ops.isnan(labels)), "float32")
    right = ops.cast(ops.equal(logits > 0, labels > 0.5), "float32")
    return ops.sum(right * known, axis=-1) / ops.maximum(ops.sum(known, axis=-1), 1.0)


def class_weights(labels: np.ndarray, balance: bool = True) -> np.ndarray:
    """Weights of the classes 0 and 1 that make both count the same: n / (2 n_class).

    Parameters
    ----------
    labels : ndarray, float32, shape (n,)
        0, 1 or NaN.
    balance : bool
        False: both weigh 1.

    Returns
    -------
    ndarray, float32, shape (2,)
        Ones where a class has no member.
    """
    counts = np.array([(labels == 0).sum(), (labels == 1).sum()])
    if not balance or not counts.all():
        return np.ones(2, np.float32)
    return (counts.sum() / (2 * counts)).astype(np.float32)
