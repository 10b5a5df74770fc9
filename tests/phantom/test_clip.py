import inspect

import numpy as np
import pytest

from stenoscope.phantom import lesions
from stenoscope.phantom.clip import Painter, simulate_clip
from stenoscope.phantom.scene import draw_scene


def test_scene_does_not_know_the_label():
    assert "label" not in inspect.signature(draw_scene).parameters


@pytest.mark.parametrize("patient", [2, 5, 6])
@pytest.mark.parametrize("artery", ["RCA", "LCA"])
def test_truth_is_consistent(patient, artery):
    clip = simulate_clip(7, patient, 0, artery, 1, num_frames=6)
    truth, n = clip.truth, len(clip.frames)
    assert 0 <= truth.apex_range[0] <= truth.apex <= truth.apex_range[1] < n
    assert truth.start is None or 0 < truth.start <= truth.apex
    assert truth.end is None or truth.apex <= truth.end < n - 1
    assert clip.vessel_mask.shape == (512, 512) and 0.005 < clip.vessel_mask.mean() < 0.2
    assert clip.lesions
    for lesion in clip.lesions:
        assert lesion["box"] == lesion["boxes"][truth.apex] and len(lesion["boxes"]) == n
        for x0, y0, x1, y1 in lesion["boxes"]:
            assert 0 <= x0 < x1 <= 512 and 0 <= y0 < y1 <= 512
        x0, y0, x1, y1 = lesion["box"]
        assert clip.vessel_mask[y0:y1, x0:x1].any()
        assert 0.5 <= lesion["severity"] <= 0.9


def test_normal_clip_has_no_lesion():
    assert simulate_clip(7, 2, 0, "RCA", 0, size=96, num_frames=3).lesions == []


@pytest.mark.parametrize("artery", ["RCA", "LCA"])
def test_twins_of_both_labels_differ_only_around_the_lesion(scenes, artery):
    scene = scenes[artery]
    for i in (0, scene.truth.apex, len(scene.contrast) - 1):
        healthy, ill = (
            Painter(scene, *lesions.apply_lesions(scene.tree, group)).frame(i, None)
            for group in ([], scene.lesions)
        )
        away = np.ones((512, 512), bool)
        for lesion in scene.lesions:
            track = scene.positions[i, lesion.samples]
            (x0, y0), (x1, y1) = track.min(axis=0) - 24, track.max(axis=0) + 24
            away[max(int(y0), 0) : max(int(y1), 0), max(int(x0), 0) : max(int(x1), 0)] = False
        difference = np.abs(ill - healthy)
        assert difference[away].max() < 0.35  # what scatter carries away
        if i == scene.truth.apex:
            assert difference.max() > 5.0


def test_twins_share_noise_header_and_truth():
    normal, abnormal = (simulate_clip(7, 4, 0, "RCA", label, size=96, num_frames=4) for label in (0, 1))
    assert normal.truth == abnormal.truth and normal.view == abnormal.view
    assert (normal.bits, normal.text, normal.frame_time_ms) == (
        abnormal.bits,
        abnormal.text,
        abnormal.frame_time_ms,
    )
    same = np.mean(normal.frames == abnormal.frames)
    assert 0.9 < same < 1.0  # noise included


def test_vessels_are_dark_and_show_when_filled():
    clip = simulate_clip(7, 3, 0, "RCA", 0, num_frames=8, noise=False)
    apex = clip.frames[clip.truth.apex].astype(float)
    first = clip.frames[0].astype(float)
    drop = (first - apex)[clip.vessel_mask]
    assert np.median(drop) / (clip.window[1] - clip.window[0]) > 0.03


def test_frames_change_with_the_address_only():
    kwargs = {"size": 64, "num_frames": 3}
    base = simulate_clip(7, 1, 0, "LCA", 1, **kwargs).frames
    assert np.array_equal(base, simulate_clip(7, 1, 0, "LCA", 1, **kwargs).frames)
    for other in ((8, 1, 0), (7, 2, 0), (7, 1, 1)):
        frames = simulate_clip(*other, "LCA", 1, **kwargs).frames
        assert frames.dtype != base.dtype or not np.array_equal(base, frames)


@pytest.mark.parametrize("artery", ["RCA", "LCA"])
def test_all_but_the_lumen_is_the_same_with_and_without_lesions(scenes, artery):
    scene = scenes[artery]
    apex = scene.truth.apex
    healthy, ill = (
        Painter(scene, *lesions.apply_lesions(scene.tree, group)) for group in ([], scene.lesions)
    )
    assert np.array_equal(healthy.perfused, ill.perfused) and healthy.perfused.max() > 0
    assert healthy.exposure == ill.exposure
    for part in ("chest", "catheter", "reflux"):
        assert np.array_equal(getattr(healthy, part)(apex), getattr(ill, part)(apex)), part
    assert not np.array_equal(healthy.lumen(apex, scene.filled), ill.lumen(apex, scene.filled))
