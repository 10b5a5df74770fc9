from dataclasses import replace

import numpy as np
import pytest

from stenoscope.phantom.detector import IODINE_PER_MM, Detector, draw_detector
from stenoscope.phantom.streams import stream

PLAIN = Detector(target=100.0, gamma=1.0, scatter=0.0, photons=2500.0, blur=0.8, grain=0.0,
                 field=(0, 0, 128, 128), penumbra=1e-3, shutter=20.0, octagon=False)  # fmt: skip


def test_beer_lambert_by_hand():
    # 3 mm of plateau contrast: exp(-0.19 * 3) = exp(-0.57) = 0.5655
    thickness = np.zeros((128, 128), np.float32)
    thickness[:, 64] = 3.0
    intensity = PLAIN.intensity(IODINE_PER_MM * thickness)
    assert intensity[10, 64] == pytest.approx(0.5655, abs=1e-4)
    assert intensity[10, 10] == 1.0


def test_scatter_adds_haze_and_lowers_contrast_by_hand():
    # Far from any scatterer a small dark spot gets (0.5 + s) / (1 + s): with s = 0.25, 0.6.
    attenuation = np.zeros((512, 512), np.float32)
    attenuation[256, 256] = np.log(2)
    assert replace(PLAIN, scatter=0.25).intensity(attenuation)[256, 256] == pytest.approx(0.6, abs=1e-3)


def test_exposure_control_puts_the_mean_on_the_target():
    attenuation = np.random.default_rng(0).uniform(0, 1, (128, 128)).astype(np.float32)
    frame = PLAIN.expose(attenuation, np.ones((128, 128), np.float32), PLAIN.exposure(attenuation), None)
    assert frame.mean() == pytest.approx(100.0, rel=1e-3)


@pytest.mark.parametrize("grain", [0.0, 0.6])
def test_noise_is_that_of_the_quanta(grain):
    # 2500 quanta: 2 per cent, 2 grey levels at 100; half the intensity: sqrt(0.5) of that.
    camera = replace(PLAIN, grain=grain, field=(0, 0, 400, 400))
    flat = np.zeros((400, 400), np.float32)
    open_field = np.ones_like(flat)
    bright = camera.expose(flat, open_field, 1.0, np.random.default_rng(1))
    dark = camera.expose(flat + np.float32(np.log(2)), open_field, 1.0, np.random.default_rng(2))
    assert bright.std() == pytest.approx(2.0, rel=0.06 if grain == 0 else 0.15)
    assert dark.std() / bright.std() == pytest.approx(np.sqrt(0.5), rel=0.02)


def test_collimator_hides_what_is_outside():
    camera = replace(PLAIN, field=(20, 10, 100, 120), penumbra=0.5)
    aperture = camera.aperture(128)
    frame = camera.expose(np.zeros((128, 128), np.float32), aperture, 1.0, None)
    assert frame[:5] == pytest.approx(20.0) and frame[:, 110:] == pytest.approx(20.0)
    assert frame[20:110, 30:90] == pytest.approx(100.0)
    octagon = replace(camera, octagon=True).aperture(128)
    assert octagon[60, 60] == pytest.approx(1.0) and octagon[11, 21] < 0.01 < aperture[11, 21]


def test_drawn_detectors_have_realistic_noise_and_fields():
    drawn = [draw_detector(stream(7, "detector", k, 0), 512) for k in range(200)]
    noise = np.array([d.target * d.gamma / np.sqrt(d.photons) for d in drawn])
    assert noise.min() >= 1.2 - 1e-9 and noise.max() <= 4.5 + 1e-9 and 1.8 < np.median(noise) < 2.6
    assert all(d.field[2] - d.field[0] > 400 and d.field[3] - d.field[1] > 400 for d in drawn)
