import numpy as np
import pandas as pd
import pytest

from stenoscope.errors import DatasetError
from stenoscope.evaluation.localisation import (
    BASELINES,
    box_mask,
    peak_pixels,
    score_baselines,
    score_clip,
    summarise_localisation,
    summarise_randomisation,
)

BOX = np.array([[100, 200, 110, 220]], np.float32)  # 10 x 20 pixels


def point(x, y, value=1.0):
    heatmap = np.zeros((512, 512), np.float32)
    heatmap[y, x] = value
    return heatmap


@pytest.mark.parametrize(
    "x,y,margin,hit",
    [
        (105, 210, 0, 1),
        (110, 210, 0, 0),  # the right edge is outside
        (100, 200, 0, 1),
        (99, 200, 0, 0),
        (110, 210, 16, 1),
        (125, 235, 16, 1),
        (126, 235, 16, 0),
        (84, 184, 16, 1),
        (83, 184, 16, 0),
    ],
)
def test_pointing_game_at_the_edges(x, y, margin, hit):
    assert score_clip(point(x, y), BOX, margin).hit == hit


def test_a_perfect_map():
    heatmap = box_mask(BOX, (512, 512)).astype(float)
    assert score_clip(heatmap, BOX) == pytest.approx((1.0, 1.0, 1.0, heatmap_distance()))


def heatmap_distance():
    """Mean distance of the box's own pixels to its centre."""
    x, y = np.meshgrid(np.arange(10) - 4.5, np.arange(20) - 9.5)
    return np.hypot(x, y).mean()


def test_hand_worked_energy_and_iou():
    heatmap = np.zeros((512, 512))
    heatmap[200:220, 100:120] = 1.0  # the box and as much again beside it
    heatmap[0, 0] = -50.0  # evidence against counts for nothing
    found = score_clip(heatmap, BOX, margin=0)
    assert found.energy == pytest.approx(0.5)
    assert found.iou == pytest.approx(0.5)
    assert found.hit == pytest.approx(0.5)  # half of the shared maxima


def test_distance_is_to_the_nearest_box():
    boxes = np.array([[0, 0, 11, 11], [100, 100, 111, 111]])  # centres (5, 5) and (105, 105)
    assert score_clip(point(108, 109), boxes).distance == pytest.approx(5.0)
    assert score_clip(point(108, 109), boxes).hit == 1
    assert score_clip(point(5, 5), boxes).distance == 0.0


def test_distance_in_the_middle_pixel_of_a_box_is_nothing():
    heatmap = np.zeros((32, 32))
    heatmap[11, 21] = 1.0
    assert score_clip(heatmap, np.array([[20, 10, 23, 13]])).distance == 0  # pixels 20 to 22, rows 10 to 12


def test_measures_do_not_depend_on_the_scale_of_a_map():
    heatmap = np.random.default_rng(0).normal(size=(512, 512))
    assert score_clip(heatmap, BOX) == pytest.approx(score_clip(heatmap * 1e-3, BOX))


def test_a_map_without_evidence_knows_nothing():
    found = score_clip(np.full((512, 512), -1.0), BOX, margin=0)
    assert found.energy == 0 and found.iou == 0
    assert found.hit == pytest.approx(200 / 512**2)  # a random pixel


def test_boxes_partly_outside_count_within_the_frame():
    assert score_clip(point(2, 3), np.array([[-20, -20, 10, 10]]), margin=0).energy == 1.0


@pytest.mark.parametrize("boxes", [np.zeros((0, 4)), np.array([[600, 0, 650, 50]])])
def test_no_visible_box_is_an_error(boxes):
    with pytest.raises(DatasetError, match="box"):
        score_clip(point(1, 1), boxes)


def test_maps_that_are_not_finite_are_refused():
    with pytest.raises(DatasetError, match="finite"):
        score_clip(point(1, 1, np.nan), BOX)


def test_baselines():
    mask = np.zeros((512, 512), bool)
    mask[205, 50:150] = True  # 100 vessel pixels, 10 in the box, 42 in the enlarged one
    vesselness = point(120, 210)
    found = score_baselines(mask, vesselness, BOX)
    assert tuple(found) == BASELINES
    assert found["image_centre"].hit == 0
    assert found["random_vessel_point"].hit == pytest.approx(0.42)
    assert found["random_vessel_point"].energy == pytest.approx(0.10)
    assert found["vesselness_maximum"].hit == 1
    assert found["wide_vessel_point"].hit == pytest.approx(0.42)  # a line is as wide everywhere
    centre = score_baselines(mask, vesselness, np.array([[250, 250, 260, 260]]))
    assert centre["image_centre"].hit == 1


def test_the_wide_vessel_point_is_on_the_widest_tenth_of_the_centre_lines():
    mask = np.zeros((512, 512), bool)
    mask[300:304, 20:420] = True  # 400 px of a narrow vessel
    mask[100:112, 80:180] = True  # 100 px of a wide one
    found = score_baselines(mask, mask * 1.0, np.array([[70, 90, 190, 120]]), margin=0)
    assert found["wide_vessel_point"].hit == 1
    assert found["random_vessel_point"].hit == pytest.approx(12 * 100 / (12 * 100 + 4 * 400))


