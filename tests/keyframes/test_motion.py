import cv2
import numpy as np

from stenoscope.keyframes.motion import MotionTracker


def scene(seed=0, size=700):
    noise = np.random.default_rng(seed).normal(0, 1, (size, size)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 12)
    return (smooth / smooth.std() * 25 + 120).clip(0, 255).astype(np.uint8)


def test_a_pan_is_measured_and_a_beating_heart_is_not():
    picture, heart = scene(), scene(1)
    tracker, expected = MotionTracker(), []
    for index in range(8):
        x, y = 6 * index, -4 * index
        frame = picture[100 - y : 612 - y, 100 - x : 612 - x].copy()
        beat = int(10 * np.sin(index))
        frame[200:350, 200:350] = heart[200 + beat : 350 + beat, 200 + beat : 350 + beat]
        tracker.add(frame)
        expected.append((x, y))
    np.testing.assert_allclose(tracker.positions(), expected, atol=3)


def test_frames_without_structure_do_not_move():
    tracker = MotionTracker()
    for _ in range(3):
        tracker.add(np.full((64, 64), 90, np.uint8))
    assert not tracker.positions().any()
