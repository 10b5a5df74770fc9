"""Losses, label smoothing and class weights for several labels, of which some may be unknown (NaN)."""

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable(package="stenoscope")
def masked_binary_crossentropy(labels, logits):
    """Binary cross-entropy from logits, float32 (batch, num_labels); a label NaN (unknown) adds nothing.

    Labels are 0 to 1, between them where they are smoothed. `sample_weights` makes the mean over the known
    labels of each row.
    """
    known = ops.logical_not(ops.isnan(labels))
    labels = ops.where(known, labels, 0.0)
    loss = labels * ops.softplus(-logits) + (1.0 - labels) * ops.softplus(logits)  # stable for any logit
    return ops.where(known, loss, 0.0)


@keras.saving.register_keras_serializable(package="stenoscope")
def cell_crossentropy(labels, logits):
    """Binary cross-entropy over the cells of class maps, positive and negative cells counting the same.

    Labels, float32 (batch, rows, cols, num_labels), are 0, 1 or NaN (unknown, adds nothing). Float32
    (batch,): mean over the positive cells plus mean over the negative cells of each image; 0 where none is
    known.
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
    """1 where the logit lies on its label's side of 0, else 0, float32 (batch, num_labels); 0 if unknown."""
    known = ops.cast(ops.logical_not(ops.isnan(labels)), "float32")
    return known * ops.cast(ops.equal(logits > 0, labels > 0.5), "float32")


def smooth(labels: np.ndarray, amount: float) -> np.ndarray:
    """Labels 0 and 1 as ``amount / 2`` and ``1 - amount / 2`` (Szegedy et al. 2016); NaN stays NaN."""
    return labels * np.float32(1 - amount) + np.float32(amount / 2)


def class_weights(labels: np.ndarray, balance: bool = True) -> np.ndarray:
    """Weights of the classes 0 and 1, float32 (2,), that make both count the same: n / (2 n_class).

    Labels, float32 (n,), are 0, 1 or NaN. Ones where a class has no member, or without `balance`.
    """
    counts = np.array([(labels == 0).sum(), (labels == 1).sum()])
    if not balance or not counts.all():
        return np.ones(2, np.float32)
    return (counts.sum() / (2 * counts)).astype(np.float32)


def sample_weights(labels: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weight of every label of every sample, for a loss that is averaged over samples and labels.

    Labels, float32 (n, num_labels), are 0, 1 or NaN; `weights`, float32 (num_labels, 2), those of the classes
    of each label. The label's class weight, times num_labels over the sample's known labels: a sample of
    which one label is known counts as much as one of which all are. 0 where the label is unknown.
    """
    known = ~np.isnan(labels)
    share = labels.shape[1] / np.maximum(known.sum(axis=1, keepdims=True), 1)
    chosen = weights[np.arange(labels.shape[1]), np.where(known, labels, 0).astype(int)]
    return (chosen * known * share).astype(np.float32)
