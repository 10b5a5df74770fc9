"""The constants of `opacification` are chosen without the patient that they are measured on."""

import numpy as np
import pytest

from benchmarks import refit
from stenoscope.keyframes.scores import Filling

FRAMES, APEX = 60, 20


def trace(patient, real, *late):
    """A clip whose filling by each vessel rule is one spike, so many frames after the apex."""
    fillings = []
    for delay in late:
        curve = np.zeros(FRAMES)
        curve[APEX + delay] = 1.0
        fillings.append(Filling(curve, curve, 1.0, np.empty(0, bool)))
    return refit.Trace(real, patient, "as is", APEX - 1, APEX, APEX + 2, {APEX}, tuple(fillings))


@pytest.fixture(autouse=True)
def small_grid(monkeypatch):
    monkeypatch.setattr(refit, "VESSEL_GRID", {"sigma": (1.5, 2.0, 3.0), "length": (32.0,), "area": (0.08,)})
    monkeypatch.setattr(
        refit, "PLATEAU_GRID", {name: values[:1] for name, values in refit.PLATEAU_GRID.items()}
    )


@pytest.fixture
def found():
    # All choose the first rule, patient B alone the second, simulated clips the third.
    return refit.refit([trace("A", True, 0, 6, 20), trace("B", True, 2, 0, 20), trace("s", False, 1, 1, 0)])


def test_a_patient_is_measured_with_what_the_others_chose(found):
    rows, _ = found
    measured = {patient: measures["distance"] for patient, measures in rows[refit.LEFT_OUT]["as is"]}
    assert measured == {"A": 6, "B": 2}


def test_simulated_clips_alone_and_all_together(found):
    rows, chosen = found
    assert [measures["distance"] for _, measures in rows[refit.SIMULATED]["as is"]] == [20, 20]
    assert chosen[refit.SIMULATED].vessels.sigma == 3.0 and chosen[refit.TOGETHER].vessels.sigma == 1.5
    assert chosen[refit.TOGETHER].real[1] == 1 and chosen[refit.TOGETHER].simulated[1] == 1  # of the apex


def test_simulated_clips_weigh_as_much_as_real_ones():
    """The first rule is 2 and 6 frames off, the second 3 and 0: real clips alone would choose the first."""
    traces = [trace("A", True, 2, 3, 20), trace("B", True, 2, 3, 20), trace("s", False, 6, 0, 20)]
    assert refit.refit(traces)[1][refit.TOGETHER].vessels.sigma == 2.0
