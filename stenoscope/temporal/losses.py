"""Losses of the temporal network: actions, boundaries, and the contrast between foreground and background."""

from keras import ops

_ALPHA, _GAMMA = 0.25, 2.0  # Lin et al., "Focal loss for dense object detection", ICCV 2017
_TEMPERATURE = 0.2


def action_loss(target, answer):
    """Focal loss of the actions; distance-IoU loss and relative error of the boundaries; per clip.

    The target (batch, points, 5) holds the two actions (0 or 1), whether the point is no padding, and frames
    back to the first and on to the last frame (0 at points outside actions). The answer is (batch, points,
    4).
    """
    truth, seen, bounds = target[..., :2], target[..., 2], target[..., 3:]
    logits, offsets = answer[..., :2], answer[..., 2:]
    inside = seen * ops.max(truth, axis=-1)
    positives = ops.maximum(ops.sum(inside), 1.0) / ops.cast(ops.shape(target)[0], inside.dtype)
    score = ops.sigmoid(logits)
    right = truth * score + (1 - truth) * (1 - score)
    surprise = ops.softplus(logits) - truth * logits
    weight = truth * _ALPHA + (1 - truth) * (1 - _ALPHA)
    focal = ops.sum(seen[..., None] * weight * (1 - right) ** _GAMMA * surprise, axis=(1, 2))
    boundary = ops.sum(inside * (distance_iou(bounds, offsets) + relative_error(bounds, offsets)), axis=1)
    return (focal + boundary) / positives


def distance_iou(bounds, offsets):
    """1 - IoU + (distance of the centres / length of the hull)^2 of segments around the same point.

    Zheng et al., "Distance-IoU loss", AAAI 2020, in one dimension. Shapes (..., 2).
    """
    shared = ops.sum(ops.minimum(bounds, offsets), axis=-1)
    hull = ops.sum(ops.maximum(bounds, offsets), axis=-1) + 1e-6
    centre = 0.5 * ((offsets[..., 1] - offsets[..., 0]) - (bounds[..., 1] - bounds[..., 0]))
    return 1 - shared / hull + ops.square(centre / hull)


def relative_error(bounds, offsets):
    """Mean over both boundaries of |log((1 + offset) / (1 + true offset))|: near points must be exact."""
    return ops.mean(ops.abs(ops.log1p(offsets) - ops.log1p(bounds)), axis=-1)


def image_contrast(labels, frames):
    """Supervised contrast (Khosla et al., NeurIPS 2020) of foreground and background frames within a clip.

    Labels (batch, frames, 1): 1 foreground, 0 background, -1 padding. Frames (batch, frames, c): unit
    vectors.
    """
    labels = labels[..., 0]
    known = ops.cast(labels >= 0, frames.dtype)
    others = known[:, None, :] * (1 - ops.eye(ops.shape(labels)[1], dtype=frames.dtype))
    alike = ops.matmul(frames, ops.transpose(frames, (0, 2, 1))) / _TEMPERATURE - 1e4 * (1 - others)
    chance = alike - ops.logsumexp(alike, axis=-1, keepdims=True)
    same = others * known[:, :, None] * ops.cast(labels[:, :, None] == labels[:, None, :], frames.dtype)
    return -ops.sum(same * chance, axis=(1, 2)) / ops.maximum(ops.sum(same, axis=(1, 2)), 1.0)


def patch_contrast(labels, responses):
    """Binary cross-entropy of a frame's likeness to background patches; `labels` as of `image_contrast`."""
    labels, logits = labels[..., 0], responses[..., 0]
    known = ops.cast(labels >= 0, logits.dtype)
    background = ops.cast(labels == 0, logits.dtype)
    surprise = ops.softplus(logits) - background * logits
    return ops.sum(known * surprise, axis=1) / ops.maximum(ops.sum(known, axis=1), 1.0)
