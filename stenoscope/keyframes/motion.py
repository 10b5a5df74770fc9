"""Table pan and breathing: how far the patient moved from frame to frame."""

import cv2
import numpy as np

_SIZE = 128  # rows and columns of the images that are tracked
_GRID = 8  # tracked points per side
_WINDOW = (15, 15)
_MIN_POINTS = 8


class MotionTracker:
    """Follows the patient through a clip, one frame at a time.

    A grid of points is tracked from frame to frame (pyramidal Lucas-Kanade; J.-Y. Bouguet, "Pyramidal
    implementation of the Lucas Kanade feature tracker", Intel, 2000) and the median of their displacements is
    taken: the beating heart moves a minority of them, a table pan or a breath moves all.
    """

    def __init__(self):
        centres = (np.arange(_GRID) + 1) * (_SIZE / (_GRID + 1))
        self._points = np.stack(np.meshgrid(centres, centres), axis=-1).reshape(-1, 1, 2).astype(np.float32)
        self._last = None
        self._position = np.zeros(2)
        self.path: list[np.ndarray] = []

    def add(self, frame: np.ndarray) -> None:
        """Track one more frame (rows, cols): uint8, or float32 in 0..255."""
        small = cv2.resize(frame, (_SIZE, _SIZE), interpolation=cv2.INTER_AREA)
        small = small if small.dtype == np.uint8 else cv2.convertScaleAbs(small)
        if self._last is not None:
            moved, found, _ = cv2.calcOpticalFlowPyrLK(
                self._last, small, self._points, None, winSize=_WINDOW, maxLevel=2, minEigThreshold=1e-3
            )
            found = found[:, 0] == 1
            if np.count_nonzero(found) >= _MIN_POINTS:
                step = np.median((moved - self._points)[found, 0], axis=0)
                self._position = self._position + step * (frame.shape[1] / _SIZE, frame.shape[0] / _SIZE)
        self._last = small
        self.path.append(self._position)

    def positions(self) -> np.ndarray:
        """The patient's position in each frame, relative to the first: float64 (num_frames, 2), x, y, px."""
        return np.array(self.path).reshape(-1, 2)
