"""Morphological contrast: what is thinner than a disk and darker or brighter than its surroundings."""

import functools

import cv2
import numpy as np


def enhance_contrast(image: np.ndarray, radius: int = 10) -> np.ndarray:
    """Top-hat contrast enhancement of Moon et al. 2021: bright details brighter, dark details darker.

    ``image + white_tophat - min(black_tophat, image)``, summed in a signed type: in uint8 the sum wraps
    around on bright pixels. Clipping the black top-hat to the image keeps the result from going below 0.
    Takes uint8 (rows, cols) and the radius of the disk in pixels, returns int16, 0 to 510.

    Moon et al., "Automatic stenosis recognition from coronary angiography using convolutional neural
    networks", Comput Methods Programs Biomed 198 (2021) 105819.
    """
    image = _require_uint8(image)
    white = cv2.morphologyEx(image, cv2.MORPH_TOPHAT, disk(radius))
    black = cv2.min(cv2.morphologyEx(image, cv2.MORPH_BLACKHAT, disk(radius)), image)
    return image.astype(np.int16) + white - black


def black_tophat(image: np.ndarray, radius: int = 10) -> np.ndarray:
    """Closing minus image: dark structures thinner than the disk, on a background of zero.

    `image` is uint8 (rows, cols), and so is the result; `radius`, in pixels, is half the width of the widest
    vessel to keep.
    """
    return cv2.morphologyEx(_require_uint8(image), cv2.MORPH_BLACKHAT, disk(radius))


@functools.cache
def disk(radius: int) -> np.ndarray:
    """Footprint of the pixels within `radius` of the centre; uint8, shape (2 radius + 1, 2 radius + 1)."""
    steps = np.arange(-radius, radius + 1)
    return (steps[:, None] ** 2 + steps**2 <= radius**2).astype(np.uint8)


def _require_uint8(image: np.ndarray) -> np.ndarray:
    image = np.asarray(image)
    if image.ndim != 2 or image.dtype != np.uint8:
        raise ValueError(f"Expected a uint8 image (rows, cols), received {image.dtype} {image.shape}.")
    return image
