"""Train a new model on one fold and predict with it.

Tracing a large network costs 17 to 37 seconds on a CPU, so one `Trainer` serves all folds of an experiment:
before each, every weight and the optimizer's state are set to what a freshly built model would have.
"""

import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np

from stenoscope.models.classifier import build_classifier, reset_weights, set_mean_image
from stenoscope.records import KEYFRAMES_PER_CLIP
from stenoscope.settings import TrainingSettings
from stenoscope.training.batches import epoch_plan, render, targets, validation_plan
from stenoscope.training.losses import (
    cell_crossentropy,
    class_weights,
    masked_accuracy,
    masked_binary_crossentropy,
)


def learning_rate_at(epoch: float, settings: TrainingSettings) -> float:
    """Learning rate at a (fractional) epoch: constant, or half a cosine to zero (Loshchilov 2017, eq. 5)."""
    if settings.schedule == "constant":
        return settings.learning_rate
    return settings.learning_rate * 0.5 * (1 + math.cos(math.pi * epoch / settings.epochs))


def make_optimizer(settings: TrainingSettings) -> keras.optimizers.Optimizer:
    """The optimizer that the settings name."""
    makers = {
        "adam": keras.optimizers.Adam,
        "adamw": keras.optimizers.AdamW,
        "sgd": lambda learning_rate: keras.optimizers.SGD(learning_rate, momentum=0.9),
    }
    return makers[settings.optimizer](learning_rate=settings.learning_rate)


def _ahead(function: Callable, items: Iterable) -> Iterator:
    """Yield ``function(item)`` in order, computing the next one in a thread while the last one is used."""
    with ThreadPoolExecutor(1) as pool:
        waiting: deque = deque()
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > 2:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


class Trainer:
    """Fits and applies classifiers of one experiment, one fold after the other.

    Parameters
    ----------
    settings : TrainingSettings
    num_labels : int
        Label columns.

    Attributes
    ----------
    model : keras.Model
        Takes float32 (batch, S, S, 1), grey levels 0 to 255; gives probabilities (batch, num_labels).
    """

    def __init__(self, settings: TrainingSettings, num_labels: int = 1):
        self.settings = settings
        self.model = build_classifier(settings, num_labels)
        # The same layers, ending at the logits of image and cells, where the losses are stable.
        class_map, add_bias = self.model.get_layer("class_map").output, self.model.get_layer("logits")
        self._learner = keras.Model(self.model.inputs, [add_bias.output, add_bias(class_map)])
        self._grid = class_map.shape[1:3]
        self._learner.compile(
            optimizer=make_optimizer(settings),
            loss=[masked_binary_crossentropy, cell_crossentropy],
            weighted_metrics=[[masked_accuracy], []],
            jit_compile=False,  # slows training on a CPU 2 to 10 times
        )

    def reset(self, mean_image: np.ndarray, fold: int) -> None:
        """Make the model new for a fold: initial weights, empty optimizer, this fold's mean image."""
        seed = self.settings.seed * 1000 + fold
        keras.utils.set_random_seed(seed)
        reset_weights(self.model, seed)
        for variable in self._learner.optimizer.variables:
            if variable is not self._learner.optimizer.learning_rate:
                variable.assign(np.zeros(variable.shape, dtype=variable.dtype))
        if self.settings.subtract_mean:
            set_mean_image(self.model, mean_image)

    def fit(self, frames, clips, labels, mean_image, fold: int, on_epoch=lambda row: None) -> list[dict]:
        """Train on the training part of a fold.

        Parameters
        ----------
        frames : ndarray, uint8, shape (5 num_clips, 512, 512)
        clips : ndarray, int64, shape (n,)
            Clip indices of the training part.
        labels : ndarray, float32, shape (num_clips, num_labels)
            Of all clips; only those of `clips` are read.
        mean_image : ndarray, float32, shape (500, 500)
        fold : int
            1 to 5.
        on_epoch : callable
            Called with each epoch's row.

        Returns
        -------
        list of dict
            One row per epoch: epoch, loss, accuracy (both on the augmented training images as they passed),
            learning_rate, seconds.
        """
        settings = self.settings
        self.reset(mean_image, fold)
        mean = mean_image if settings.subtract_mean else None
        normal = [clip for clip in clips if labels[clip, 0] == 0]
        weights = class_weights(self._first_labels(clips, labels), settings.class_weights)
        size, batch_size = settings.image_size, settings.batch_size
        history = []
        for epoch in range(settings.epochs):
            started = time.perf_counter()
            plan = epoch_plan(clips, settings, fold, epoch, normal)
            total = np.zeros(3)
            batches = [plan[first : first + batch_size] for first in range(0, len(plan), batch_size)]
            # One batch shape means one trace: the last batch is filled with samples of weight zero.
            filled = [samples + samples[:1] * (batch_size - len(samples)) for samples in batches]
            rendered = _ahead(lambda samples: render(frames, samples, size, mean), filled)
            for step, (images, places) in enumerate(rendered):
                image_targets, cell_targets = targets(filled[step], labels, places, size, self._grid)
                if not settings.narrowings:
                    cell_targets[:] = np.nan
                weight = weights[np.nan_to_num(image_targets[:, 0]).astype(int)]
                weight[np.isnan(image_targets[:, 0]) | (np.arange(batch_size) >= len(batches[step]))] = 0.0
                rate = learning_rate_at(epoch + step / len(batches), settings)
                self._learner.optimizer.learning_rate = rate
                result = self._learner.train_on_batch(
                    images, [image_targets, cell_targets], [weight, weight], return_dict=True
                )
                right = result["logits_masked_accuracy"] * weight.sum()
                total += result["loss"] * batch_size, right, weight.sum()
            row = {
                "epoch": epoch,
                "loss": float(total[0] / total[2]),
                "accuracy": float(total[1] / total[2]),
                "learning_rate": rate,
                "seconds": round(time.perf_counter() - started, 3),
            }
            history.append(row)
            on_epoch(row)
        return history

    def _first_labels(self, clips, labels) -> np.ndarray:
        """First label of what one epoch shows, in its proportions: the clips and the twins of normal ones."""
        first = labels[clips, 0]
        return np.append(first, np.ones((first == 0).sum())) if self.settings.narrowings else first

    def predict(self, frames, clips) -> np.ndarray:
        """Probabilities of the five key frames of each clip, float32 (n, 5, num_labels)."""
        plan = validation_plan(clips)
        batch = self.settings.batch_size
        found = []
        for first in range(0, len(plan), batch):
            samples = plan[first : first + batch]
            filled = samples + samples[:1] * (batch - len(samples))
            images = render(frames, filled, self.settings.image_size).images
            found.append(np.asarray(self.model.predict_on_batch(images))[: len(samples)])
        return np.concatenate(found).reshape(len(clips), KEYFRAMES_PER_CLIP, -1)
