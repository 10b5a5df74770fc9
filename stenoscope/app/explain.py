"""Heatmaps of the test clips: computed with each fold's model, measured against known lesions, drawn."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
import pandas as pd

from stenoscope.augmentation.grid import CENTRE, CROP_SIZE, VARIANTS
from stenoscope.data.clipset import ClipSet
from stenoscope.evaluation.clip_vote import vote
from stenoscope.evaluation.localisation import (
    COLUMNS,
    score_baselines,
    score_clip,
    summarise_randomisation,
)
from stenoscope.export.spreadsheet import clips_csv, map_peak
from stenoscope.folds.files import fold_folders
from stenoscope.records import FRAME_SIZE, KEYFRAMES_PER_CLIP
from stenoscope.report.colours import common_scale
from stenoscope.report.panels import Case, draw_montage, draw_panel, encode_png, panel_name
from stenoscope.results.files import (
    CLIPS,
    DECISIONS,
    HEATMAPS,
    MAPS,
    RANDOMISATION,
    read_table,
    read_table_if_any,
    write_table,
)
from stenoscope.run import provenance
from stenoscope.run.cli import progress
from stenoscope.settings import TrainingSettings
from stenoscope.vesselness.combined import vessel_mask
from stenoscope.vesselness.hessian import vesselness
from stenoscope.vesselness.overlays import clear_field

CLIP = "_clip"
"""Ends the name of a map of all key frames of a clip, in the coordinates of the middle one."""

_MIDDLE = KEYFRAMES_PER_CLIP // 2
_CLIP_MAP_SIZE = 128
_GROUP = 16  # clips that are explained at a time
_CHECKED = 8  # test clips of a fold whose maps are made again with random weights ...
_RANDOM_NETWORKS = 5  # ... by this many networks


def write_maps(folder: Path, model, clips: ClipSet, fold, probabilities: np.ndarray, settings) -> None:
    """Compute the heatmaps of a fold's test clips and keep them in `folder/maps/`.

    Each clip has a map of one key frame, the one with the highest probability, and one of all five, moved
    onto the middle one (not of the methods in `heatmaps.registry.SLOW`). Memory does not grow with the number
    of clips.

    Parameters
    ----------
    folder : Path
        `fold_K` of the experiment.
    model : keras.Model
        The fold's classifier.
    probabilities : ndarray, float32, shape (num_test_clips, 5)
    """
    from stenoscope.heatmaps.clip_map import clip_map
    from stenoscope.heatmaps.registry import SLOW, evidence
    from stenoscope.models.classifier import heatmap_layer
    from stenoscope.training.batches import render, validation_plan

    keyframe = probabilities.argmax(axis=1)
    layer = heatmap_layer(model, settings)
    with contextlib.ExitStack() as stack:
        kept: dict[str, BinaryIO] = {}

        def keep(name: str, values: np.ndarray) -> None:
            if name not in kept:
                path = stack.enter_context(provenance.atomic_path(folder / MAPS / f"{name}.npy"))
                shape = (len(fold.valid), *values.shape[1:])
                descr = np.lib.format.dtype_to_descr(values.dtype)
                header = {"descr": descr, "fortran_order": False, "shape": shape}
                # Written, not mapped: a full disk is then an error and not a crash of the process.
                kept[name] = stack.enter_context(path.open("wb"))
                np.lib.format.write_array_header_1_0(kept[name], header)
            kept[name].write(np.ascontiguousarray(values).data)

        for first in range(0, len(fold.valid), _GROUP):
            group = fold.valid[first : first + _GROUP]
            keep("clips", group)
            keep("keyframe", keyframe[first : first + _GROUP])
            images = render(clips.frames, validation_plan(group), settings.image_size).images
            shown = KEYFRAMES_PER_CLIP * np.arange(len(group)) + keyframe[first : first + _GROUP]
            for method in drawn_methods(settings):
                if method in SLOW:
                    keep(method, evidence(model, images[shown], method, layer))
                    continue
                maps = evidence(model, images, method, layer)
                keep(method, maps[shown])
                of_clip = maps.reshape(len(group), KEYFRAMES_PER_CLIP, *maps.shape[1:])
                combined = [
                    _shrink(clip_map(np.stack([in_frame(one) for one in five]), keyframes_of(clips, clip)))
                    for clip, five in zip(group, of_clip, strict=True)
                ]
                keep(method + CLIP, np.stack(combined))
    table = _check_randomised(model, clips, fold, keyframe, layer, settings)
    write_table(folder / RANDOMISATION, table)


def _check_randomised(model, clips: ClipSet, fold, keyframe, layer: str, settings) -> pd.DataFrame:
    """Compare the default map of some test clips with those of networks whose weights are random.

    Clips with a known lesion are preferred, so that it is also known what the random networks' maps hit.

    Returns
    -------
    DataFrame
        One row per clip and randomised part of the network, means over the random networks: patient_id,
        clip_id, method, similarity (rank correlation with the trained network's map), magnitude (of the
        correlation, its sign left out), hit (empty where no lesion is known).
    """
    from stenoscope.heatmaps.randomisation import PARTS, randomised, similarity
    from stenoscope.heatmaps.registry import evidence
    from stenoscope.training.batches import Sample, render

    pairs = [(int(clip), int(k)) for clip, k in zip(fold.valid, keyframe, strict=True)]
    known = [pair for pair in pairs if len(lesion_boxes(clips, *pair))] or pairs
    some = [known[i] for i in np.unique(np.linspace(0, len(known) - 1, _CHECKED).round().astype(int))]
    images = render(clips.frames, [Sample(*pair, CENTRE) for pair in some], settings.image_size).images
    trained = evidence(model, images, settings.heatmap, layer)
    rows = []
    for part in PARTS:
        alike, hits = [], []
        for draw in range(_RANDOM_NETWORKS):
            with randomised(model, part, [settings.seed, fold.number, draw]):
                maps = evidence(model, images, settings.heatmap, layer)
            alike.append(similarity(trained, maps))
            hits.append([_hit(one, clips, *pair) for pair, one in zip(some, maps, strict=True)])
        for number, (clip, _) in enumerate(some):
            values = {
                "similarity": np.mean(alike, axis=0)[number],
                "magnitude": np.mean(np.abs(alike), axis=0)[number],
                "hit": np.mean(hits, axis=0)[number],
            }
            ids = {"patient_id": clips.patient_ids[clip], "clip_id": clips.clip_ids[clip]}
            method = f"{settings.heatmap}, {part} random"
            rows.append({**ids, "method": method, **{k: round(float(v), 6) for k, v in values.items()}})
    return pd.DataFrame(rows)


def _hit(heatmap: np.ndarray, clips: ClipSet, clip: int, keyframe: int) -> float:
    boxes = lesion_boxes(clips, clip, keyframe)
    inside = clear_field(keyframes_of(clips, clip))
    return score_clip(in_frame(heatmap), boxes, inside=inside).hit if len(boxes) else np.nan


def _shrink(heatmap: np.ndarray) -> np.ndarray:
    return cv2.resize(heatmap, (_CLIP_MAP_SIZE, _CLIP_MAP_SIZE), interpolation=cv2.INTER_AREA)


def drawn_methods(settings: TrainingSettings) -> list[str]:
    """Heatmap methods of an experiment: its default first, always with CAM and HiResCAM."""
    return list(dict.fromkeys([settings.heatmap, "hirescam", "cam"]))


def in_frame(heatmap: np.ndarray) -> np.ndarray:
    """Map of the network's input, of any resolution, in coordinates of the stored frame, float32 (512, 512).

    The border of the frame that the centre crop leaves out repeats the map's edge.
    """
    resized = cv2.resize(np.float32(heatmap), (CROP_SIZE, CROP_SIZE), interpolation=cv2.INTER_LINEAR)
    top, left = VARIANTS[CENTRE].row, VARIANTS[CENTRE].col
    bottom, right = FRAME_SIZE - CROP_SIZE - top, FRAME_SIZE - CROP_SIZE - left
    return cv2.copyMakeBorder(resized, top, bottom, left, right, cv2.BORDER_REPLICATE)


class StoredMaps:
    """Maps of an experiment's test clips by one method, left on the disk until they are asked for.

    Parameters
    ----------
    experiment : Path
    name : str
        A heatmap method, or one followed by `CLIP`.
    """

    def __init__(self, experiment: Path, name: str):
        self._of_clip = name.endswith(CLIP)
        self._where: dict[int, tuple[int, np.ndarray, int]] = {}
        for folder in (fold / MAPS for fold in fold_folders(experiment)):
            clips, keyframe = np.load(folder / "clips.npy"), np.load(folder / "keyframe.npy")
            values = np.load(folder / f"{name}.npy", mmap_mode="r")
            for row, clip in enumerate(clips):
                self._where[int(clip)] = _MIDDLE if self._of_clip else int(keyframe[row]), values, row

    def __iter__(self) -> Iterator[int]:
        return iter(self._where)

    def cells(self, clip: int) -> np.ndarray:
        """A clip's map as it was computed, float32 (rows, cols)."""
        _, values, row = self._where[clip]
        return np.asarray(values[row])

    def __getitem__(self, clip: int) -> tuple[int, np.ndarray]:
        """A clip's key frame, and its map in the coordinates of the frame, float32 (512, 512)."""
        cells = self.cells(clip)
        if self._of_clip:
            cells = cv2.resize(cells, (FRAME_SIZE, FRAME_SIZE), interpolation=cv2.INTER_LINEAR)
        else:
            cells = in_frame(cells)
        return self._where[clip][0], cells


