import numpy as np
import pytest

from stenoscope.phantom.streams import STREAMS, smooth_noise, stream


def test_a_stream_depends_on_its_whole_address():
    draws = {
        (name, patient, clip): stream(7, name, patient, clip).random()
        for name in STREAMS
        for patient in (0, 1)
        for clip in (None, 0, 1)
    }
    assert len(set(draws.values())) == len(draws)
    assert stream(8, "tree", 0, 0).random() != draws["tree", 0, 0]
    assert stream(7, "tree", 0, 0).random() == draws["tree", 0, 0]


def test_unknown_stream_is_refused():
    with pytest.raises(ValueError):
        stream(7, "label", 0)


def test_smooth_noise_has_unit_variance_and_the_asked_correlation():
    noise = smooth_noise(np.random.default_rng(0), 200_000, 10.0)[:, 0]
    assert noise.std() == pytest.approx(1.0, abs=0.03)
    # White noise after a Gaussian of width c has the autocorrelation exp(-lag^2 / (4 c^2)).
    assert np.mean(noise[10:] * noise[:-10]) == pytest.approx(np.exp(-0.25), abs=0.03)
