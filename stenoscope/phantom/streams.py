"""Independent random streams, addressed by name, so that no draw depends on another part's draws."""

import numpy as np
from scipy.ndimage import gaussian_filter1d

STREAMS = ("plan", "heart", "tree", "view", "calibre", "bolus", "motion", "thorax", "devices", "detector",
           "noise", "header", "lesion", "format")  # fmt: skip
"""Order is part of the format: a new stream goes to the end, or every cohort changes."""


def stream(seed: int, name: str, patient: int, clip: int | None = None) -> np.random.Generator:
    """Generator of one part of one clip, or of what all clips of a patient share, with ``clip=None``.

    The same key gives the same numbers whatever else was drawn, on whichever worker, in a cohort of any size.
    `name` is one of `STREAMS`; patients and their clips count from 0.
    """
    key = (STREAMS.index(name), patient) if clip is None else (STREAMS.index(name), patient, clip)
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=key)))


def smooth_noise(rng: np.random.Generator, length: int, correlation: float, columns: int = 1) -> np.ndarray:
    """Gaussian noise of unit variance, float64 (length, columns), correlated along axis 0.

    `correlation` is the standard deviation of the Gaussian kernel, in samples; columns are independent.
    """
    pad = int(4 * correlation) + 1
    white = rng.standard_normal((length + 2 * pad, columns))
    series = gaussian_filter1d(white, correlation, axis=0)[pad : pad + length]
    # The variance of white noise after a Gaussian kernel of width c is 1 / (2 sqrt(pi) c).
    return series * np.sqrt(2 * np.sqrt(np.pi) * max(correlation, 0.3))
