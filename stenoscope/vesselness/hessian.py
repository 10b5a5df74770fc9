"""Multi-scale Hessian filter for vessels: one scale for all images, and fast.

At each scale sigma the image is blurred by a Gaussian and its second derivatives are multiplied by sigma^2
(Lindeberg's normalisation [1]_), so that a bar answers alike whatever its width. With eigenvalues of the
normalised Hessian ``|l1| <= |l2|`` of a dark vessel (``l2 > 0``), the measures are

- ``ridge`` (Sato et al. [2]_, in 2-D): ``max(l2, 0)``, in grey levels and proportional to contrast;
- ``frangi`` (Frangi et al. [3]_, eq. 15):
  ``exp(-(l1/l2)^2 / (2 beta^2)) (1 - exp(-(l1^2 + l2^2) / (2 gamma^2)))``
  in 0..1, with a fixed `gamma` in grey levels, so that two images can be compared.

The result is the maximum over the scales.

References
----------
.. [1] T. Lindeberg, "Feature detection with automatic scale selection", IJCV 30 (1998) 79-116.
.. [2] Y. Sato et al., "Three-dimensional multi-scale line filter for segmentation and visualization of
   curvilinear structures in medical images", Med Image Anal 2 (1998) 143-168.
.. [3] A. Frangi et al., "Multiscale vessel enhancement filtering", MICCAI 1998, 130-137.
"""

import functools
import math
import threading
from collections.abc import Sequence

import cv2
import numpy as np

SIGMAS = (2.0, 3.0, 4.0, 5.0, 6.0)
"""Default scales in pixels: a bar of width w answers most at sigma = w / 2."""

MEASURES = ("ridge", "frangi")

# Finite differences smooth, too: [1, -2, 1] has the variance of a Gaussian of 1/6 px^2.
_DIFFERENCE_VARIANCE = 1 / 6
_TRUNCATE = 3.5  # radius of the Gaussian kernels, in sigmas


