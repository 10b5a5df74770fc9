import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from stenoscope.report.panels import (
    Case,
    draw_montage,
    draw_panel,
    encode_png,
    panel_name,
    ring_of,
)


@pytest.fixture(scope="module")
def case():
    frame = np.random.default_rng(0).integers(60, 180, (512, 512), dtype=np.uint8)
    y, x = np.mgrid[:512, :512]
    heatmap = (2 * np.exp(-((x - 300) ** 2 + (y - 200) ** 2) / 800)).astype(np.float32)
    return Case("Patient_3/Coro_1", frame, heatmap, 0.93, 1, 1, np.array([[290, 190, 310, 212]]))


def test_the_panel_shows_frame_map_and_overlay(case):
    panel = draw_panel(case, 2.0, "hirescam")
    assert panel.dtype == np.uint8 and panel.shape[2] == 3
    original, heat = panel[58:458, 10:410], panel[58:458, 420:820]
    row, col = round(200 / 512 * 400), round(300 / 512 * 400)
    assert heat[row, col].sum() > 600  # brightest where the map is highest
    assert heat[350:, :100].max() == 0
    assert np.ptp(original[300].astype(int), axis=1).max() == 0  # grey


def test_boxes_label_and_decision_change_the_panel(case):
    panel = draw_panel(case, 2.0, "cam")
    for other in (
        replace(case, boxes=np.zeros((0, 4))),
        replace(case, label=0),
        replace(case, label=None),
        replace(case, decision=0),
        replace(case, probability=0.5),
    ):
        assert not np.array_equal(draw_panel(other, 2.0, "cam"), panel)


def test_pictures_are_deterministic(case):
    panel = draw_panel(case, 2.0, "cam")
    assert encode_png(panel) == encode_png(draw_panel(case, 2.0, "cam"))
    np.testing.assert_array_equal(Image.open(io.BytesIO(encode_png(panel))), panel)


def test_the_scale_is_fixed(case):
    weak = draw_panel(replace(case, heatmap=case.heatmap * 0.1), 2.0, "cam")[58:458, 420:820]
    strong = draw_panel(case, 2.0, "cam")[58:458, 420:820]
    assert weak.astype(int).sum() < 0.3 * strong.astype(int).sum()


def test_maps_without_evidence_and_lesions_at_the_border(case):
    draw_panel(
        replace(case, heatmap=np.full((512, 512), -1.0), boxes=np.array([[-9, 500, 5, 530]])), 1.0, "cam"
    )


def test_long_and_foreign_ids_fit(case):
    long = replace(case, clip_id="Ärzte/" * 60 + "x")
    assert draw_panel(long, 2.0, "cam").shape == draw_panel(case, 2.0, "cam").shape


def test_the_montage_of_many_clips_is_spread_over_all_of_them(case):
    asked = []

    def nth(clip_id):
        asked.append(int(clip_id))
        return replace(case, clip_id=clip_id, label=int(clip_id) % 2)

    sheet = draw_montage([str(n) for n in range(1000)], nth, 2.0, "cam", limit=7, tile=64)
    assert asked[0] == 0 and asked[-1] == 999 and sheet.ndim == 3
    gaps = np.diff(asked)
    assert len(gaps) == 6 and gaps.min() >= 166 and gaps.max() <= 167

    asked.clear()
    draw_montage([str(n) for n in range(7)], nth, 2.0, "cam", limit=7, tile=64)
    assert asked == list(range(7))
    assert draw_montage(["0"], nth, 2.0, "cam").shape[0] > 190


def test_right_and_wrong_decisions_look_different_in_the_montage(case):
    right = draw_montage(["c"], lambda clip_id: case, 2.0, "cam")
    wrong = draw_montage(["c"], lambda clip_id: replace(case, decision=0), 2.0, "cam")
    assert not np.array_equal(right, wrong)


def test_the_ring_lies_in_the_field_of_view_or_the_caption_says_why_there_is_none(case):
    blade = case.heatmap + 3 * np.eye(512, dtype=np.float32)[:, ::-1] * (np.arange(512) < 20)  # lower left
    inside = np.ones((512, 512), bool)
    inside[:, :40] = False
    assert ring_of(replace(case, heatmap=blade))[1] < 20
    assert ring_of(replace(case, heatmap=blade, inside=inside)) == (200, 300)
    bare = replace(case, heatmap=case.heatmap - 5)
    assert ring_of(bare) is None
    caption = slice(-34, None), slice(894, None)  # of the overlay
    with_ring, without = draw_panel(case, 2.0, "cam"), draw_panel(bare, 2.0, "cam")
    assert not np.array_equal(with_ring[caption], without[caption])


def test_names_keep_clips_of_folders_apart():
    assert panel_name("Patient_1/Coro_2", "cam") == "Patient_1__Coro_2.cam.png"
    assert panel_name("p1", "cam", "gif") == "p1.cam.gif"
