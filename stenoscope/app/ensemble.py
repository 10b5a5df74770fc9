"""The folds' models of a finished experiment as one: what `predict` and `export` share."""

from pathlib import Path

import numpy as np

from stenoscope.app.explain import in_frame
from stenoscope.folds.files import fold_folders
from stenoscope.results.files import MODEL
from stenoscope.run.cli import progress, say
from stenoscope.settings import TrainingSettings


def load_models(experiment: Path, trained: TrainingSettings, threads: int) -> list:
    """The folds' models, after the tensor library was given its threads."""
    from stenoscope.training.machine import prepare

    where = prepare(threads, trained.seed)
    from stenoscope.models.classifier import load_classifier

    folders, models = fold_folders(experiment), []
    say(f"Loading the {len(folders)} models of {experiment} ({where}) ...")
    with progress("models", len(folders)) as step:
        for folder in folders:
            models.append(load_classifier(folder / MODEL))
            step()
    return models


def network_input(frames: np.ndarray, trained: TrainingSettings) -> np.ndarray:
    """What the models see of the key frames of a clip, uint8 (5, 512, 512): float32 (5, S, S, 1)."""
    from stenoscope.training.batches import render, validation_plan

    return render(frames, validation_plan(np.array([0])), trained.image_size).images


def ensemble_probabilities(models: list, images: np.ndarray, trained: TrainingSettings) -> np.ndarray:
    """Probability of "abnormal" by each model, float32 (num_models, n)."""
    from stenoscope.models.mirrors import predict_probabilities

    return np.stack([predict_probabilities(model, images, trained.mirrored_test)[:, 0] for model in models])


def ensemble_maps(models: list, images: np.ndarray, method: str, trained: TrainingSettings) -> np.ndarray:
    """The models' mean map of each image in the coordinates of the frame, float32 (n, 512, 512)."""
    from stenoscope.heatmaps.registry import heatmaps
    from stenoscope.models.classifier import heatmap_layer

    maps = np.mean(
        [heatmaps(model, images, method, heatmap_layer(model, trained)) for model in models], axis=0
    )
    return np.stack([in_frame(one) for one in maps])
