"""Heatmaps of the test clips: computed with each fold's model, measured against known lesions, drawn."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
import pandas as pd

from stenoscope.data.clipset import ClipSet
from stenoscope.evaluation.clip_vote import vote
from stenoscope.evaluation.localisation import (
    COLUMNS,
    score_baselines,
    score_clip,
    similarity,
    summarise_randomisation,
)
from stenoscope.export.spreadsheet import clips_csv, map_peak
from stenoscope.folds.files import FoldData, fold_folders
from stenoscope.folds.mean_image import frame_rows
from stenoscope.folds.part import Rows
from stenoscope.geometry import WHOLE_FRAME
from stenoscope.learners.protocol import Learner
from stenoscope.learners.registry import get_learner
from stenoscope.records import FRAME_SIZE
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

_CLIP_MAP_SIZE = 128
_GROUP = 16  # clips that are explained at a time
_CHECKED = 8  # test clips of a fold whose maps are made again with random weights ...
_RANDOM_NETWORKS = 5  # ... by this many networks


def write_maps(
    folder: Path, learner: Learner, clips: ClipSet, fold: FoldData, probabilities: np.ndarray
) -> None:
    """Compute the heatmaps of a fold's test clips and keep them in `folder/maps/`.

    Each clip has a map of one key frame, the one with the highest probability, and one of all, moved onto
    the middle one (not of the learner's slow methods). Memory does not grow with the number of clips.

    Parameters
    ----------
    folder : Path
        `fold_K` of the experiment.
    learner : Learner
        Fitted on the fold.
    probabilities : ndarray, float32, shape (num_test_clips, num_keyframes)
    """
    from stenoscope.heatmaps.clip_map import clip_map

    keyframe, count = probabilities.argmax(axis=1), probabilities.shape[1]
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
            frames = Rows(clips.frames, frame_rows(group, count))[:]
            shown = count * np.arange(len(group)) + keyframe[first : first + _GROUP]
            for method in learner.methods(learner.settings):
                if method in learner.slow:
                    keep(method, learner.explain(frames[shown], method))
                    continue
                maps = learner.explain(frames, method)
                keep(method, maps[shown])
                of_clip = maps.reshape(len(group), count, *maps.shape[1:])
                combined = [
                    _shrink(clip_map(np.stack([*map(learner.window.place, every)]), clips.frames[clip]))
                    for clip, every in zip(group, of_clip, strict=True)
                ]
                keep(method + CLIP, np.stack(combined))
    if learner.parts:
        write_table(folder / RANDOMISATION, _check_randomised(learner, clips, fold, keyframe))


def _check_randomised(learner: Learner, clips: ClipSet, fold: FoldData, keyframe: np.ndarray) -> pd.DataFrame:
    """Compare the default map of some test clips with those of networks whose weights are random.

    Clips with a known lesion are preferred, so that it is also known what the random networks' maps hit.

    Returns
    -------
    DataFrame
        One row per clip and randomised part of the network, means over the random networks: patient_id,
        clip_id, method, similarity (rank correlation with the trained network's map), magnitude (of the
        correlation, its sign left out), hit (empty where no lesion is known).
    """
    settings = learner.settings
    method = learner.methods(settings)[0]
    pairs = [(int(clip), int(k)) for clip, k in zip(fold.valid, keyframe, strict=True)]
    known = [pair for pair in pairs if len(lesion_boxes(clips, *pair))] or pairs
    some = [known[i] for i in np.unique(np.linspace(0, len(known) - 1, _CHECKED).round().astype(int))]
    frames = np.stack([clips.frames[clip][k] for clip, k in some])
    trained = learner.explain(frames, method)
    rows = []
    for part in learner.parts:
        similarities, hits = [], []
        for draw in range(_RANDOM_NETWORKS):
            with learner.randomised(part, [settings.seed, fold.number, draw]):
                maps = learner.explain(frames, method)
            similarities.append(similarity(trained, maps))
            placed = map(learner.window.place, maps)
            hits.append([_hit(one, clips, *pair) for pair, one in zip(some, placed, strict=True)])
        for number, (clip, _) in enumerate(some):
            values = {
                "similarity": np.mean(similarities, axis=0)[number],
                "magnitude": np.mean(np.abs(similarities), axis=0)[number],
                "hit": np.mean(hits, axis=0)[number],
            }
            ids = {"patient_id": clips.patient_ids[clip], "clip_id": clips.clip_ids[clip]}
            name = f"{method}, {part} random"
            rows.append({**ids, "method": name, **{k: round(float(v), 6) for k, v in values.items()}})
    return pd.DataFrame(rows)


def _hit(heatmap: np.ndarray, clips: ClipSet, clip: int, keyframe: int) -> float:
    boxes = lesion_boxes(clips, clip, keyframe)
    inside = clear_field(clips.frames[clip])
    return score_clip(heatmap, boxes, inside=inside).hit if len(boxes) else np.nan


def _shrink(heatmap: np.ndarray) -> np.ndarray:
    return cv2.resize(heatmap, (_CLIP_MAP_SIZE, _CLIP_MAP_SIZE), interpolation=cv2.INTER_AREA)


class StoredMaps:
    """Maps of an experiment's test clips by one method, left on the disk until they are asked for.

    Parameters
    ----------
    experiment : Path
    settings : TrainingSettings
        Of the experiment.
    name : str
        A heatmap method, or one followed by `CLIP`.
    num_keyframes : int
        Of each clip.
    """

    def __init__(self, experiment: Path, settings: TrainingSettings, name: str, num_keyframes: int):
        from stenoscope.heatmaps.clip_map import middle

        shown = middle(num_keyframes)
        self._of_clip = name.endswith(CLIP)
        self._window = WHOLE_FRAME if self._of_clip else get_learner(settings.learner).window
        self._where: dict[int, tuple[int, np.ndarray, int]] = {}
        for folder in (fold / MAPS for fold in fold_folders(experiment)):
            clips, keyframe = np.load(folder / "clips.npy"), np.load(folder / "keyframe.npy")
            values = np.load(folder / f"{name}.npy", mmap_mode="r")
            for row, clip in enumerate(clips):
                self._where[int(clip)] = shown if self._of_clip else int(keyframe[row]), values, row

    def __iter__(self) -> Iterator[int]:
        return iter(self._where)

    def cells(self, clip: int) -> np.ndarray:
        """A clip's map as it was computed, float32 (rows, cols)."""
        _, values, row = self._where[clip]
        return np.asarray(values[row])

    def __getitem__(self, clip: int) -> tuple[int, np.ndarray]:
        """A clip's key frame, and its map in the coordinates of the frame, float32 (512, 512)."""
        return self._where[clip][0], self._window.place(self.cells(clip))


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
    own = _own_method(settings)
    for name in stored_names(experiment, settings):
        maps = StoredMaps(experiment, settings, name, clips.num_keyframes)
        for clip in maps:
            keyframe, heatmap = maps[clip]
            boxes = lesion_boxes(clips, clip, keyframe)
            if not len(boxes):
                continue
            ids = {"patient_id": clips.patient_ids[clip], "clip_id": clips.clip_ids[clip]}
            inside = clear_field(clips.frames[clip])
            score = score_clip(heatmap, boxes, inside=inside)
            rows.append({**ids, "method": map_title(name), **score._asdict()})
            if name == own:
                frame = clips.frames[clip, keyframe]
                found = score_baselines(vessel_mask(frame), vesselness(frame), boxes, inside=inside)
                for baseline, score in found.items():
                    baselines.append({**ids, "method": baseline, **score._asdict()})
    return pd.DataFrame(rows + baselines)[list(COLUMNS)].round(6) if rows else None


def _own_method(settings: TrainingSettings) -> str | None:
    """The heatmap method that an experiment draws first; None if it draws none."""
    return next(iter(get_learner(settings.learner).methods(settings)), None)


def randomisation(experiment: Path, seed: int) -> dict | None:
    """What the folds' maps have in common with those of random networks, for `summary.json`; None without."""
    folds = [path for folder in fold_folders(experiment) if (path := folder / RANDOMISATION).exists()]
    if not folds:
        return None
    return summarise_randomisation(
        pd.concat(read_table(path, keep_default_na=True) for path in folds), seed=seed
    )


def stored_names(experiment: Path, settings: TrainingSettings) -> list[str]:
    """Maps that an experiment keeps: of each drawn method for a key frame, then for the clip."""
    methods = get_learner(settings.learner).methods(settings)
    names = [name for method in methods for name in (method, method + CLIP)]
    return [name for name in names if (experiment / "fold_1" / MAPS / f"{name}.npy").exists()]


def write_clips_table(
    experiment: Path, clips: ClipSet, predictions: pd.DataFrame, settings: TrainingSettings
) -> None:
    """Write `clips.csv`: what an experiment says of each test clip, and the maximum of its default map."""
    own = _own_method(settings)
    maps = StoredMaps(experiment, settings, own, clips.num_keyframes) if own else {}
    rows = []
    for clip in maps:
        keyframe, heatmap = maps[clip]
        shown = {"shown_frame": int(clips.keyframes[clip, keyframe]), "heatmap": own}
        peak = map_peak(heatmap, clear_field(clips.frames[clip]))
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
    own = _own_method(settings)
    names = [
        name
        for name in stored_names(experiment, settings)
        if not name.endswith(CLIP) or name == f"{own}{CLIP}"
    ]
    with progress("heatmaps", len(calls) * len(names)) as step:
        for name in names:
            maps = StoredMaps(experiment, settings, name, clips.num_keyframes)
            scale = scales[name] = common_scale(map(maps.cells, maps))

            def case(clip_id: str, maps=maps) -> Case:
                clip, call = index_of[clip_id], calls.loc[clip_id]
                keyframe, heatmap = maps[clip]
                frame = clips.frames[clip, keyframe]
                of_call = call.probability, int(call.decision), int(call.label)
                boxes, inside = lesion_boxes(clips, clip, keyframe), clear_field(clips.frames[clip])
                return Case(clip_id, frame, heatmap, *of_call, boxes, inside)

            for clip_id in calls.index:
                panel = draw_panel(case(clip_id), scale, map_title(name))
                provenance.write_bytes(folder / panel_name(clip_id, name), encode_png(panel))
                step()
            if name == own:
                order = calls.sort_values(["label", "probability"], ascending=False).index
                montage = draw_montage(order, case, scale, name)
                provenance.write_bytes(folder / "montage.png", encode_png(montage))
    return scales
