from types import SimpleNamespace

import cv2
import numpy as np
import pandas as pd
import pytest

from stenoscope.app.explain import (
    StoredMaps,
    draw_heatmaps,
    lesion_boxes,
    localise,
    randomisation,
    write_maps,
)
from stenoscope.augmentation.grid import CENTRE_CROP
from stenoscope.learners.cnn import Cnn
from stenoscope.settings import TrainingSettings


def test_boxes_outside_the_frame_are_left_out():
    boxes = np.zeros((5, 4), np.float32)
    inside, left, below = boxes.copy(), boxes.copy(), boxes.copy()
    inside[2], left[2], below[2] = [500, 500, 530, 520], [-30, 5, 0, 20], [5, 512, 20, 530]
    clips = SimpleNamespace(lesions=[[{"boxes": box} for box in (inside, left, below)], []])
    np.testing.assert_array_equal(lesion_boxes(clips, 0, 2), [[500, 500, 530, 520]])
    assert lesion_boxes(clips, 1, 2).shape == (0, 4)


SMALL = TrainingSettings(weights="none", image_size=32, cut="block0_project_bn", attention="none")


def _clips(count=3):
    """Clips of noise; the lesion of each abnormal (odd) one moves by 2 px a key frame, to 300 + 4, 100."""
    rng = np.random.default_rng(0)
    frames = np.array([rng.integers(60, 200, (64, 64)) for _ in range(5 * count)], np.uint8)
    boxes = np.array([[300 + 2 * k, 100, 320 + 2 * k, 120] for k in range(5)], np.float32)
    return SimpleNamespace(
        frames=np.stack(
            [cv2.resize(frame, (512, 512), interpolation=cv2.INTER_CUBIC) for frame in frames]
        ).reshape(count, 5, 512, 512),
        num_keyframes=5,
        lesions=[[{"boxes": boxes}] if clip % 2 else [] for clip in range(count)],
        patient_ids=[f"p{clip}" for clip in range(count)],
        clip_ids=[f"p{clip}/c" for clip in range(count)],
    )


@pytest.fixture(scope="module")
def explained(tmp_path_factory):
    """An experiment whose first fold tests all three clips; the other folds test none."""
    from stenoscope.models.classifier import build_classifier

    experiment, clips = tmp_path_factory.mktemp("experiment"), _clips()
    model = build_classifier(SMALL)
    model.get_layer("class_map").kernel.assign(
        np.random.default_rng(3).normal(0, 0.1, model.get_layer("class_map").kernel.shape)
    )
    before = [array.copy() for array in model.get_weights()]
    probabilities = np.array(
        [[0.1, 0.9, 0.2, 0.3, 0.4], [0.5, 0.4, 0.3, 0.2, 0.1], [0, 0, 0, 0, 1]], np.float32
    )
    fold = SimpleNamespace(valid=np.array([2, 0, 1]), number=1)
    learner = Cnn(SMALL)
    learner.model = model
    write_maps(experiment / "fold_1", learner, clips, fold, probabilities)
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    for number in range(2, 6):
        folder = experiment / f"fold_{number}" / "maps"
        folder.mkdir(parents=True)
        for path in (experiment / "fold_1" / "maps").iterdir():
            np.save(folder / path.name, np.load(path)[:0])
        table = experiment / "fold_1" / "randomisation.csv"
        (folder.parent / table.name).write_text(table.read_text().splitlines()[0] + "\n")
    return SimpleNamespace(experiment=experiment, clips=clips, model=model)


def test_stored_maps_are_those_of_the_models_shown_frames(explained):
    from stenoscope.heatmaps.clip_map import clip_map
    from stenoscope.heatmaps.registry import evidence
    from stenoscope.training.centre import centre_images

    maps = StoredMaps(explained.experiment, SMALL, "cam", 5)
    assert list(maps) == [2, 0, 1]
    assert [maps[clip][0] for clip in (2, 0, 1)] == [1, 0, 4]  # the likeliest key frame of each
    images = centre_images(explained.clips.frames[0], 32)
    five = evidence(explained.model, images, "cam", "")
    np.testing.assert_allclose(maps.cells(0), five[0], rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(maps[0][1], CENTRE_CROP.place(maps.cells(0)))
    keyframe, of_clip = StoredMaps(explained.experiment, SMALL, "cam_clip", 5)[0]
    expected = clip_map(np.stack([CENTRE_CROP.place(one) for one in five]), explained.clips.frames[0])
    expected = cv2.resize(cv2.resize(expected, (128, 128), interpolation=cv2.INTER_AREA), (512, 512))
    assert keyframe == 2 and of_clip.shape == (512, 512)
    np.testing.assert_allclose(of_clip, expected, rtol=1e-3, atol=1e-3)


def test_every_map_is_measured_where_a_lesion_is_known(explained):
    table = localise(explained.experiment, explained.clips, SMALL)
    assert table["clip_id"].unique().tolist() == ["p1/c"]
    assert table["method"].tolist() == [
        "cam", "cam, clip", "hirescam", "hirescam, clip",
        "image_centre", "random_vessel_point", "wide_vessel_point", "vesselness_maximum",
    ]  # fmt: skip


def test_a_clips_map_is_measured_against_the_middle_key_frame(tmp_path):
    clips = _clips(2)
    spot = np.zeros((128, 128), np.float32)
    spot[110 // 4, 314 // 4] = 1  # the box of the middle frame has its centre at x = 314, y = 110
    for number in range(1, 6):
        folder = tmp_path / f"fold_{number}" / "maps"
        folder.mkdir(parents=True)
        rows = {"clips": np.array([1]), "keyframe": np.array([0]), "cam": np.zeros((1, 4, 4), np.float32)}
        for name, values in {**rows, "cam_clip": spot[None]}.items():
            np.save(folder / f"{name}.npy", values[: number == 1])
    table = localise(tmp_path, clips, TrainingSettings(heatmap="cam")).set_index("method")
    assert table.loc["cam, clip", "hit"] == 1 and table.loc["cam, clip", "distance"] < 4


def test_random_networks_are_compared_and_summed_up(explained):
    table = pd.read_csv(explained.experiment / "fold_1" / "randomisation.csv")
    assert table["clip_id"].unique().tolist() == ["p1/c"]  # the one whose lesion is known
    assert (table["magnitude"] >= table["similarity"].abs() - 1e-6).all() and (table["magnitude"] < 1).all()
    found = randomisation(explained.experiment, seed=1)
    assert list(found) == ["cam, head random", "cam, all random"]
    assert all(row["clips"] == 1 and 0 <= row["hit"]["mean"] <= 1 for row in found.values())


def test_a_panel_for_every_clip_and_map(explained):
    rows = [
        {
            "fold": 1,
            "patient_id": f"p{c}",
            "clip_id": f"p{c}/c",
            "frame_index": k,
            "label": c % 2,
            "probability": 0.5,
        }
        for c in range(3)
        for k in range(5)
    ]
    scales = draw_heatmaps(explained.experiment, explained.clips, pd.DataFrame(rows), SMALL)
    assert list(scales) == ["cam", "cam_clip", "hirescam"] and all(scale > 0 for scale in scales.values())
    drawn = {path.name for path in (explained.experiment / "heatmaps").iterdir()}
    assert drawn == {f"p{c}__c.{name}.png" for c in range(3) for name in scales} | {"montage.png"}