def test_an_empty_vessel_mask_means_anywhere():
    found = score_baselines(np.zeros((512, 512), bool), point(1, 1), BOX, margin=0)
    assert found["random_vessel_point"].hit == pytest.approx(200 / 512**2)
    assert found["wide_vessel_point"].hit == pytest.approx(200 / 512**2)


def test_the_random_vessel_point_is_an_exact_expectation():
    rng = np.random.default_rng(0)
    mask = rng.random((512, 512)) < 0.05
    y, x = np.nonzero(mask)
    draws = rng.integers(0, len(x), 20_000)
    sampled = np.mean((x[draws] >= 84) & (x[draws] < 126) & (y[draws] >= 184) & (y[draws] < 236))
    exact = score_baselines(mask, mask * 1.0, BOX)["random_vessel_point"].hit
    assert exact == pytest.approx(sampled, abs=0.002)


def test_summary_by_method():
    rows = [
        (f"c{i}", f"p{i // 2}", method, hit, 0.1 * hit, 0.05, 10.0 + i)
        for i in range(40)
        for method, hit in (("cam", float(i % 4 > 0)), ("image_centre", 0.0))
    ]
    table = pd.DataFrame(
        rows, columns=["clip_id", "patient_id", "method", "hit", "energy", "iou", "distance"]
    )
    found = summarise_localisation(table)
    assert list(found) == ["cam", "image_centre"]
    assert found["cam"]["hit"]["mean"] == 0.75 and found["cam"]["clips"] == 40
    low, high = found["cam"]["hit"]["ci95"]
    assert 0.5 < low < 0.75 < high < 1
    assert found["cam"]["distance"]["median"] == pytest.approx(29.5)
    assert found["image_centre"]["baseline"] and not found["cam"]["baseline"]
    with pytest.raises(DatasetError, match="energy"):
        summarise_localisation(table.drop(columns="energy"))


def test_what_random_networks_keep_by_hand():
    table = pd.DataFrame(
        {
            "patient_id": ["p", "p", "q"] * 2,
            "clip_id": ["a", "b", "c"] * 2,
            "method": ["cam, head random"] * 3 + ["cam, all random"] * 3,
            "similarity": [0.6, 0.0, -0.3, 0.1, 0.1, 0.1],
            "magnitude": [0.6, 0.2, 0.4, 0.1, 0.1, 0.1],
            "hit": [1.0, np.nan, 0.0] + [np.nan] * 3,
        }
    )
    found = summarise_randomisation(table)
    assert list(found) == ["cam, head random", "cam, all random"]
    head, everything = found.values()
    assert head["clips"] == 3 and head["similarity"]["mean"] == pytest.approx(0.1)
    # Resamples hold p twice, q twice, or each once: means of 0.3, -0.3 and 0.1.
    assert head["similarity"]["ci95"] == pytest.approx([-0.3, 0.3])
    assert head["magnitude"]["mean"] == pytest.approx(0.4)
    assert head["hit"]["mean"] == pytest.approx(0.5)  # of the two clips whose lesion is known
    assert everything["hit"] is None and everything["similarity"]["ci95"] == pytest.approx([0.1, 0.1])


def test_the_maximum_is_that_of_the_highest_peak_in_the_field_of_view():
    blade, lesion = (50, 20), (300, 200)
    heatmap = np.zeros((512, 512))
    for (row, col), height in ((blade, 3.0), (lesion, 1.0)):
        y, x = np.mgrid[:512, :512]
        heatmap += height * np.exp(-((y - row) ** 2 + (x - col) ** 2) / 800)
    inside = np.ones((512, 512), bool)
    inside[:, :40] = False  # its edge lies on the slope of the blade's peak
    assert heatmap[50, 40] > heatmap[lesion]
    assert np.argwhere(peak_pixels(heatmap)).tolist() == [[50, 20]]
    assert np.argwhere(peak_pixels(heatmap, inside)).tolist() == [[300, 200]]
    boxes = np.array([[190, 290, 211, 311]])
    blind, seeing = score_clip(heatmap, boxes), score_clip(heatmap, boxes, inside=inside)
    assert (blind.hit, seeing.hit, seeing.distance) == (0, 1, 0)
    assert seeing.energy > blind.energy and seeing.iou > blind.iou


def test_a_map_that_only_slopes_has_its_maximum_where_the_field_ends():
    heatmap = np.tile(np.arange(512.0)[::-1], (512, 1))
    inside = np.ones((512, 512), bool)
    inside[:, :40] = False
    found = peak_pixels(heatmap, inside)
    assert found[:, 40].all() and found.sum() == 512


def test_baselines_know_the_field_of_view():
    vesselness = point(5, 5) + 0.5 * point(105, 205)  # a blade's edge, a vessel in the box
    mask, inside = vesselness > 0, np.ones((512, 512), bool)
    inside[:10] = False
    blind, seeing = (score_baselines(mask, vesselness, BOX, inside=field) for field in (None, inside))
    assert (blind["vesselness_maximum"].hit, seeing["vesselness_maximum"].hit) == (0, 1)
    assert (blind["random_vessel_point"].hit, seeing["random_vessel_point"].hit) == (0.5, 1)