class VesselFilter:
    """The filter for images of one size, with its kernels made and its buffers allocated once.

    Blurs cascade (a Gaussian of sigma 3 is one of sigma 2 blurred by sqrt(3^2 - 2^2)), derivatives are 3 x 3
    finite differences, all in float32. Scales above `fine` are computed at half resolution.

    Parameters
    ----------
    shape : (int, int)
        Rows and columns of the images.
    sigmas : sequence of float
        Scales in pixels, each at least 0.5.
    measure : {'ridge', 'frangi'}
    gamma : float
        `frangi` only: grey levels of ``sqrt(l1^2 + l2^2)`` at which the response is 0.39 of its maximum.
    beta : float
        `frangi` only: how much a blob (``l1 = l2``) is suppressed.
    fine : float
        Scales above this many pixels are computed at half resolution; ``math.inf`` for none.

    Notes
    -----
    An instance reuses its buffers: it is not for several threads, and each result is a new array.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        sigmas: Sequence[float] = SIGMAS,
        measure: str = "ridge",
        gamma: float = 5.0,
        beta: float = 0.5,
        fine: float = 2.0,
    ):
        sigmas = sorted(float(sigma) for sigma in sigmas)
        if not sigmas or not all(0.5 <= sigma < math.inf for sigma in sigmas):
            raise ValueError(f"Expected scales of at least 0.5 px, received {sigmas}.")
        if measure not in MEASURES:
            raise ValueError(f"Expected one of the measures {MEASURES}, received {measure!r}.")
        if not (gamma > 0 and beta > 0):
            raise ValueError(f"Expected gamma and beta above 0, received {gamma} and {beta}.")
        self.shape = tuple(int(size) for size in shape)
        if len(self.shape) != 2 or min(self.shape) < 1:
            raise ValueError(f"Expected a shape (rows, cols), received {shape}.")
        measure_of = _Ridge() if measure == "ridge" else _Frangi(gamma, beta)
        # The margin is even at the start, so that halving keeps the grid, and makes the sum even at the end.
        margin = 2 * math.ceil(sigmas[-1])
        self._margins = [
            (min(margin, (n - 1) // 2 * 2), min(margin, (n - 1) // 2 * 2) + n % 2) for n in self.shape
        ]
        padded = tuple(
            n + before + after for n, (before, after) in zip(self.shape, self._margins, strict=True)
        )
        self._padded = np.zeros(padded, np.float32)
        self._inside = tuple(slice(m[0], m[0] + n) for n, m in zip(self.shape, self._margins, strict=True))
        half = (padded[0] // 2, padded[1] // 2)
        self._full = _Scales(padded, [s for s in sigmas if s <= fine], 1, measure_of)
        self._half = _Scales(half, [s for s in sigmas if s > fine], 2, measure_of)

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Filter one image of any real dtype, (rows, cols), to float32 of the same shape.

        At least 0. `ridge`: grey levels; `frangi`: at most 1.
        """
        image = np.asarray(image)
        if image.shape != self.shape:
            raise ValueError(f"Expected an image of shape {self.shape}, received {image.shape}.")
        self._padded[self._inside] = image
        self._extrapolate()
        fine = self._full(self._padded)
        if not self._half.blurs:
            return fine[self._inside].copy()
        rows, cols = self._half.shape
        half = cv2.resize(self._padded, (cols, rows), interpolation=cv2.INTER_AREA)
        coarse = cv2.resize(self._half(half), self._padded.shape[::-1], interpolation=cv2.INTER_LINEAR)
        if fine is not None:
            cv2.max(coarse, fine, dst=coarse)
        return coarse[self._inside].copy()

    def _extrapolate(self) -> None:
        """Fill the margins by odd reflection: a shading that runs over the border gets no crease there."""
        for view, (before, after), n in zip(
            (self._padded, self._padded.T), self._margins, self.shape, strict=True
        ):
            last = before + n - 1
            if before:
                np.subtract(2 * view[before], view[2 * before : before : -1], out=view[:before])
            if n > after:
                np.subtract(2 * view[last], view[last - after : last][::-1], out=view[last + 1 :])
            else:
                view[last + 1 :] = view[last]


def vesselness(
    image: np.ndarray,
    sigmas: Sequence[float] = SIGMAS,
    measure: str = "ridge",
    gamma: float = 5.0,
    beta: float = 0.5,
    fine: float = 2.0,
) -> np.ndarray:
    """Vesselness of one image, float32 (rows, cols); see `VesselFilter` for the parameters.

    >>> image = np.full((64, 64), 100.0)
    >>> image[:, 30:36] = 60.0  # a dark bar, 6 px wide and 40 grey levels deep
    >>> response = vesselness(image)
    >>> bool(response[32, 32] > 15), bool(response[32, 5] < 0.5)
    (True, True)
    """
    image = np.asarray(image)
    if image.ndim != 2:
        raise ValueError(f"Expected an image (rows, cols), received shape {image.shape}.")
    settings = (image.shape, tuple(sigmas), measure, gamma, beta, fine)
    return _cached_filter(threading.get_ident(), *settings)(image)


@functools.lru_cache(maxsize=8)
def _cached_filter(_thread: int, *settings) -> VesselFilter:
    """One filter per thread, because a filter reuses its buffers."""
    return VesselFilter(*settings)


