"""Heatmaps of the test clips: computed with each fold's model, measured against known lesions, drawn."""

from pathlib import Path

import numpy as np
import pandas as pd

from stenoscope import provenance
from stenoscope.augmentation.grid import CENTRE, CROP_SIZE, VARIANTS
from stenoscope.cli import progress
from stenoscope.dataset.clipset import ClipSet
from stenoscope.evaluation.clip_vote import vote
from stenoscope.evaluation.localisation import score_baselines, score_clip
from stenoscope.records import FRAME_SIZE, KEYFRAMES_PER_CLIP, NUM_FOLDS
from stenoscope.report.colours import common_scale
from stenoscope.report.panels import Case, draw_montage, draw_panel, encode_png, panel_name
from stenoscope.settings import TrainingSettings
from stenoscope.vesselness.hessian import vesselness

MAPS = "heatmaps.npz"
_VESSEL_SHARE = 0.05
"""Share of a frame's pixels, those of strongest vesselness, that counts as vessel for the null baseline."""


def write_maps(folder: Path, model, clips: ClipSet, fold, probabilities: np.ndarray, settings) -> None:
    """Compute the heatmaps of a fold's test clips and keep them in `folder/heatmaps.npz`.

    One key frame speaks for a clip: the one with the highest probability.

    Parameters
    ----------
    folder : Path
        `fold_K` of the experiment.
    model : keras.Model
        The fold's classifier.
    probabilities : ndarray, float32, shape (num_test_clips, 5)
    """
    from stenoscope.heatmaps.registry import heatmaps
    from stenoscope.models.classifier import heatmap_layer
    from stenoscope.training.batches import Sample, render

    keyframe = probabilities.argmax(axis=1)
    plan = [Sample(int(clip), int(k), CENTRE) for clip, k in zip(fold.valid, keyframe, strict=True)]
    images = render(clips.frames, plan, settings.image_size).images
    layer = heatmap_layer(model, settings)
    maps = {name: heatmaps(model, images, name, layer).astype(np.float16) for name in drawn_methods(settings)}
    with provenance.atomic_path(folder / MAPS) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(stream, clips=fold.valid, keyframe=keyframe, **maps)


def drawn_methods(settings: TrainingSettings) -> list[str]:
    """Heatmap methods of an experiment: its default first, always with CAM and HiResCAM."""
    return list(dict.fromkeys([settings.heatmap, "hirescam", "cam"]))


def in_frame(heatmap: np.ndarray) -> np.ndarray:
    """Map of the network's input (S, S) in the coordinates of the stored frame, float32 (512, 512).

    The border of the frame that the centre crop leaves out repeats the map's edge.
    """
    import cv2

    resized = cv2.resize(np.float32(heatmap), (CROP_SIZE, CROP_SIZE), interpolation=cv2.INTER_LINEAR)
    top, left = VARIANTS[CENTRE].row, VARIANTS[CENTRE].col
    bottom, right = FRAME_SIZE - CROP_SIZE - top, FRAME_SIZE - CROP_SIZE - left
    return cv2.copyMakeBorder(resized, top, bottom, left, right, cv2.BORDER_REPLICATE)


def read_maps(experiment: Path, method: str):
    """Yield ``(clip, keyframe, map)`` of every test clip, maps float32 (512, 512) in frame coordinates."""
    for number in range(1, NUM_FOLDS + 1):
        with np.load(experiment / f"fold_{number}" / MAPS, allow_pickle=False) as stored:
            for clip, keyframe, heatmap in zip(
                stored["clips"], stored["keyframe"], stored[method], strict=True
            ):
                yield int(clip), int(keyframe), in_frame(heatmap)


def localise(experiment: Path, clips: ClipSet, settings: TrainingSettings) -> pd.DataFrame | None:
    """Measure every heatmap against the lesion boxes, beside the null baselines.

    Returns
    -------
    DataFrame or None
        One row per abnormal test clip and method: patient_id, clip_id, method, hit, energy, iou, distance.
        None where no lesion is known.
    """
    rows, baselines = [], []
    for method in drawn_methods(settings):
        for clip, keyframe, heatmap in read_maps(experiment, method):
            boxes = lesion_boxes(clips, clip, keyframe)
            if not len(boxes):
                continue
            ids = {"patient_id": clips.patient_ids[clip], "clip_id": clips.clip_ids[clip]}
            rows.append({**ids, "method": method, **score_clip(heatmap, boxes)._asdict()})
            if method == settings.heatmap:
                response = vesselness(clips.frames[KEYFRAMES_PER_CLIP * clip + keyframe])
                vessels = response >= np.quantile(response, 1 - _VESSEL_SHARE)
                for name, score in score_baselines(vessels, response, boxes).items():
                    baselines.append({**ids, "method": name, **score._asdict()})
    return pd.DataFrame(rows + baselines) if rows else None


def lesion_boxes(clips: ClipSet, clip: int, keyframe: int) -> np.ndarray:
    """Known lesion boxes of a key frame that reach into it, float32 (k, 4)."""
    boxes = np.array([lesion["boxes"][keyframe] for lesion in clips.lesions[clip]], np.float32).reshape(-1, 4)
    visible = (boxes[:, 2:] > 0).all(axis=1) & (boxes[:, :2] < FRAME_SIZE).all(axis=1)
    return boxes[visible]


def draw_heatmaps(
    experiment: Path, clips: ClipSet, predictions: pd.DataFrame, settings: TrainingSettings
) -> dict:
    """Draw a PNG per test clip and method, and a montage by the default method, all on one scale a method.

    Returns
    -------
    dict of str to float
        The scale of each method: evidence at the end of its colours.
    """
    scales = {}
    calls = vote(predictions).set_index("clip_id")
    index_of = {clip_id: index for index, clip_id in enumerate(clips.clip_ids)}
    folder = experiment / "heatmaps"
    with progress("heatmaps", len(calls) * len(drawn_methods(settings))) as step:
        for method in drawn_methods(settings):
            scale = scales[method] = common_scale(heatmap for _, _, heatmap in read_maps(experiment, method))
            maps = {clip: (keyframe, heatmap) for clip, keyframe, heatmap in read_maps(experiment, method)}

            def case(clip_id: str, maps=maps) -> Case:
                clip, call = index_of[clip_id], calls.loc[clip_id]
                keyframe, heatmap = maps[clip]
                frame = clips.frames[KEYFRAMES_PER_CLIP * clip + keyframe]
                boxes = lesion_boxes(clips, clip, keyframe)
                return Case(
                    clip_id, frame, heatmap, call.probability, int(call.decision), int(call.label), boxes
                )

            for clip_id in calls.index:
                panel = draw_panel(case(clip_id), scale, method)
                provenance.write_bytes(folder / panel_name(clip_id, method), encode_png(panel))
                step()
            if method == settings.heatmap:
                order = calls.sort_values(["label", "probability"], ascending=False).index
                montage = draw_montage(map(case, order), len(order), scale, method)
                provenance.write_bytes(folder / "montage.png", encode_png(montage))
    return scales
