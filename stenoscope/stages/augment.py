"""Draw one key frame in all its variants."""

from pathlib import Path

from stenoscope import provenance
from stenoscope.augmentation.sheet import draw_sheet
from stenoscope.cli import finish
from stenoscope.dataset.clipset import ClipSet
from stenoscope.errors import DatasetError, SettingsError
from stenoscope.records import KEYFRAMES_PER_CLIP
from stenoscope.settings import AugmentSettings


def draw_variants(settings: AugmentSettings) -> None:
    """Write `sheet.png`: 5 crops x 5 intensity offsets of one key frame.

    Raises
    ------
    DatasetError, SettingsError
        If step 1 has not finished, the clip is unknown, or the key frame is not 0 to 4.
    """
    clips = ClipSet.open(settings.input)
    clip_id = settings.clip or clips.clip_ids[0]
    if clip_id not in clips.clip_ids:
        raise DatasetError(
            f"No clip {clip_id!r} in {settings.input}.",
            f"one of its {len(clips)} clips, such as {clips.clip_ids[0]!r}",
            "see clip_id in keyframes.csv.",
        )
    if not 0 <= settings.keyframe < KEYFRAMES_PER_CLIP:
        raise SettingsError(f"keyframe is {settings.keyframe}.", f"0 to {KEYFRAMES_PER_CLIP - 1}")
    clip = clips.clip_ids.index(clip_id)
    frame_index = clips.keyframes[clip, settings.keyframe]
    sheet = draw_sheet(
        clips.frames[KEYFRAMES_PER_CLIP * clip + settings.keyframe], f"{clip_id}, frame {frame_index}"
    )
    path = Path(settings.output) / "sheet.png"
    provenance.write_image(path, sheet)
    finish("The 25 variants of a key frame", [("sheet", str(path))], None)
