"""Miniature data sets in their published layouts: 64 x 64 frames unless said otherwise."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

SIDE = 64
CADICA_BOXES = "10 20 30 8 p70_90\n40 4 10 12 p0_20\n"


def write_frame(path: Path, seed: int, shape=(SIDE, SIDE)) -> None:
    """An image that no other seed gives."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.random.default_rng(seed).integers(60, 200, shape, np.uint8))


def write_cadica(root: Path, patients: int = 5, frames: int = 8) -> Path:
    """Every patient has the lesion run v1, with boxes in the selected frames 3 to 6 of 8, and the normal run
    v4, of which frames 2 and 3 are selected; frames are numbered from 1."""
    for number in range(1, patients + 1):
        name = f"p{number}"
        folder = root / "selectedVideos" / name
        for video, selected in (("v1", range(3, 7)), ("v4", (2, 3))):
            stem = f"{name}_{video}"
            for frame in range(1, frames + 1):
                seed = 1000 * number + 100 * len(selected) + frame
                write_frame(folder / video / "input" / f"{stem}_{frame:05d}.png", seed)
            names = [f"{stem}_{frame:05d}" for frame in selected]
            (folder / video / f"{stem}_selectedFrames.txt").write_text("\n".join(names) + "\n")
            if video == "v1":
                (folder / video / "groundtruth").mkdir()
                for frame in names:
                    (folder / video / "groundtruth" / f"{frame}.txt").write_text(CADICA_BOXES)
        (folder / "lesionVideos.txt").write_text("v1\n")
        (folder / "nonlesionVideos.txt").write_text("v4\n")
    write_frame(root / "nonselectedVideos/p1/v2/input/p1_v2_00001.png", 1)
    (root / "metadata.xlsx").write_bytes(b"PK")
    return root


def voc(*boxes, name: str = "Stenosis") -> str:
    """A Pascal VOC annotation; boxes as xmin, ymin, xmax, ymax."""
    objects = "".join(
        f"<object><name>{name}</name><bndbox><xmin>{a}</xmin><ymin>{b}</ymin><xmax>{c}</xmax><ymax>{d}</ymax>"
        "</bndbox></object>"
        for a, b, c, d in boxes
    )
    return f"<annotation><size><width>80</width><height>60</height></size>{objects}</annotation>"


def write_kemerovo(root: Path) -> Path:
    """Patient 14_002 with series 5 (frames 16, 17, 20; 17 is not annotated) and 6 (one frame), and 14_003
    with series 5 (two frames); 60 rows, 80 columns."""
    frames = (
        "14_002_5_0016",
        "14_002_5_0017",
        "14_002_5_0020",
        "14_002_6_0003",
        "14_003_5_0001",
        "14_003_5_0002",
    )
    for seed, name in enumerate(frames):
        write_frame(root / "dataset" / f"{name}.bmp", seed, (60, 80))
        if name != "14_002_5_0017":
            (root / "dataset" / f"{name}.xml").write_text(voc((10, 20, 30, 28)))
    (root / "train_labels.csv").write_text("filename\n")
    return root


def write_arcade(root: Path) -> Path:
    """Two frames of train, the second without a lesion, and one of val."""
    for split, names in (("train", ("1.png", "2.png")), ("val", ("1.png",))):
        folder = root / "stenosis" / split
        for seed, name in enumerate(names):
            write_frame(folder / "images" / name, seed)
        lesion = {
            "id": 1, "image_id": 1, "category_id": 26, "bbox": [8, 16, 4, 8],
            "segmentation": [[8, 16, 12, 16, 12, 24]],
        }  # fmt: skip
        content = {
            "images": [{"id": number, "file_name": name} for number, name in enumerate(names, start=1)],
            "annotations": [lesion],
            "categories": [{"id": 26, "name": "stenosis"}],
        }
        (folder / "annotations").mkdir()
        (folder / "annotations" / f"{split}.json").write_text(json.dumps(content))
    return root


def write_angiodata(root: Path) -> Path:
    """Two patients with two and one runs of three frames."""
    for run, name in enumerate(("Patient_1/Coro_1", "Patient_1/Coro_2", "Patient_3/Coro_1")):
        for frame in range(3):
            write_frame(root / name / f"frame_{frame}.jpg", 10 * run + frame)
    return root


def write_folders(root: Path) -> Path:
    """The folders of Moon et al.: a normal run and an abnormal one."""
    for seed, name in enumerate(("N/p1/run", "A/p2/run")):
        for frame in range(3):
            write_frame(root / name / f"{frame}.png", 10 * seed + frame)
    return root


class Tree(NamedTuple):
    """How to write a data set into a folder, and what step 1 is to take of it by itself."""

    write: Callable[[Path], Path]
    method: str
    labels: bool
    boxes: bool

    def __call__(self, root: Path) -> Path:
        return self.write(root)


TREES = {
    "cadica": Tree(write_cadica, "opacification", labels=True, boxes=True),
    "arcade": Tree(write_arcade, "published", labels=True, boxes=True),
    "kemerovo": Tree(write_kemerovo, "published", labels=True, boxes=True),
    "angiodata": Tree(write_angiodata, "opacification", labels=False, boxes=False),
    "folders": Tree(write_folders, "opacification", labels=True, boxes=False),
}
