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


def test_at_the_ends_of_a_clip_the_frames_move_inward():
    assert neighbours(1, 40) == (0, 1, 2, 3, 4) and neighbours(38, 40) == (35, 36, 37, 38, 39)


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


def steps(*runs):
    """A curve of runs of equal frames, each (level, frames)."""
    return np.concatenate([np.full(count, float(level)) for level, count in runs])


@pytest.mark.parametrize(
    ("curve", "apex"),
    [
        # level 0.9: 0.88 is no plateau, so its only frame is the apex; at 0.85 the tail would pull it later
        (steps((0, 2), (1, 1), (0.88, 4), (0, 3)), 2),
        # lateness 0.6: 12.6 of 21 equal weights, the 13th frame; 0.5 gives the 11th, 0.7 the 15th
        (steps((0, 5), (1, 21), (0, 5)), 5 + 12),
        # floor 0.3: 0.94 is at 0.64 / 0.7 = 0.914, in the plateau; from 0.5 it would be at 0.88, outside.
        # Weights 0.1 and 16 x 0.0143: 60 % of 0.329 is passed at the seventh of the sixteen
        (steps((0.6, 3), (1, 1), (0.94, 16), (0.6, 3)), 3 + 7),
        # beyond 0: nothing is added to a clip that ends opacified; 6.6 of 11 weights. One more gives the 8th
        (steps((0, 9), (1, 11)), 9 + 6),
    ],
    ids=["level", "lateness", "floor", "beyond"],
)
def test_the_effect_of_each_constant_by_hand(curve, apex):
    assert plateau_apex(curve) == apex


def test_the_curve_is_smoothed_by_a_sixteenth_of_its_width():
    smoothed = smooth(steps((0, 80), (1, 100), (0, 80)))  # 0.06 of 100 frames: sigma 6
    assert smoothed[86] == pytest.approx(0.861, abs=0.004)  # Phi(6.5 / 6); with sigma 12 it is 0.706