def localise(experiment: Path, clips: ClipSet, settings: TrainingSettings) -> pd.DataFrame | None:
    """Measure every heatmap against the lesion boxes, beside the null baselines.

    Returns
    -------
    DataFrame or None
        `localisation.csv`, rounded to 1e-6: one row per abnormal test clip and method, with the columns
        `evaluation.localisation.COLUMNS`; the maps of all key frames of a clip as the method
        ``<heatmap>, clip``. None where no lesion is known.
    """
    rows, baselines = [], []
    for name in stored_names(experiment, settings):
        maps = StoredMaps(experiment, name)
        for clip in maps:
            keyframe, heatmap = maps[clip]
            boxes = lesion_boxes(clips, clip, keyframe)
            if not len(boxes):
                continue
            ids = {"patient_id": clips.patient_ids[clip], "clip_id": clips.clip_ids[clip]}
            inside = clear_field(keyframes_of(clips, clip))
            score = score_clip(heatmap, boxes, inside=inside)
            rows.append({**ids, "method": map_title(name), **score._asdict()})
            if name == settings.heatmap:
                frame = clips.frames[KEYFRAMES_PER_CLIP * clip + keyframe]
                found = score_baselines(vessel_mask(frame), vesselness(frame), boxes, inside=inside)
                for baseline, score in found.items():
                    baselines.append({**ids, "method": baseline, **score._asdict()})
    return pd.DataFrame(rows + baselines)[list(COLUMNS)].round(6) if rows else None


