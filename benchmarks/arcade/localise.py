"""Does the network point at the lesion? Windows of 256 px of frames that it was not trained on."""

from typing import NamedTuple

import cv2
import keras
import numpy as np
import pandas as pd

from benchmarks.arcade.crops import CORONARY, Cohort, cut_out
from benchmarks.arcade.network import POSES, ZOOM, build
from stenoscope.evaluation.localisation import MARGIN, score_baselines, score_clip
from stenoscope.heatmaps import registry
from stenoscope.vesselness.combined import vessel_map, vessel_mask

WINDOW = 256
"""Side of a window, pixels of the 512 x 512 frame."""
OFFSET = 96
"""Furthest that a lesion's middle lies from the window's centre on each axis, pixels."""
METHODS = ("cam", "hirescam")
LAYER = "block7_add"
_NEAR = 25  # pixels around a coronary centre-line that hold its vessel


class Window(NamedTuple):
    """A part of a frame: `frame` is its number in the cohort, `corner` the window's first x and y."""

    frame: int
    corner: np.ndarray
    boxes: np.ndarray


def draw_windows(cohort: Cohort, rng: np.random.Generator) -> list[Window]:
    """One window for each lesion that crops show, inside the frame, the lesion anywhere but at its rim.

    `boxes` are all lesions that reach into the window, in its coordinates.
    """
    found = []
    for (number, _), frame in zip(cohort.lesions, cohort.lesion_owner, strict=True):
        rows, cols = cohort.frames.shape[1:]
        centre = cohort.middles[frame][number] + rng.integers(-OFFSET, OFFSET + 1, 2)
        corner = np.clip(centre - WINDOW // 2, 0, (cols - WINDOW, rows - WINDOW)).astype(int)
        boxes = np.clip(cohort.boxes[frame] - np.tile(corner, 2), 0, WINDOW)
        inside = (boxes[:, 2:] - boxes[:, :2] >= 1).all(axis=1)
        found.append(Window(int(frame), corner, boxes[inside]))
    return found


def maps(model: keras.Model, cohort: Cohort, windows: list[Window], method: str) -> np.ndarray:
    """Evidence in the windows, mean over the eight poses of a square; float32 (n, WINDOW, WINDOW).

    `model` is a trained classifier of crops; its weights are put into one of the windows' size.
    """
    size = round(WINDOW * ZOOM)
    wide = build(size, 0)
    wide.set_weights(model.get_weights())
    total = np.zeros((len(windows), size, size), np.float32)
    upright = np.stack(
        [
            cut_out(cohort.contrast[window.frame], window.corner + (WINDOW - 1) / 2, size, ZOOM)
            for window in windows
        ]
    )
    for pose in POSES:
        turns = round(pose.angle / (np.pi / 2))
        turned = np.rot90(upright[:, :, :: -1 if pose.mirrored else 1], -turns, axes=(1, 2))
        cells = registry.evidence(wide, np.ascontiguousarray(turned)[..., None], method, LAYER)
        found = np.stack([cv2.resize(one, (size, size), interpolation=cv2.INTER_LINEAR) for one in cells])
        total += np.rot90(found, turns, axes=(1, 2))[:, :, :: -1 if pose.mirrored else 1]
    total /= len(POSES)
    return np.stack([cv2.resize(item, (WINDOW, WINDOW), interpolation=cv2.INTER_AREA) for item in total])


def pointing(cohort: Cohort, windows: list[Window], evidence: dict[str, np.ndarray]) -> pd.DataFrame:
    """Pointing game of maps and of the null baselines.

    Parameters
    ----------
    cohort : Cohort
    windows : list of Window
    evidence : dict of str to ndarray, shape (n, WINDOW, WINDOW)
        Maps by method.

    Returns
    -------
    DataFrame
        Rows of window and method: patient, window, method, `hit` (in a box), `hit_near` (in a box enlarged by
        `MARGIN` px).
    """
    rows = []
    for index, window in enumerate(windows):
        x, y = window.corner
        part = slice(y, y + WINDOW), slice(x, x + WINDOW)
        lines = np.zeros(cohort.frames.shape[1:], np.uint8)
        mine = (cohort.owner == window.frame) & (cohort.points[:, -1] > CORONARY)
        centres = cohort.points[mine, :2].astype(int)
        lines[centres[:, 1], centres[:, 0]] = 1
        near = cv2.dilate(lines, np.ones((_NEAR,) * 2, np.uint8)) > 0
        vessels = (vessel_mask(cohort.frames[window.frame]) & near)[part]
        vesselness = vessel_map(cohort.frames[window.frame])[part]
        found = {
            margin: {
                **{
                    name: score_clip(values[index], window.boxes, margin) for name, values in evidence.items()
                },
                **score_baselines(vessels, vesselness, window.boxes, margin),
            }
            for margin in (0, MARGIN)
        }
        for name in found[0]:
            rows.append(
                (cohort.patients[window.frame], index, name, found[0][name].hit, found[MARGIN][name].hit)
            )
    return pd.DataFrame(rows, columns=["patient", "window", "method", "hit", "hit_near"])
