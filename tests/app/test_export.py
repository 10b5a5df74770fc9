"""An experiment of five small random networks, written as ONNX and held against `predict`'s own functions."""

import json
from dataclasses import asdict, replace

import cv2
import keras
import numpy as np
import pytest
import yaml

from stenoscope.app import export as stage
from stenoscope.app.ensemble import ensemble_maps, ensemble_probabilities
from stenoscope.errors import DatasetError, SettingsError
from stenoscope.export import onnx_file
from stenoscope.learners.cnn import Cnn
from stenoscope.models.classifier import build_classifier, set_mean_image
from stenoscope.run import provenance
from stenoscope.settings import ExportSettings
from tests.training.small import settings as small_settings

SMALL = small_settings(weights="none", attention="none")


def blotches(seed: int, count: int, size: int) -> np.ndarray:
    """Smooth random pictures, float (count, size, size), 0 to 255."""
    coarse = np.random.default_rng(seed).uniform(0, 255, (count, 8, 8))
    return np.stack([cv2.resize(one, (size, size), interpolation=cv2.INTER_LINEAR) for one in coarse])


def random_model(seed: int):
    """A classifier whose maps tell places apart, with a mean image that has no symmetry."""
    model = build_classifier(SMALL)
    kernel = model.get_layer("class_map").kernel
    kernel.assign(np.random.default_rng(seed).normal(0, 200, kernel.shape))
    model.get_layer("logits").bias.assign([-0.5])
    set_mean_image(model, blotches(seed, 1, 500)[0] / 2)
    return model


@pytest.fixture(scope="module")
def models():
    return [random_model(seed) for seed in range(2)]


def learners_of(models, trained=SMALL):
    found = [Cnn(trained) for _ in models]
    for learner, model in zip(found, models, strict=True):
        learner.model = model
    return found


@pytest.fixture(scope="module")
def frames():
    return blotches(9, 5, 512).astype(np.uint8)


@pytest.mark.parametrize("mirrored", [False, True])
def test_the_network_is_what_predict_computes(models, frames, mirrored):
    learners = learners_of(models, replace(SMALL, mirrored_test=mirrored))
    network = Cnn.as_network(learners)
    found = {name: np.asarray(value) for name, value in network(frames).items()}
    of_folds = ensemble_probabilities(learners, frames)
    maps = ensemble_maps(learners, frames, "cam")
    assert np.ptp(of_folds) > 0.01 and np.ptp(maps) > 0.1, "something to compare"
    np.testing.assert_allclose(found["fold_probability"], of_folds.T, atol=1e-5)
    np.testing.assert_allclose(found["probability"], of_folds.mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(found["heatmap"], maps, atol=1e-4 * np.abs(maps).max())


@pytest.fixture(scope="module")
def experiment(tmp_path_factory, models):
    """What `export` reads of a finished experiment; its five models are two in turns."""
    folder = tmp_path_factory.mktemp("results") / "five"
    for number in range(1, 6):
        (folder / f"fold_{number}").mkdir(parents=True)
        models[number % 2].save(folder / f"fold_{number}" / "model.keras")
    (folder / "config.yaml").write_text(yaml.safe_dump(asdict(SMALL)))
    provenance.write_json(folder / "summary.json", {})
    (folder / "predictions.csv").write_text("")
    outputs = provenance.hash_files(folder, ["predictions.csv"])
    more = {"heatmap_scales": {"cam": 2.5}, "outputs": outputs}
    provenance.write_manifest(folder, "experiment", SMALL, {}, {}, **more)
    return folder


def test_the_file_agrees_and_says_what_it_is(experiment, tmp_path, capsys):
    for package in ("onnx", "onnxruntime", "tf2onnx"):
        pytest.importorskip(package, reason=f"{package} is not installed (requirements-extra.txt)")
    if keras.backend.backend() != "tensorflow":
        pytest.skip("ONNX is written with TensorFlow")
    import onnx
    import onnxruntime

    stage.export(ExportSettings(experiment=str(experiment), output=str(tmp_path / "out"), threads=1))
    assert "onnxruntime against Keras: probability" in capsys.readouterr().out
    path = tmp_path / "out" / "model.onnx"
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["outputs"] == {"model.onnx": provenance.sha256_file(path)}
    assert max(manifest["differences"].values()) < 1e-4
    said = {item.key: item.value for item in onnx.load(str(path)).metadata_props}
    assert "not for clinical use" in said["use"] and said["heatmap_scale"] == "2.5"
    assert "mirror" in said["probability"] and json.loads(said["settings"])["image_size"] == 32
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for count in (1, 3):
        given = session.run(None, {"frames": np.zeros((count, 512, 512), np.uint8)})
        shapes = dict(
            zip([output.name for output in session.get_outputs()], map(np.shape, given), strict=True)
        )
        assert shapes == {
            "probability": (count,), "fold_probability": (count, 5), "heatmap": (count, 512, 512)
        }  # fmt: skip


def test_a_file_that_differs_is_not_kept(experiment, models, frames, tmp_path, monkeypatch):
    wrong = {"probability": np.full(5, 0.5), "fold_probability": np.full((5, 2), 0.5), "heatmap": np.zeros(1)}
    monkeypatch.setattr(stage, "extra", lambda package: None)
    monkeypatch.setattr(stage, "load_learners", lambda *_: learners_of(models))
    monkeypatch.setattr(stage, "_frames_to_check", lambda seed: frames)
    monkeypatch.setattr(onnx_file, "write_onnx", lambda network, path, properties: path.write_bytes(b"file"))
    monkeypatch.setattr(onnx_file, "run_onnx", lambda path, frames: wrong)
    with pytest.raises(SettingsError, match="would differ from the models"):
        stage.export(ExportSettings(experiment=str(experiment), output=str(tmp_path)))
    assert list(tmp_path.iterdir()) == []


def test_an_unfinished_experiment_is_refused(tmp_path):
    with pytest.raises(DatasetError) as caught:
        stage.export(ExportSettings(experiment=str(tmp_path)))
    assert "python main.py" in caught.value.fix