def randomisation(experiment: Path, seed: int) -> dict:
    """What the folds' maps have in common with those of random networks, for `summary.json`."""
    folds = [folder / RANDOMISATION for folder in fold_folders(experiment)]
    return summarise_randomisation(
        pd.concat(read_table(path, keep_default_na=True) for path in folds), seed=seed
    )


def stored_names(experiment: Path, settings: TrainingSettings) -> list[str]:
    """Maps that an experiment keeps: of each drawn method for a key frame, then for the clip."""
    names = [name for method in drawn_methods(settings) for name in (method, method + CLIP)]
    return [name for name in names if (experiment / "fold_1" / MAPS / f"{name}.npy").exists()]


def write_clips_table(
    experiment: Path, clips: ClipSet, predictions: pd.DataFrame, settings: TrainingSettings
) -> None:
    """Write `clips.csv`: what an experiment says of each test clip, and the maximum of its default map."""
    maps = StoredMaps(experiment, settings.heatmap)
    rows = []
    for clip in maps:
        keyframe, heatmap = maps[clip]
        shown = {"shown_frame": int(clips.keyframes[clip, keyframe]), "heatmap": settings.heatmap}
        peak = map_peak(heatmap, clear_field(keyframes_of(clips, clip)))
        rows.append({"clip_id": clips.clip_ids[clip], **shown, **peak})
    decided = read_table_if_any(experiment / DECISIONS)
    provenance.write_text(experiment / CLIPS, clips_csv(predictions, rows, decided))


