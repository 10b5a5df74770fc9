"""From attenuation to grey levels: Beer-Lambert, scatter, exposure control, quantum noise, collimator."""

from dataclasses import dataclass

import cv2
import numpy as np

IODINE_PER_MM = 0.19
"""Attenuation of plateau contrast, per mm of lumen: 370 mg/ml iodine at 75 kV behind 20 cm of tissue."""


@dataclass(frozen=True)
class Detector:
    """Image chain of one clip; grey levels are 0 to 255, lengths are pixels."""

    target: float  # grey level that the exposure control gives the mean of the field
    gamma: float  # exponent of the display curve applied to the intensity
    scatter: float  # scattered over primary intensity: lowers the contrast
    photons: float  # mean number of quanta per pixel; their Poisson noise is drawn as a normal deviate
    blur: float  # standard deviation of the detector's point spread
    grain: float  # standard deviation of the noise's correlation
    # left, top, right, bottom of the collimated field (right and bottom exclusive)
    field: tuple[int, int, int, int]
    penumbra: float  # softness of the collimator's edge
    shutter: float  # grey level behind the collimator
    octagon: bool  # whether the corners are cut, as by an image intensifier's round input

    def aperture(self, size: int) -> np.ndarray:
        """Transmission of the collimator, float32, shape (size, size), 0 to 1."""
        left, top, right, bottom = self.field
        rows = np.arange(size, dtype=np.float32)
        open_x = _gate((rows - left + 0.5) / self.penumbra) * _gate((right - 0.5 - rows) / self.penumbra)
        open_y = _gate((rows - top + 0.5) / self.penumbra) * _gate((bottom - 0.5 - rows) / self.penumbra)
        aperture = open_y[:, None] * open_x[None]
        if self.octagon:
            x, y = np.abs(rows - 0.5 * (left + right - 1)), np.abs(rows - 0.5 * (top + bottom - 1))
            reach = 0.5 * (min(right - left, bottom - top)) * 1.52
            aperture = aperture * _gate((reach - x[None] - y[:, None]) / self.penumbra)
        return aperture.astype(np.float32)

    def exposure(self, attenuation: np.ndarray) -> float:
        """Mean intensity of a frame within the field, which the exposure control holds for the whole clip."""
        left, top, right, bottom = self.field
        return float(self.intensity(attenuation)[top:bottom, left:right].mean())

    def intensity(self, attenuation: np.ndarray) -> np.ndarray:
        """Beer-Lambert law ``exp(-mu d)`` plus scatter, relative to the open beam, float32.

        Scatter is the primary image blurred by a tenth of its width, times `scatter`; the sum is divided by
        ``1 + scatter``.
        """
        primary = np.exp(-attenuation)
        small = cv2.resize(primary, None, fx=0.125, fy=0.125, interpolation=cv2.INTER_AREA)
        haze = cv2.GaussianBlur(small, (0, 0), 0.0125 * primary.shape[0])
        haze = cv2.resize(haze, primary.shape[::-1], interpolation=cv2.INTER_LINEAR)
        return (primary + self.scatter * haze) / (1 + self.scatter)

    def expose(self, attenuation, aperture, exposure: float, rng: np.random.Generator | None) -> np.ndarray:
        """Grey levels of one frame, float32, 0 to 255, without rounding; no noise if `rng` is None."""
        signal = self.intensity(attenuation) / exposure
        if rng is not None:
            noise = rng.standard_normal(signal.shape, np.float32)
            if self.grain > 0:
                noise = cv2.GaussianBlur(noise, (0, 0), self.grain) * (2 * np.sqrt(np.pi) * self.grain)
            signal = signal + noise * np.sqrt(signal / self.photons)
        level = self.target * np.maximum(signal, 1e-3) ** self.gamma
        return np.clip(aperture * (level - self.shutter) + self.shutter, 0, 255)


def draw_detector(rng: np.random.Generator, size: int) -> Detector:
    """Draw the image chain of a clip; the noise is 1.2 to 4.5 grey levels at the mean, as on real frames."""
    target, gamma = rng.uniform(100, 140), rng.uniform(0.6, 1.0)
    grain = rng.uniform(0.35, 0.75)
    noise = np.clip(np.exp(rng.normal(np.log(2.2), 0.35)), 1.2, 4.5)
    border = [int(rng.integers(10, 52)) if rng.random() < 0.22 else int(rng.integers(0, 9)) for _ in range(4)]
    border = [round(width * size / 512) for width in border]
    return Detector(
        target=target,
        gamma=gamma,
        scatter=rng.uniform(0.15, 0.5),
        photons=float((target * gamma / noise) ** 2),
        blur=rng.uniform(0.7, 1.05),
        grain=grain,
        field=(border[0], border[1], size - border[2], size - border[3]),
        penumbra=float(np.exp(rng.uniform(np.log(1.5), np.log(8.0)))) * size / 512,
        shutter=rng.uniform(8, 70),
        octagon=bool(rng.random() < 0.1),
    )


def _gate(x: np.ndarray) -> np.ndarray:
    return 0.5 + 0.5 * np.tanh(x)
