import numpy as np
import pytest

from stenoscope.keyframes.selection import neighbours, plateau_apex, run_around, smooth, spread, unit_range

pytest.importorskip("hypothesis")
from hypothesis import given
from hypothesis import strategies as st


@given(st.integers(1, 300).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n - 1))))
def test_always_five_in_order(case):
    num_frames, apex = case
    chosen = neighbours(apex, num_frames)
    assert len(chosen) == 5 and list(chosen) == sorted(chosen)
    assert chosen[0] >= 0 and chosen[-1] < num_frames
    assert apex in chosen
    assert len(set(chosen)) == min(5, num_frames)
    if 2 <= apex < num_frames - 2:
        assert chosen == tuple(range(apex - 2, apex + 3))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=60))
def test_any_curve_has_an_apex_and_a_spread(values):
    curve = smooth(np.array(values))
    apex = plateau_apex(curve)
    assert 0 <= apex < len(curve)
    chosen = spread(curve, apex)
    assert len(chosen) == 5 and list(chosen) == sorted(chosen) and apex in chosen
    assert len(set(chosen)) == min(5, len(curve))


def test_an_apex_outside_the_clip_is_refused():
    with pytest.raises(ValueError, match="apex"):
        neighbours(5, 5)


def test_apex_by_hand():
    assert plateau_apex(np.array([0, 0, 1.0, 0, 0])) == 2
    assert plateau_apex(np.array([0, 1, 0, 0, 0.95, 0])) == 1  # only the run that holds the maximum
    assert plateau_apex(np.linspace(0, 1, 30)) >= 28  # still rising: the clip was cut
    assert plateau_apex(np.zeros(5)) == 2
    # weights 0.2 on 3..7: the cumulated weight passes 60 % of 1.0 at the third frame
    assert plateau_apex(np.array([0, 0, 0, 1, 1, 1, 1, 1, 0, 0])) == 5


def test_a_clip_that_is_never_empty_keeps_a_broad_plateau():
    filled = np.array([4.2, 4.3, 4.3, 4.2, 4.3, 4.2, 4.3, 4.3, 4.2, 4.4])
    assert 4 <= plateau_apex(filled) <= 7  # from its own minimum only the last frame would count


def test_spread_covers_the_plateau():
    curve = np.array([0, 0, *[1.0] * 17, 0, 0])
    assert spread(curve, 11) == (2, 6, 11, 14, 18)
    assert spread(np.array([0, 0, 0, 1, 0, 0, 0.0]), 3) == neighbours(3, 7)


def test_runs_and_ranges():
    mask = np.array([True, False, True, True])
    assert run_around(mask, 3) == (2, 3) and run_around(mask, 0) == (0, 0) and run_around(mask, 1) == (1, 1)
    np.testing.assert_allclose(unit_range(np.array([2, 4, 3])), [0, 1, 0.5])
    assert not unit_range(np.full(4, 7)).any()
