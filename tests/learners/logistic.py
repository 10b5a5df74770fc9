"""A learner of a few lines, and the scripts with it: ``python -m tests.learners.logistic main.py ...``."""

import runpy
import sys

import cv2
import numpy as np
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from stenoscope.learners.protocol import Learner
from stenoscope.learners.registry import LEARNERS


def small(frames) -> np.ndarray:
    return np.stack(
        [cv2.resize(frame, (8, 8), interpolation=cv2.INTER_AREA).ravel() / 255 for frame in frames]
    )


class Logistic(Learner):
    """Logistic regression on 64 grey levels, without epochs and heatmaps."""

    suffix = ".npy"

    def fit(self, part, on_epoch=None, checkpoint=None):
        frames, labels = part.examples()
        model = LogisticRegression().fit(small(frames), labels[:, 0])
        self.weights = np.append(model.coef_, model.intercept_)
        return []

    def predict(self, frames):
        return np.float32(expit(small(frames) @ self.weights[:-1] + self.weights[-1]))[:, None]

    def save(self, path):
        with path.open("wb") as file:
            np.save(file, self.weights)

    @classmethod
    def load(cls, path, settings):
        learner = cls(settings)
        learner.weights = np.load(path)
        return learner


LEARNERS["logistic"] = Logistic

if __name__ == "__main__":
    sys.argv = sys.argv[1:]
    runpy.run_path(sys.argv[0], run_name="__main__")
