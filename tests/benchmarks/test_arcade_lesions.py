import json
import math
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pandas as pd
import pytest

from benchmarks.arcade import alike, crops, localise, matching, network
from benchmarks.arcade import task as arcade_task
from benchmarks.arcade.images import read_grey
from benchmarks.arcade.task import Keeper
from benchmarks.arcade.vessels import FEATURES, CoronaryFilter, describe, on_mask

NARROW = 256  # column of the lesion of `frame`


def frame(row=256, lesion=True, seed=0):
    """A vessel along a row, 14 px wide, with a narrowing of 40 px, and what it covers."""
    cols = np.arange(512)
    profile = np.full(512, 7.0)
    if lesion:
        profile -= 4.5 * np.exp(-(((cols - NARROW) / 16.0) ** 4))
    depth = np.maximum(0, 1 - ((np.arange(512)[:, None] - row) / profile) ** 2)
    noise = np.random.default_rng(seed).normal(0, 2, (512, 512))
    return np.clip(150 - 60 * np.sqrt(depth) + noise, 0, 255).astype(np.uint8), depth > 0


class Anything:
    """A filter that takes every point for a coronary artery."""

    def __call__(self, points):
        return np.ones(len(points), np.float32)


@pytest.fixture(scope="module")
def cohort():
    sources = []
    for index in range(10):
        row, lesion = 150 + 20 * index, index % 2 == 0
        boxes = np.array([[NARROW - 20, row - 10, NARROW + 20, row + 10]] if lesion else [], np.float32)
        boxes = boxes.reshape(-1, 4)
        middles = (boxes[:, :2] + boxes[:, 2:]) / 2
        sources.append(crops.Source(frame(row, lesion, index)[0], f"p{index}", boxes, middles))
    return crops.make_cohort(sources, [describe(source.frame) for source in sources], Anything())


def test_centre_lines_follow_the_vessel():
    image, mask = frame()
    points = describe(image)
    assert points.shape[1] == len(FEATURES) and len(points) > 100
    column = dict(zip(FEATURES, points.T, strict=True))
    assert np.abs(column["y"] - 256).max() <= 3
    healthy, narrow = np.abs(column["x"] - NARROW) > 60, np.abs(column["x"] - NARROW) < 8
    assert np.median(column["width"][narrow]) < 0.7 * np.median(column["width"][healthy])
    assert on_mask(points, mask).all() and not on_mask(points, np.zeros_like(mask)).any()


def test_an_empty_frame_has_no_centre_lines():
    assert describe(np.full((512, 512), 90, np.uint8)).shape == (0, len(FEATURES))


def test_the_filter_learns_what_a_mask_holds():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(400, len(FEATURES))).astype(np.float32)
    truth = points[:, 4] > 0
    kept = CoronaryFilter().fit(points[:300], truth[:300])(points[300:])
    assert ((kept > 0.5) == truth[300:]).mean() > 0.95


def test_squares_and_boxes_touch_by_hand():
    boxes = np.array([[100, 100, 120, 110]], np.float32)
    centres = np.array([[36, 105], [35, 105], [36.5, 105], [184, 105], [183.9, 174.1]])
    assert crops.touches(centres, boxes, 64).tolist() == [False, False, True, False, False]
    assert not crops.touches(centres, boxes[:0], 64).any()


def test_positives_show_their_lesion_and_negatives_none(cohort):
    half = crops.CROP / 2
    assert len(cohort.lesions) == 5
    for (number, points), owner in zip(cohort.lesions, cohort.lesion_owner, strict=True):
        assert (cohort.owner[points] == owner).all()
        away = np.abs(cohort.points[points, :2] - cohort.middles[owner][number])
        assert away.max() <= crops.REACH and away[:, 0].max() > crops.REACH - 4  # not all centred alike
    for point in cohort.negatives:
        for x0, y0, x1, y1 in cohort.boxes[cohort.owner[point]]:
            x, y = cohort.centre(point)
            assert x + half <= x0 or x - half >= x1 or y + half <= y0 or y - half >= y1


def test_the_middle_of_a_bow_lies_on_it():
    mask = np.zeros((40, 40), np.uint8)
    cv2.ellipse(mask, (20, 20), (15, 15), 0, 0, 270, 1, 3)
    x, y = crops.middle_of(mask)
    assert mask[y, x]


