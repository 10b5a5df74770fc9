"""Draw one key frame in all its variants, and as the training of a preset sees it."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from stenoscope.augmentation.sheet import Example, draw_sheet, draw_training
from stenoscope.data.clipset import ClipSet
from stenoscope.errors import DatasetError, SettingsError
from stenoscope.presets import training_settings
from stenoscope.run import provenance
from stenoscope.run.cli import finish
from stenoscope.settings import AugmentSettings, TrainingSettings
from stenoscope.training.batches import epoch_plan, render

_EPOCHS = 10  # on the sheet, as far as the preset has so many


def draw_variants(settings: AugmentSettings) -> None:
    """Write `sheet.png`, 5 crops x 5 intensity offsets of one key frame, and `training.png`.

    The second one shows the frame in the first epochs of a training with the preset, drawn by the functions
    that step 3 trains with. A DatasetError or SettingsError if step 1 has not finished, the clip or the
    preset is unknown, or there is no such key frame.
    """
    clips = ClipSet.open(settings.input)
    training = replace(training_settings(settings.preset), frames_per_epoch=clips.num_keyframes)
    called = clips.labels[:, 0] if clips.label_names else np.full(len(clips), np.nan)
    normal = np.flatnonzero(called == 0)
    clip_id = settings.clip or clips.clip_ids[normal[0] if len(normal) else 0]
    if clip_id not in clips.clip_ids:
        raise DatasetError(
            f"No clip {clip_id!r} in {settings.input}.",
            f"one of its {len(clips)} clips, such as {clips.clip_ids[0]!r}",
            "see clip_id in keyframes.csv.",
        )
    keyframe = clips.num_keyframes // 2 if settings.keyframe is None else settings.keyframe
    if not 0 <= keyframe < clips.num_keyframes:
        raise SettingsError(f"keyframe is {keyframe}.", f"0 to {clips.num_keyframes - 1}")
    clip = clips.clip_ids.index(clip_id)
    title = f"{clip_id}, frame {clips.keyframes[clip, keyframe]}"
    output = Path(settings.output)
    sheet = draw_sheet(clips.frames[clip, keyframe], title)
    provenance.write_image(output / "sheet.png", sheet)
    seen = _seen(clips, clip, keyframe, training, twins=called[clip] != 1)
    notes = _notes(settings.preset, training, called[clip])
    provenance.write_image(output / "training.png", draw_training(seen, title, notes))
    rows = [
        ("variants", f"{output / 'sheet.png'} (5 crops x 5 intensity offsets)"),
        ("training", f"{output / 'training.png'} ({len(seen)} epochs of --preset {settings.preset})"),
    ]
    finish(f"The variants of a key frame of {clip_id}", rows, None)


def _seen(clips: ClipSet, clip: int, keyframe: int, training: TrainingSettings, twins: bool) -> list[Example]:
    """The frame in the first epochs of fold 1, in the first of each epoch's variants."""
    seen = []
    for epoch in range(min(_EPOCHS, training.epochs)):
        plan = epoch_plan(np.array([clip]), clips.num_keyframes, training, 1, epoch, {clip} if twins else ())
        ours = [sample for sample in plan if sample.keyframe == keyframe]
        samples = [ours[0]] + [sample for sample in ours[1:2] if sample.narrowing]
        batch = render(clips.frames, samples, training.image_size)
        images = np.clip(np.rint(batch.images[..., 0]), 0, 255).astype(np.uint8)
        twin, place = (images[1], batch.places[1]) if len(samples) > 1 else (None, None)
        found = place is not None and not np.isnan(place).any()
        where = (float(place[0]), float(place[1])) if found else None
        seen.append(Example(images[0], samples[0].captions, twin, where))
    return seen


def _notes(preset: str, training: TrainingSettings, label: float) -> list[str]:
    size = training.image_size
    notes = [
        f"As the training of --preset {preset} shows it to the network: {size} x {size} pixels, one variant "
        "of each epoch, fold 1; shifts in pixels of these images."
    ]
    if not training.narrowings:
        return [*notes, "This preset makes no synthetic narrowings."]
    if label == 1:
        return [
            *notes,
            "The clip is labelled abnormal and gets no twins: they are made from normal clips alone.",
        ]
    twins = "Below each image its twin, trained on as abnormal: the same image with one synthetic narrowing."
    return [*notes, twins + (" (Of normal clips alone; the label is unknown.)" if np.isnan(label) else "")]
