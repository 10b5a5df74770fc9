import numpy as np
import pytest

from stenoscope.errors import SettingsError
from stenoscope.learners.cnn import Cnn
from stenoscope.settings import TrainingSettings
from tests.training.small import TEST, part, settings, seven_clips


@pytest.mark.parametrize("own, drawn", [("cam", ["cam", "hirescam"]), ("hirescam", ["hirescam", "cam"])])
def test_the_own_map_comes_first_and_both_are_drawn(own, drawn):
    assert Cnn.methods(TrainingSettings(heatmap=own)) == drawn


def test_slow_methods_are_those_of_the_registry(monkeypatch):
    monkeypatch.setattr("stenoscope.heatmaps.registry.SLOW", ("occlusion", "another"))
    assert Cnn(settings()).slow == ("occlusion", "another")


def test_a_wrong_heatmap_is_refused_before_any_training():
    with pytest.raises(SettingsError, match="saliency"):
        Cnn(settings(heatmap="saliency"))
    with pytest.raises(SettingsError, match="no attention"):
        Cnn(settings(heatmap="attention", attention="none", pooling="average"))


def test_a_loaded_learner_predicts_and_explains_as_the_saved_one(tmp_path):
    frames = seven_clips()
    learner = Cnn(settings(epochs=1))
    history = learner.fit(part(frames))
    assert [row["epoch"] for row in history] == [0]
    test = frames[TEST[0]]
    learner.save(tmp_path / "model.keras")
    again = Cnn.load(tmp_path / "model.keras", learner.settings)
    np.testing.assert_allclose(again.predict(test), learner.predict(test), atol=1e-6)
    for method in ("cam", "hirescam"):
        one, other = (each.explain(test, method) for each in (learner, again))
        assert one.shape[0] == 5 and one.dtype == np.float32
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)
    assert learner.predict(test[:0]).shape == (0, 1)
    with learner.randomised("all", [1, 2]):
        changed = learner.explain(test, "cam")
    np.testing.assert_array_equal(learner.explain(test, "cam"), one := learner.explain(test, "cam"))
    assert not np.allclose(changed, one)