def test_a_pose_takes_points_where_it_takes_pixels():
    contrast = np.zeros((512, 512), np.float32)
    centre, spot = np.array([200.0, 240.0]), np.array([225, 222])
    cv2.circle(contrast, spot.tolist(), 4, 100.0, -1)
    pose = crops.Pose(0.7, True, 1.1)
    image = crops.cut_out(contrast, centre, 160, 1.25, pose)
    rows, cols = np.nonzero(image > 100)
    expected = 79.5 + crops.matrix(pose, 1.25) @ (spot - centre)
    assert np.hypot(cols.mean() - expected[0], rows.mean() - expected[1]) < 0.5
    assert image.max() <= 255 and image.dtype == np.float32


def test_a_narrowing_changes_its_place_alone(cohort):
    point = cohort.negatives[len(cohort.negatives) // 2]
    image, centre = cohort.frames[cohort.owner[point]], cohort.centre(point)
    window, offset = crops.narrowed(image, centre, 3)
    assert np.abs(offset).max() <= crops.REACH
    half = window.shape[0] // 2
    col, row = np.rint(centre).astype(int)
    padded = cv2.copyMakeBorder(
        cohort.contrast[cohort.owner[point]].astype(np.float32), half, half, half, half, cv2.BORDER_REPLICATE
    )
    before = padded[row : row + 2 * half + 1, col : col + 2 * half + 1]
    change = np.abs(window - before)[20:-20, 20:-20]
    rows, cols = np.nonzero(change > 8)
    assert len(rows) > 20
    assert np.hypot(cols.mean() + 20 - half - offset[0], rows.mean() + 20 - half - offset[1]) < 8


def test_what_is_known_of_cells():
    grid = (10, 10)
    lesion = network.cell_targets(np.array([79.5, 31.5]), 1, False, grid)[..., 0]  # row 4.5, column 1.5
    assert np.argwhere(lesion == 1).tolist() == [[4, 1], [4, 2], [5, 1], [5, 2]]
    assert lesion[0, 9] == 0 and np.isnan(lesion[3, 1])
    assert np.isnan(network.cell_targets(None, 1, True, grid)).all()  # a real lesion, somewhere
    assert np.isnan(network.cell_targets(None, 0, False, grid)).all()
    assert (network.cell_targets(None, 0, True, grid) == 0).all()  # simulated: nowhere
    assert np.isnan(network.cell_targets(np.array([80.0, 300.0]), 1, True, grid)).all()


def skewed(seed):
    """A cohort without pixels whose positives differ from most negatives in position and width."""
    rng = np.random.default_rng(seed)
    owner = np.repeat(np.arange(60), 40)
    points = rng.normal(0, 1, (len(owner), len(FEATURES) + 1)).astype(np.float32)
    points[:, 0] = rng.uniform(0, 512, len(owner))
    lesions = []
    for index in range(60):
        here = np.flatnonzero(owner == index)
        odds = (points[here, 0] / 512) ** 2 * (points[here, 2] > 0)
        lesions.append((0, rng.choice(here, 4, replace=False, p=odds / odds.sum())))
    taken = np.concatenate([item for _, item in lesions])
    negatives = np.setdiff1d(np.arange(len(owner)), taken)
    boxes = [np.zeros((0, 4), np.float32)] * 60
    patients = np.array([f"p{index}" for index in range(60)])
    return crops.Cohort(
        np.zeros((60, 1, 1)), np.zeros((60, 1, 1)), patients, boxes, boxes, points, owner, lesions, negatives
    )


def test_matching_takes_the_shortcut_away():
    cohort = skewed(0)
    matcher = matching.Matcher(cohort, np.random.default_rng(0))
    positives = np.array([points[0] for _, points in cohort.lesions])
    negatives = matcher.pair(positives)
    found = negatives >= 0
    assert found.mean() > 0.9 and len(set(negatives[found])) == found.sum()
    assert np.bincount(cohort.owner[negatives[found]]).max() <= matching.PER_FRAME
    assert np.isin(negatives[found], cohort.negatives).all()

    many = np.concatenate([points for _, points in cohort.lesions])
    rng = np.random.default_rng(1)
    random = rng.choice(cohort.negatives, len(many), replace=False)
    matched = matcher.draw(many, rng, cohort.negatives)
    kinds = {"random": random, "matched": matched}
    auc = {
        kind: matching.covariate_auc((cohort, many, drawn), (cohort, many, drawn))["logistic"]
        for kind, drawn in kinds.items()
    }
    assert auc["random"]["cross-fitted, main"] > 0.75
    assert auc["matched"]["cross-fitted, main"] < 0.62


def test_draws_come_from_those_allowed():
    cohort = skewed(2)
    matcher = matching.Matcher(cohort, np.random.default_rng(0))
    positives = np.array([points[0] for _, points in cohort.lesions])
    among = cohort.negatives[::9]
    drawn = matcher.draw(positives, np.random.default_rng(3), among)
    assert np.isin(drawn, among).all() and len(set(drawn)) > 5


def test_one_vessel_is_alike_itself_and_not_another():
    first = np.stack([frame(150)[0], frame(300)[0]])
    second = np.stack([np.roll(frame(150, seed=5)[0], 12, axis=0), first[1]])
    found = alike.likeness(first, second)
    assert found[1, 1] == pytest.approx(1, abs=1e-4) and found[0, 0] > 0.9 and found[0, 1] < alike.ALIKE
    assert alike.groups(np.concatenate([first, second])).tolist() == [0, 1, 0, 1]


def test_windows_hold_a_lesion_and_pointing_scores_by_hand(cohort):
    windows = localise.draw_windows(cohort, np.random.default_rng(0))
    assert len(windows) == len(cohort.lesions)
    exact, blind = (np.zeros((len(windows), localise.WINDOW, localise.WINDOW)) for _ in range(2))
    for index, window in enumerate(windows):
        assert (window.corner >= 0).all() and (window.corner + localise.WINDOW <= 512).all()
        x, y = ((window.boxes[0, :2] + window.boxes[0, 2:]) / 2).astype(int)
        exact[index, y, x] = 1
        blind[index, (y + 128) % 256, x] = 1
    table = localise.pointing(cohort, windows, {"exact": exact, "blind": blind})
    hit = table.groupby("method")["hit"].mean()
    assert hit["exact"] == 1 and hit["blind"] == 0
    assert 0 < hit["random_vessel_point"] < 0.5  # 40 of 256 columns of one vessel


def turned(angle, seed):
    """A vessel through the middle of the frame at an angle, its lesion in the middle, and what it covers."""
    (image, mask), noise = frame(seed=seed), frame(row=-99, seed=seed + 1)[0]
    matrix = cv2.getRotationMatrix2D((NARROW, 256), angle, 1.0)
    image = cv2.warpAffine(image, matrix, (512, 512), borderMode=cv2.BORDER_REFLECT)
    mask = cv2.warpAffine(mask.astype(np.uint8), matrix, (512, 512)) > 0
    return np.where(cv2.dilate(mask.astype(np.uint8), np.ones((9, 9))) > 0, image, noise), mask


def write_arcade(root):
    """A miniature ARCADE: a straight vessel in each frame, with a lesion in the middle."""
    for task, split, count in (("stenosis", "train", 8), ("stenosis", "val", 6), ("syntax", "val", 4)):
        folder = root / task / split
        (folder / "images").mkdir(parents=True)
        (folder / "masks").mkdir()
        images, annotations = [], []
        for number in range(count):
            image, mask = turned(180 * (number + 0.5 * (split == "val")) / count, 100 * count + 2 * number)
            mask[:, :100] = False  # a catheter
            cv2.imwrite(str(folder / "images" / f"{number}.png"), image)
            cv2.imwrite(str(folder / "masks" / f"{number}.png"), mask.astype(np.uint8) * 255)
            images.append({"id": number, "file_name": f"{number}.png"})
            x0, y0, x1, y1 = NARROW - 20, 236, NARROW + 20, 276
            annotations.append(
                {
                    "id": number,
                    "image_id": number,
                    "category_id": 26,
                    "segmentation": [[x0, y0, x1, y0, x1, y1, x0, y1]],
                    "bbox": [x0, y0, 40, 40],
                }
            )
        content = {
            "images": images,
            "annotations": annotations,
            "categories": [{"id": 26, "name": "stenosis"}],
        }
        (folder / f"{split}.json").write_text(json.dumps(content))


def test_frames_that_look_like_tested_ones_teach_neither_network_nor_filter(tmp_path, monkeypatch):
    write_arcade(tmp_path)
    stenosis, syntax = tmp_path / "stenosis", tmp_path / "syntax" / "val"
    shutil.copy(stenosis / "val" / "images" / "2.png", stenosis / "train" / "images" / "5.png")
    for part in ("images", "masks"):
        shutil.copy(stenosis / "val" / part / "3.png", syntax / part / "1.png")
    described = {}

    def tables_of(keep, name, frames):
        described[name] = frames
        return [describe(frame) for frame in frames]

    monkeypatch.setattr(arcade_task, "tables_of", tables_of)
    task, _, counts = arcade_task.make_task(None, tmp_path, 0)
    left = {
        part: counts[f"frames left out of {part}, alike one of val"]
        for part in ("training", "the crop filter")
    }
    assert 1 <= left["training"] < 8 and 1 <= left["the crop filter"] < 4
    assert len(described["stenosis-train"]) == len(task.train.frames) == 8 - left["training"]
    assert len(described["syntax-val"]) == 4 - left["the crop filter"] and len(described["stenosis-val"]) == 6
    learned = np.stack([*described["stenosis-train"], *described["syntax-val"]])
    assert alike.likeness(learned, np.stack(described["stenosis-val"])).max() < alike.ALIKE


def test_a_network_learns_the_same_twice(cohort):
    matcher = matching.Matcher(cohort, np.random.default_rng(0))
    lessons = [network.Lessons(cohort, matcher, np.arange(10), positives=8, narrowings=0.5, places=True)]
    weights, losses = [], []
    for _ in range(2):
        learner = network.Learner(3)
        learner.fit(lessons, 1, 1e-3, lambda epoch, loss, seconds: losses.append(loss))
        weights.append(learner.model.get_weights())
    assert losses[0] == losses[1] and math.isfinite(losses[0])
    assert all((one == other).all() for one, other in zip(*weights, strict=True))
    start = network.Learner(4, weights[0])
    points = cohort.negatives[:5]
    assert np.allclose(start.scores(cohort, points), learner.scores(cohort, points), atol=1e-4)
    windows = localise.draw_windows(cohort, np.random.default_rng(0))[:1]
    found = localise.maps(start.model, cohort, windows, "cam")
    assert (
        found.shape == (1, localise.WINDOW, localise.WINDOW) and np.isfinite(found).all() and found.std() > 0
    )


def test_the_program_on_a_miniature_tree(root, tmp_path):
    write_arcade(tmp_path / "arcade")
    command = [sys.executable, "benchmarks/arcade_lesions.py", "--arm", "frozen", "--threads", "1"]
    command += ["--arcade", str(tmp_path / "arcade"), "--results", str(tmp_path / "results")]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr
    figures = json.loads((tmp_path / "results" / "figures.json").read_text())
    assert figures["counts"]["val"]["lesions"] == 6
    assert 0 <= figures["arms"]["frozen"]["auc"] <= 1 and "pointing" not in figures
    table = pd.read_csv(tmp_path / "results" / "crops.csv")
    assert (table.groupby("label").size() == figures["counts"]["val"]["pairs"]).all()
    assert "Covariates alone" in done.stdout


def test_a_part_is_made_once_and_comes_back_as_it_was(tmp_path):
    keep, made = Keeper(tmp_path), []
    parts = {"table": np.arange(6, dtype=np.float32).reshape(2, 3), "weights": [np.ones(2), np.zeros((1, 4))]}
    for _ in range(2):
        for name, value in parts.items():
            found = keep(name, ["recipe"], lambda name=name, value=value: (made.append(name), value)[1])
            assert type(found) is type(value)
            for one, other in zip(found, value, strict=True):
                assert np.array_equal(one, other) and one.dtype == other.dtype
    assert made == ["table", "weights"]
    keep("table", ["another recipe"], lambda: (made.append("again"), parts["table"])[1])
    assert made[-1] == "again"


def test_a_wrong_folder_is_one_paragraph(root, tmp_path):
    command = [sys.executable, "benchmarks/arcade_lesions.py", "--arcade", str(tmp_path)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and "error:" in done.stderr and "Traceback" not in done.stderr


def test_frames_of_one_patient_in_two_parts_are_known(real_data):
    stenosis, syntax = real_data / "arcade" / "stenosis", real_data / "arcade" / "syntax"

    def frame(folder, name):
        return read_grey(folder / "images" / f"{name}.png")[None]

    def alike_frames(first, second):
        return alike.likeness(first, second)[0, 0] >= alike.ALIKE

    assert alike_frames(frame(stenosis / "train", 126), frame(stenosis / "val", 180))
    assert alike_frames(frame(stenosis / "train", 44), frame(stenosis / "val", 57))
    assert alike_frames(frame(syntax / "val", 4), frame(stenosis / "val", 58))
    assert not alike_frames(
        frame(stenosis / "train", 68), frame(stenosis / "val", 46)
    )  # two patients, by eye