def map_title(name: str) -> str:
    """What a stored map is called in tables and captions.

    Examples
    --------
    >>> map_title("cam"), map_title("cam_clip")
    ('cam', 'cam, clip')
    """
    return f"{name.removesuffix(CLIP)}, clip" if name.endswith(CLIP) else name


def keyframes_of(clips: ClipSet, clip: int) -> np.ndarray:
    """The key frames of a clip, uint8 (5, 512, 512)."""
    return clips.frames[KEYFRAMES_PER_CLIP * clip : KEYFRAMES_PER_CLIP * (clip + 1)]


def lesion_boxes(clips: ClipSet, clip: int, keyframe: int) -> np.ndarray:
    """Known lesion boxes of a key frame that reach into it, float32 (k, 4)."""
    boxes = np.array([lesion["boxes"][keyframe] for lesion in clips.lesions[clip]], np.float32).reshape(-1, 4)
    visible = (boxes[:, 2:] > 0).all(axis=1) & (boxes[:, :2] < FRAME_SIZE).all(axis=1)
    return boxes[visible]


def draw_heatmaps(
    experiment: Path, clips: ClipSet, predictions: pd.DataFrame, settings: TrainingSettings
) -> dict:
    """Draw a PNG per test clip and map, and a montage by the default method, all on one scale a method.

    Of the maps of whole clips only the default method's is drawn.

    Returns
    -------
    dict of str to float
        The scale of each map: evidence at the end of its colours.
    """
    scales = {}
    calls = vote(predictions).set_index("clip_id")
    index_of = {clip_id: index for index, clip_id in enumerate(clips.clip_ids)}
    folder = experiment / HEATMAPS
    drawn = (*drawn_methods(settings), settings.heatmap + CLIP)
    names = [name for name in stored_names(experiment, settings) if name in drawn]
    with progress("heatmaps", len(calls) * len(names)) as step:
        for name in names:
            maps = StoredMaps(experiment, name)
            scale = scales[name] = common_scale(map(maps.cells, maps))

            def case(clip_id: str, maps=maps) -> Case:
                clip, call = index_of[clip_id], calls.loc[clip_id]
                keyframe, heatmap = maps[clip]
                frame = clips.frames[KEYFRAMES_PER_CLIP * clip + keyframe]
                of_call = call.probability, int(call.decision), int(call.label)
                boxes, inside = lesion_boxes(clips, clip, keyframe), clear_field(keyframes_of(clips, clip))
                return Case(clip_id, frame, heatmap, *of_call, boxes, inside)

            for clip_id in calls.index:
                panel = draw_panel(case(clip_id), scale, map_title(name))
                provenance.write_bytes(folder / panel_name(clip_id, name), encode_png(panel))
                step()
            if name == settings.heatmap:
                order = calls.sort_values(["label", "probability"], ascending=False).index
                montage = draw_montage(order, case, scale, name)
                provenance.write_bytes(folder / "montage.png", encode_png(montage))
    return scales
