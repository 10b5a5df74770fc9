"""Occlusion: how much of the logit goes when a place is covered."""

import cv2
import keras
import numpy as np

from stenoscope.heatmaps.cam import part_of

PLACES = 16
"""Places per side that are covered, one after the other."""

PATCH = 2 / PLACES
"""Side of the patch as a share of the image: neighbouring patches overlap by half."""

_BATCH_SIZE = 64


def occlusion(model: keras.Model, images: np.ndarray, label: int = 0) -> np.ndarray:
    """Drop of the logit when a place is covered by the image's local mean; float32 (n, 16, 16).

    Positive where what was covered spoke for the label. A grey patch, as in Zeiler MD, Fergus R. Visualizing
    and Understanding Convolutional Networks. ECCV 2014, section 4.2, would put a contour of its own into an
    angiogram; here each pixel of the patch becomes the mean of a window of twice the patch's size around it.
    Nothing but the logit is needed of the network, so the map holds for any network; it costs 256 passes an
    image. Parameters are those of `evidence`.
    """
    scorer = part_of(model, "logits", lambda: keras.Model(model.input, model.get_layer("logits").output))
    maps = np.zeros((len(images), PLACES, PLACES), np.float32)
    for image, found in zip(images, maps, strict=True):
        corners = patch_corners(image.shape[0])
        side = 2 * round(PATCH * image.shape[0]) + 1
        mean = cv2.blur(image[..., 0], (side, side), borderType=cv2.BORDER_REPLICATE)
        shown = _scores(scorer, image[None], label)[0]
        for first in range(0, len(corners), _BATCH_SIZE):
            some = corners[first : first + _BATCH_SIZE]
            covered = np.repeat(image[None], len(some), axis=0)
            for copy, (top, bottom, left, right) in zip(covered, some, strict=True):
                copy[top:bottom, left:right, 0] = mean[top:bottom, left:right]
            found.reshape(-1)[first : first + len(some)] = shown - _scores(scorer, covered, label)
    return maps


def patch_corners(size: int) -> np.ndarray:
    """Patches in an image of `size` rows and columns: top, bottom, left, right, int64 (256, 4), row by row.

    Each is centred on a cell of the map and cut off at the image's border.
    """
    centres = (np.arange(PLACES) + 0.5) * size / PLACES
    half = PATCH * size / 2
    low = np.clip(np.round(centres - half), 0, size).astype(np.int64)
    high = np.clip(np.round(centres + half), 0, size).astype(np.int64)
    rows, cols = (axis.ravel() for axis in np.mgrid[:PLACES, :PLACES])
    return np.stack([low[rows], high[rows], low[cols], high[cols]], axis=1)


def _scores(scorer: keras.Model, images: np.ndarray, label: int) -> np.ndarray:
    return np.asarray(scorer.predict_on_batch(images))[:, label]
