import numpy as np
import pytest

from stenoscope.phantom.anatomy import make_heart
from stenoscope.phantom.motion import Motion, draw_motion, systole
from stenoscope.phantom.streams import stream


def test_heart_rests_at_both_ends_of_the_beat_and_contracts_between():
    assert systole(np.array([0.0, 0.37, 0.7, 0.999])) == pytest.approx([0, 1, 0, 0])


def test_contraction_shortens_and_narrows_but_leaves_the_apex():
    heart = make_heart(stream(7, "heart", 0))
    moves = Motion(np.array([0.0, 1.0]), np.zeros(2), np.zeros((2, 2)), 10.0, 0.1, 8.0)
    apex, base = heart.surface(0, 0)[None], heart.surface(90, 90)[None]
    assert moves.move(heart, np.vstack([apex, base]), 0) == pytest.approx(np.vstack([apex, base]))
    assert moves.move(heart, apex, 1) == pytest.approx(apex)
    shift = (moves.move(heart, base, 1) - base)[0] @ heart.axes.T
    assert shift == pytest.approx([10.0, -0.1 * heart.size[1], 0.0], abs=1e-9)


def test_breathing_moves_the_heart_to_the_feet():
    heart = make_heart(stream(7, "heart", 0))
    moves = Motion(np.zeros(1), np.array([5.0]), np.zeros((1, 2)), 10.0, 0.1, 8.0)
    assert moves.move(heart, np.zeros((1, 3)), 0)[0] == pytest.approx([0, 0, -5.0])


def test_drawn_motion_beats_at_the_heart_rate_and_some_tables_move():
    drawn = [draw_motion(stream(7, "motion", k, 0), 60, 0.1, 1.0, 80.0) for k in range(60)]
    beats = [np.sum((m.contraction[1:] >= 0.5) & (m.contraction[:-1] < 0.5)) for m in drawn]
    assert set(beats) <= {5, 6, 7}
    panned = np.mean([np.abs(m.pan).max() > 0 for m in drawn])
    assert 0.15 < panned < 0.45
    assert max(np.linalg.norm(m.pan, axis=1).max() for m in drawn) <= 80.0
