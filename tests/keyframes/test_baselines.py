import numpy as np

from stenoscope.keyframes.registry import choose


def test_positions_and_darkness():
    frames = np.full((10, 4, 4), 100, np.uint8)
    frames[7] = 50
    assert choose(frames, "midpoint").apex == 4
    assert choose(frames, "two_thirds").apex == 6  # round(0.67 * 9) = round(6.03)
    darkest = choose(frames, "darkest")
    assert darkest.apex == 7 and darkest.curve[7] == 205 and darkest.keyframes == (5, 6, 7, 8, 9)
