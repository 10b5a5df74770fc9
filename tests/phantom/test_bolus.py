import numpy as np
import pytest

from stenoscope.phantom import bolus
from stenoscope.phantom.streams import stream

STEADY = bolus.Bolus(start=0.5, stop=4.0, speed=100, strength=1.0, pulsation=0.0, pulse_period=0.8,
                     pulse_phase=0.0, blush=0.5)  # fmt: skip


@pytest.mark.parametrize("artery", ["RCA", "LCA"])
def test_contrast_arrives_in_the_order_of_path_length(scenes, artery):
    tree = scenes[artery].tree
    arrival = bolus.arrival_times(tree, 120.0)
    for vessel in range(len(tree.names)):
        where = np.flatnonzero(tree.vessel == vessel)
        assert np.all(np.diff(arrival[where]) > 0)
        if vessel:
            assert arrival[where[0]] == pytest.approx(arrival[tree.origin[vessel]])
    assert np.all(arrival >= tree.path / 120.0 - 0.01)  # nothing is faster than the front at the ostium
    assert np.corrcoef(arrival, tree.path)[0, 1] > 0.9


def test_concentration_at_hand_worked_moments():
    ostium, far = np.array([0.0]), np.array([1.0])
    assert bolus.concentration(STEADY, ostium, 0.5)[0] == pytest.approx(0.5, abs=1e-6)  # the front passes
    assert bolus.concentration(STEADY, far, 1.5)[0] == pytest.approx(0.5, abs=1e-3)
    assert bolus.concentration(STEADY, far, 0.5)[0] < 0.01  # not there yet
    assert bolus.concentration(STEADY, far, 3.0)[0] == pytest.approx(1.0, abs=0.01)  # plateau
    assert bolus.concentration(STEADY, far, 4.0 + 1.15)[0] == pytest.approx(0.5, abs=1e-3)  # the tail passes
    assert bolus.concentration(STEADY, ostium, 9.0)[0] < 1e-6


def test_near_vessel_fills_and_empties_first():
    times = np.arange(0, 8, 0.05)
    near, far = (
        np.array([bolus.concentration(STEADY, np.array([t]), time)[0] for time in times]) for t in (0.1, 1.2)
    )
    assert times[np.argmax(near > 0.5)] < times[np.argmax(far > 0.5)]
    assert times[near > 0.5][-1] < times[far > 0.5][-1]


def test_muscle_blushes_later_than_the_arteries_fill():
    times = np.arange(0, 12, 0.1)
    blush = np.array([bolus.perfusion(STEADY, t) for t in times])
    assert blush.max() == pytest.approx(0.5, abs=0.1)
    assert times[np.argmax(blush)] > 3.0 and blush[0] < 0.02


def test_some_clips_start_opacified_and_some_end_before_wash_out():
    drawn = [bolus.draw_bolus(stream(7, "bolus", k, 0), 4.5, 150.0, 0.8) for k in range(200)]
    assert 0.05 < np.mean([b.start < 0 for b in drawn]) < 0.25
    assert 0.2 < np.mean([b.stop > 0.96 * 4.5 for b in drawn]) < 0.7
    assert all(b.stop > b.start + 0.5 for b in drawn)