class _Scales:
    """Maximum of the measure over scales at one resolution (pixels of `step` image pixels)."""

    def __init__(self, shape, sigmas, step: int, measure):
        self.shape, self.measure = shape, measure
        self.blurs, self.derivatives = [], []
        # Halving by area has already blurred: the mean of two pixels has a variance of 1/4 px^2.
        reached = 0.25 / step**2 if step == 2 else 0.0
        for sigma in sigmas:
            target = (sigma / step) ** 2 - _DIFFERENCE_VARIANCE
            self.blurs.append(_gaussian_kernel(target - reached))
            reached = max(target, reached)
            self.derivatives.append(_derivative_kernels((sigma / step) ** 2))
        self.buffers = [np.empty(shape, np.float32) for _ in range(7)] if sigmas else []

    def __call__(self, image: np.ndarray) -> np.ndarray | None:
        if not self.blurs:
            return None
        blurred, other, mean, difference, mixed, response, best = self.buffers
        source = image
        for index, (kernel, kernels) in enumerate(zip(self.blurs, self.derivatives, strict=True)):
            cv2.sepFilter2D(source, cv2.CV_32F, kernel, kernel, dst=blurred, borderType=cv2.BORDER_REPLICATE)
            source, blurred, other = blurred, other, blurred
            for target, stencil in zip((mean, difference, mixed), kernels, strict=True):
                cv2.filter2D(source, cv2.CV_32F, stencil, dst=target, borderType=cv2.BORDER_REPLICATE)
            _add_squares(difference, mixed)
            np.sqrt(difference, out=difference)
            self.measure(mean, difference, mixed, response)
            if index == 0:
                cv2.max(response, 0.0, dst=best)
            else:
                cv2.max(response, best, dst=best)
        return best


class _Ridge:
    """The larger eigenvalue: mean + radius."""

    def __call__(self, mean, radius, _scratch, out):
        cv2.add(mean, radius, dst=out)


class _Frangi:
    """Frangi's measure from the eigenvalues mean + radius (l2) and mean - radius (l1), where l2 > 0."""

    def __init__(self, gamma: float, beta: float):
        self.blob, self.structure = -0.5 / beta**2, -1.0 / gamma**2

    def __call__(self, mean, radius, scratch, out):
        # l1^2 + l2^2 = 2 (mean^2 + radius^2), so the exponent is -(mean^2 + radius^2) / gamma^2
        np.multiply(mean, mean, out=out)
        np.multiply(radius, radius, out=scratch)
        np.add(out, scratch, out=out)
        cv2.exp(out * np.float32(self.structure), dst=out)
        np.subtract(1.0, out, out=out)
        cv2.add(mean, radius, dst=scratch)  # l2
        np.subtract(mean, radius, out=radius)  # l1
        dark = mean > 0  # |l2| is the larger one exactly where the mean is positive
        np.divide(radius, scratch, out=radius, where=dark)
        np.multiply(radius, radius, out=radius)
        cv2.exp(radius * np.float32(self.blob), dst=scratch)
        np.multiply(out, scratch, out=out)
        np.multiply(out, dark, out=out)


def _add_squares(first: np.ndarray, second: np.ndarray) -> None:
    """Make `first` the sum of both squares; `second` is used up.

    Not `cv2.magnitude`: its last bit depends on where the arrays lie in memory, which no run repeats.
    """
    np.multiply(first, first, out=first)
    np.multiply(second, second, out=second)
    np.add(first, second, out=first)


def _gaussian_kernel(variance: float) -> np.ndarray:
    """Sampled Gaussian of unit sum; a single 1 where there is nothing to blur."""
    if variance <= 0:
        return np.ones(1, np.float32)
    radius = max(1, math.ceil(_TRUNCATE * math.sqrt(variance)))
    kernel = np.exp(-0.5 * np.arange(-radius, radius + 1) ** 2 / variance)
    return (kernel / kernel.sum()).astype(np.float32)


def _derivative_kernels(scale: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Stencils of (Ixx + Iyy) / 2, (Ixx - Iyy) / 2 and Ixy, times `scale`.

    The second difference is smoothed across by [1, 10, 1] / 12, which gives it the same blur (1/6 px^2) in
    both directions: the filter answers alike whatever the direction of a vessel.
    """
    xx = np.outer([1.0, 10.0, 1.0], [1.0, -2.0, 1.0]) / 12
    xy = np.outer([-1.0, 0.0, 1.0], [-1.0, 0.0, 1.0]) / 4
    kernels = ((xx + xx.T) / 2, (xx - xx.T) / 2, xy)
    return tuple((kernel * scale).astype(np.float32) for kernel in kernels)
