"""Write a finished experiment's ensemble as one ONNX file, checked against the models it was made from."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np

from stenoscope import __version__
from stenoscope.app.ensemble import ensemble_maps, ensemble_probabilities, load_learners
from stenoscope.errors import SettingsError
from stenoscope.export.extras import extra
from stenoscope.learners.protocol import Learner
from stenoscope.phantom.clip import simulate_clip
from stenoscope.records import FRAME_SIZE
from stenoscope.results.experiment import Experiment, read_experiment
from stenoscope.roles import names
from stenoscope.run import locks, provenance
from stenoscope.run.cli import finish, progress, say
from stenoscope.run.commands import typed
from stenoscope.settings import ExportSettings, TrainingSettings

FILE = "model.onnx"

_PACKAGES = ("onnx", "tf2onnx", "onnxruntime")
_CHECKED_FRAMES = 5  # of each simulated clip
_CHECKED_CLIPS = (("LCA", 1), ("RCA", 0))  # artery and label of the simulated clips


@locks.released()
def export(settings: ExportSettings) -> None:
    """Write `model.onnx`: from key frames, uint8 (n, 512, 512), to probability and heatmap.

    The file does what `predict` does with key frames: centre crop, resampling, all models, the mean over
    mirror images if the experiment has it, the class activation map in the frame's coordinates. Both are run
    on simulated key frames, and a file that differs by more than the tolerance is not kept. tf2onnx joins
    equal nodes in an order of its own, so the file's bytes, unlike its results, can differ from run to run. A
    DatasetError if the experiment is not finished; a SettingsError if a package is missing, or the file
    disagrees with the models.
    """
    experiment = Path(settings.experiment)
    data = read_experiment(experiment)
    manifest, trained = data.manifest, data.trained
    output = Path(settings.output) if settings.output else experiment / "export"
    locks.hold(output)
    learners = load_learners(experiment, trained, settings.threads)
    for package in _PACKAGES:  # after TensorFlow was imported quietly, which tf2onnx would let print
        extra(package)
    from stenoscope.export.onnx_file import run_onnx, write_onnx

    path = output / FILE
    say("Writing the ONNX file, then checking it against the models ...")
    with provenance.atomic_path(path) as temporary, progress("export", 4) as step:
        network = learners[0].as_network(learners)
        step()
        frames = _frames_to_check(trained.seed)
        write_onnx(network, temporary, _properties(data, learners[0].explain(frames[:1], "cam").shape[1]))
        step()
        found = run_onnx(temporary, frames)
        step()
        differences = _differences(found, learners, frames)
        step()
        if max(differences.values()) > settings.tolerance:
            raise SettingsError(
                f"{path} would differ from the models: {_said(differences)}.",
                f"at most {settings.tolerance:g}",
                "use the versions of requirements.lock; raise --tolerance if the difference does not matter.",
            )
    provenance.write_manifest(
        output,
        "export",
        asdict(settings),
        {"experiment": provenance.sha256_json(manifest["outputs"])},
        {"models": len(learners), "frames checked": len(frames)},
        typed(),
        outputs={FILE: provenance.sha256_file(path)},
        differences=differences,
    )
    rows = [
        ("model", f"{path} ({path.stat().st_size / 1e6:.1f} MB)"),
        ("takes", f"frames: uint8 (n, {FRAME_SIZE}, {FRAME_SIZE}), key frames with dark vessels"),
        (
            "gives",
            f"probability (n,), fold_probability (n, {len(learners)}), heatmap (n, 512, 512) in logits",
        ),
        ("checked", f"{len(frames)} simulated frames, onnxruntime against Keras: {_said(differences)}"),
    ]
    finish(f"The {len(learners)} models of {experiment} in one file", rows, None)


def _frames_to_check(seed: int) -> np.ndarray:
    """Frames of simulated clips around their fullest opacification, uint8 (n, 512, 512)."""
    found = []
    for patient, (artery, label) in enumerate(_CHECKED_CLIPS):
        clip = simulate_clip(seed, patient, 0, artery, label, num_frames=25)
        first = min(max(clip.truth.apex - 2, 0), len(clip.frames) - _CHECKED_FRAMES)
        frames = clip.frames[first : first + _CHECKED_FRAMES]
        found.append((frames >> (clip.bits - 8)).astype(np.uint8))
    return np.concatenate(found)


def _differences(found: dict, learners: list[Learner], frames: np.ndarray) -> dict[str, float]:
    """Largest difference of each output to what `predict` computes; heatmaps in parts of their maximum."""
    of_folds = ensemble_probabilities(learners, frames)
    maps = ensemble_maps(learners, frames, "cam")
    return {
        "probability": float(np.abs(found["probability"] - of_folds.mean(axis=0)).max()),
        "fold_probability": float(np.abs(found["fold_probability"] - of_folds.T).max()),
        "heatmap": float(np.abs(found["heatmap"] - maps).max() / np.abs(maps).max()),
    }


def _said(differences: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.1e}" for name, value in differences.items())


def _properties(data: Experiment, cells: int) -> dict[str, str]:
    """What the file says of itself."""
    manifest, trained = data.manifest, data.trained
    private = names(TrainingSettings, "place", "speed")  # not for those who receive the file
    settings = {name: value for name, value in asdict(trained).items() if name not in private}
    decisions = data.summary.get("decisions")
    properties = {
        "name": f"Stenoscope, experiment {data.folder.name}",
        "use": "For research only. Not a medical device; not for clinical use.",
        "frames": "key frames, uint8, 512 x 512, grey levels after modality and VOI LUT, vessels dark",
        "probability": "of 'abnormal', mean of the folds' models"
        + (" and of four mirror images" if trained.mirrored_test else ""),
        "heatmap": f"class activation map, {cells} x {cells} cells stretched to the frame, logits, signed",
        "heatmap_scale": f"{manifest['heatmap_scales']['cam']:.6g}",
        "stenoscope_version": __version__,
        "experiment_sha256": provenance.sha256_json(manifest["outputs"]),
        "settings": json.dumps(settings, sort_keys=True),
        "versions": json.dumps(manifest["versions"], sort_keys=True),
    }
    if decisions is not None:
        properties["calibration"] = json.dumps(decisions["typical"], sort_keys=True)
    return properties
