"""Train a new model on one fold and predict with it.

Tracing a large network costs 17 to 37 seconds on a CPU, so one `Trainer` serves all folds of an experiment:
before each, every weight and the optimizer's state are set to what a freshly built model would have.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

import keras
import numpy as np

from stenoscope.errors import SettingsError
from stenoscope.folds.part import TrainingPart
from stenoscope.models.classifier import build_classifier, computing_in, reset_weights, set_mean_image
from stenoscope.models.folded import fold_batch_norm
from stenoscope.records import FRAME_SIZE
from stenoscope.run.executors import available_cores
from stenoscope.settings import TrainingSettings
from stenoscope.training import checkpoint as checkpoints
from stenoscope.training.batches import (
    Batch,
    Sample,
    epoch_plan,
    keyframes_of,
    no_places,
    render,
    targets,
)
from stenoscope.training.devices import accelerated, sharing
from stenoscope.training.features import cacheable, split_backbone, stored_features
from stenoscope.training.feed import feed
from stenoscope.training.losses import (
    cell_crossentropy,
    class_weights,
    masked_accuracy,
    masked_binary_crossentropy,
    sample_weights,
    smooth,
)
from stenoscope.training.on_device import COLUMNS, MEMORY, DeviceFrames, can_render, encode
from stenoscope.training.schedule import layer_factors, learning_rate_at, make_optimizer


class Trainer:
    """Fits and applies classifiers of one experiment, one fold after the other.

    Parameters
    ----------
    settings : TrainingSettings
    num_labels : int
        Label columns.
    on_device : bool, optional
        Keep the frames on the device and augment them there; by default where that is an accelerator and they
        fit. Never with stored features, nor where only the CPU knows how samples are changed: narrowings.

    Attributes
    ----------
    model : keras.Model
        Takes float32 (batch, S, S, 1), grey levels 0 to 255; gives probabilities (batch, num_labels). It
        computes in float32.
    scope : callable
        Makes the context in which the model is built, trained and applied.
    network : keras.Model
        The one that learns: `model`, or its twin in another precision, whose weights `model` takes over at
        the end of `fit`.

    Raises
    ------
    SettingsError
        If settings contradict each other or ask for more devices than there are.
    """

    def __init__(
        self,
        settings: TrainingSettings,
        num_labels: int = 1,
        on_device: bool | None = None,
    ):
        self.settings = settings
        self._on_device = on_device
        self._render_threads = max(1, available_cores() // 2) if accelerated() else 1
        self._jit = {"auto": "auto", "on": True, "off": False}[settings.jit]
        if settings.jit == "auto" and keras.backend.backend() == "tensorflow" and not accelerated():
            self._jit = False  # it slows training on a CPU 2 to 10 times
        self._front: keras.Model | None = None  # from image to features, where those are stored
        self._device_frames: DeviceFrames | None = None
        self.scope = sharing(settings.devices, settings.batch_size)
        cached = cacheable(settings)
        with self.scope():
            self.model = self.network = build_classifier(settings, num_labels)
            with computing_in(settings.precision):
                if settings.precision != "float32":
                    self.network = build_classifier(settings, num_labels)
                # The same layers, ending at the logits of image and cells, where the losses are stable.
                class_map = self.network.get_layer("class_map").output
                add_bias = self.network.get_layer("logits")
                self._grid = class_map.shape[1:3]
                if cached:
                    (self._front, _), (_, learner) = map(split_backbone, (self.model, self.network))
                else:
                    cells = [add_bias(class_map)] if settings.narrowings else []
                    learner = fold_batch_norm(keras.Model(self.network.inputs, [add_bias.output, *cells]))
                self._compile(learner)

    def _compile(self, learner: keras.Model) -> None:
        settings = self.settings
        self._learner = learner
        self._schedule = make_optimizer(settings, layer_factors(self.network, settings.layer_decay))
        with_cells = [cell_crossentropy] if settings.narrowings else []
        learner.compile(
            optimizer=self._schedule,  # half precision wraps it, to scale the loss
            loss=[masked_binary_crossentropy, *with_cells],
            weighted_metrics=[[masked_accuracy], *([] for _ in with_cells)],
            jit_compile=self._jit,
        )
        if settings.jit == "on" and not learner.jit_compile:  # Keras only warns
            raise SettingsError(
                f"jit is 'on', and {keras.backend.backend()} does not compile this network.",
                "with TensorFlow, deterministic: false",
                "add --deterministic false, or leave jit at 'auto'.",
            )
        learner.optimizer.build(learner.trainable_variables)
        self._scalars = {
            index: np.array(variable)
            for index, variable in enumerate(learner.optimizer.variables)
            if variable.shape == ()
        }

    def _place(self, frames: np.ndarray, rows: np.ndarray, plan: list[Sample]) -> None:
        """Put the training frames on the device, if samples like those of `plan` can be made there."""
        possible = self._front is None and can_render(plan)
        count = frames.shape[0] * frames.shape[1]
        fits = accelerated() and count * FRAME_SIZE**2 <= MEMORY
        if not possible or not (fits if self._on_device is None else self._on_device):
            return
        if self._device_frames is None or len(self._device_frames.frames) != count:
            with computing_in(self.settings.precision):
                self._device_frames = DeviceFrames(count, self.settings.image_size)
                samples = keras.Input((len(COLUMNS),), dtype="int32", name="samples")
                logits = self.network.get_layer("logits").output
                network = fold_batch_norm(keras.Model(self.network.inputs, logits))
                self._compile(keras.Model(samples, network(self._device_frames(samples))))
        self._device_frames.hold(frames, rows)

    @property
    def jit_compile(self) -> bool:
        """Whether the training step is compiled."""
        return self._learner.jit_compile

    def reset(self, mean_image: np.ndarray, fold: int) -> None:
        """Make the model new for a fold: initial weights, empty optimizer, this fold's mean image."""
        seed = self.settings.seed * 1000 + fold
        with self.scope():
            keras.utils.set_random_seed(seed)
            reset_weights(self.network, seed)
            for index, variable in enumerate(self._learner.optimizer.variables):
                start = self._scalars.get(index)
                variable.assign(np.zeros(variable.shape, variable.dtype) if start is None else start)
            if self.settings.subtract_mean:
                set_mean_image(self.network, mean_image)
                if self._device_frames is not None:
                    self._device_frames.set_mean_image(mean_image)
            self._hand_over()

    def _hand_over(self) -> None:
        """Give the weights of the network that learns to the one that is tested."""
        if self.network is not self.model:
            self.model.set_weights(self.network.get_weights())

    def fit(
        self,
        part: TrainingPart,
        on_epoch: Callable[[dict], None] = lambda row: None,
        checkpoint: Path | None = None,
    ) -> list[dict]:
        """Train on the training part of a fold; one row per epoch.

        A row has epoch, loss, accuracy (both on the augmented training images), learning_rate and seconds.
        `on_epoch` is called with each, also with those that a checkpoint holds. The file `checkpoint` is
        written after each epoch and, if it exists, resumed from.
        """
        settings, frames, count = self.settings, part.frames, part.frames.shape[1]

        def plan(epoch: int) -> list[Sample]:
            return epoch_plan(part.train, count, settings, part.number, epoch, normal, part.frame_wise)

        train, labels = part.train, part.labels
        normal = [clip for clip in keyframes_of(train, count, part.frame_wise) if labels[clip, 0] == 0]
        weights = self._class_weights(train // count if part.frame_wise else train, labels)
        mean = part.mean_image if settings.subtract_mean else None
        with self.scope():
            self._place(frames, part.rows, plan(0))
            self.reset(part.mean_image, part.number)
            history = checkpoints.restore(checkpoint, self.network, self._learner.optimizer)
            for row in history:
                on_epoch(row)
            left = range(len(history), settings.epochs)
            with self._inputs(frames, mean, chain.from_iterable(map(plan, left))) as inputs:
                for epoch in left:
                    history.append(self._run_epoch(epoch, plan(epoch), inputs, labels, weights))
                    checkpoints.save(checkpoint, self.network, self._learner.optimizer, history)
                    on_epoch(history[-1])
            self._hand_over()
        return history

    @contextmanager
    def _inputs(self, frames, mean, samples: Iterable[Sample]) -> Iterator[Callable[[list[Sample]], Batch]]:
        """The function that turns samples into what the learner takes."""

        def images(some: list[Sample]) -> Batch:
            return render(frames, some, self.settings.image_size, mean)

        if self._device_frames is not None:
            yield lambda some: Batch(encode(some, frames.shape[1]), no_places(some))
        elif self._front is not None:
            batch_size = self.settings.batch_size
            with stored_features(self._front, samples, lambda some: images(some).images, batch_size) as kept:
                yield lambda some: Batch(kept.of(some), no_places(some))
        else:
            yield images

    def _run_epoch(self, epoch: int, plan: list[Sample], inputs, labels, weights) -> dict:
        """Train on one epoch's samples; returns its row of the history."""
        settings, started = self.settings, time.perf_counter()
        size, batch_size = settings.image_size, settings.batch_size
        batches = [plan[first : first + batch_size] for first in range(0, len(plan), batch_size)]
        counted = np.zeros(len(batches))

        def batch(number: int) -> tuple:
            # One batch shape means one trace: the last batch is filled with samples of weight zero.
            samples = batches[number]
            filled = samples + samples[:1] * (batch_size - len(samples))
            values, places = inputs(filled)
            image_targets, cell_targets = targets(filled, labels, places, size, self._grid)
            weight = sample_weights(image_targets, weights)
            weight[len(samples) :] = 0.0
            counted[number] = weight.mean(axis=1).sum()
            smoothed = smooth(image_targets, settings.label_smoothing)
            if not settings.narrowings:
                return values, smoothed, weight
            first = sample_weights(image_targets[:, :1], weights[:1])[:, 0]
            first[len(samples) :] = 0.0
            return values, (smoothed, cell_targets), (weight, first)

        self._schedule.steps_per_epoch.assign(len(batches))
        with feed(batch, len(batches), self._render_threads) as data:
            logs = self._learner.fit(data, shuffle=False, verbose=0).history
        (accuracy,) = (values[0] for name, values in logs.items() if name.endswith("masked_accuracy"))
        return {
            "epoch": epoch,
            "loss": float(logs["loss"][0] * len(batches) * batch_size / counted.sum()),
            "accuracy": float(accuracy),
            "learning_rate": float(learning_rate_at(epoch + 1 - 1 / len(batches), settings)),
            "seconds": round(time.perf_counter() - started, 3),
        }

    def _class_weights(self, clips: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Class weights of each label, in the proportions of what an epoch shows: clips and their twins."""
        columns = list(labels[clips].T)
        if self.settings.narrowings:
            columns[0] = np.append(columns[0], np.ones((columns[0] == 0).sum()))
        return np.stack([class_weights(column, self.settings.class_weights) for column in columns])
