"""The convolutional network as a learner. Keras is imported when it is used, not before."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from stenoscope.augmentation.grid import CENTRE_CROP
from stenoscope.folds.part import TrainingPart
from stenoscope.learners.protocol import Learner
from stenoscope.roles import augmentations
from stenoscope.settings import TrainingSettings


class Cnn(Learner):
    """A pretrained network with attention, fine-tuned by `training.fold.Trainer`.

    Its `model` is of `models.classifier.build_classifier`; None before it was fitted or loaded.
    """

    suffix = ".keras"
    window = CENTRE_CROP
    parts: ClassVar = ("head", "all")

    def __init__(self, settings: TrainingSettings, num_labels: int = 1):
        from stenoscope.heatmaps.registry import check_method

        check_method(settings)
        super().__init__(settings, num_labels)
        self.model = self._trainer = None

    @classmethod
    def prepare(cls, settings: TrainingSettings, threads: int) -> str:
        from stenoscope.training.machine import prepare

        return prepare(threads, settings.seed, settings.deterministic)

    @classmethod
    def methods(cls, settings: TrainingSettings) -> list[str]:
        return list(dict.fromkeys([settings.heatmap, "hirescam", "cam"]))

    @classmethod
    def epochs(cls, settings: TrainingSettings) -> int:
        return settings.epochs

    @property
    def slow(self) -> Sequence[str]:
        from stenoscope.heatmaps.registry import SLOW

        return SLOW

    @classmethod
    def described(cls, settings: Mapping[str, Any]) -> dict[str, str]:
        weights = {"imagenet": "ImageNet weights", "none": "random weights"}
        start = weights.get(settings["weights"], "weights from a file")
        block, pooling = settings["attention"], settings["pooling"]
        size, mean = settings["image_size"], "subtracted" if settings["subtract_mean"] else "not subtracted"
        tophat = ", black top-hat" if settings["enhance"] == "black_tophat" else ""
        even = "classes weighed inversely to their frequency in the training part"
        said = {
            "kind": "deep learning (convolutional network)",
            "type": f"{settings['backbone']} ({start}), attention {block}, pooling {pooling}",
            "input": f"{size} x {size} pixels, grey{tophat}; mean image of the training part {mean}",
            "start": f"{start}; new layers at random, seed {settings['seed']}",
            "training": f"{_training(settings)}, seed {settings['seed']}",
            "imbalance": even if settings["class_weights"] else "nothing was done about it",
        }
        if settings["narrowings"]:
            said["limits"] = (
                "Training also used narrowings made by the program; the network was told what a narrowing "
                "looks like."
            )
        return said

    @property
    def title(self) -> str:
        return f"{self.settings.backbone} with {self.settings.weights} weights"

    def fit(
        self,
        part: TrainingPart,
        on_epoch: Callable[[dict], None] = lambda row: None,
        checkpoint: Path | None = None,
    ) -> list[dict]:
        if self._trainer is None:  # tracing takes long, so one trainer serves all folds
            import keras

            from stenoscope.training.fold import Trainer

            keras.utils.clear_session()  # frees the network before
            self._trainer = Trainer(self.settings, self.num_labels)
            self.model = self._trainer.model
        return self._trainer.fit(part, on_epoch, checkpoint)

    def predict(self, frames: Sequence[np.ndarray]) -> np.ndarray:
        from stenoscope.training.centre import probabilities

        with self._trainer.scope() if self._trainer else nullcontext():
            return probabilities(self.model, frames, self.settings)

    def explain(self, frames: np.ndarray, method: str, label: int = 0) -> np.ndarray:
        from stenoscope.heatmaps.registry import evidence
        from stenoscope.training.centre import centre_images

        images = centre_images(frames, self.settings.image_size)
        return evidence(self.model, images, method, self._layer, label)

    @cached_property
    def _layer(self) -> str:
        from stenoscope.models.classifier import heatmap_layer

        return heatmap_layer(self.model, self.settings)

    @contextmanager
    def randomised(self, part: str, seed: Sequence[int]) -> Iterator[None]:
        from stenoscope.heatmaps.randomisation import randomised

        with randomised(self.model, part, seed):
            yield

    def save(self, path: Path) -> None:
        self.model.save(path)

    @classmethod
    def load(cls, path: Path, settings: TrainingSettings) -> Self:
        from stenoscope.models.classifier import load_classifier

        model = load_classifier(path)
        learner = cls(settings, model.output.shape[-1])
        learner.model = model
        return learner

    @classmethod
    def as_network(cls, learners: Sequence[Self]) -> Any:
        from stenoscope.learners.cnn_ensemble import ensemble_network

        settings = learners[0].settings
        return ensemble_network([one.model for one in learners], settings.image_size, settings.mirrored_test)


def _training(settings: Mapping[str, Any]) -> str:
    added = [what for name, what in augmentations(TrainingSettings).items() if settings.get(name)]
    parts = [
        f"{settings['epochs']} epochs",
        f"{settings['optimizer']}, learning rate {settings['learning_rate']} ({settings['schedule']})",
        f"batch {settings['batch_size']}",
        ", ".join(["augmented by crops", "grey offsets", *added])
        if settings.get("augmentation", True)
        else "no augmentation",
    ]
    return ", ".join(parts + ["synthetic narrowings of normal frames"] * settings["narrowings"])
