"""Key frames that a user corrected by hand, from a file."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from stenoscope.data.identity import fit_names
from stenoscope.data.problems import count_of, listed
from stenoscope.data.tables import read_table
from stenoscope.errors import DatasetError, DicomError
from stenoscope.imaging.intake import Source
from stenoscope.imaging.readers import READERS

_FRAMES = ("keyframes", "frames")


def read_corrections(
    path: Path, sources: Iterable[Source], published: Mapping[str, tuple[int, ...]], count: int
) -> dict[str, tuple[int, ...]]:
    """The key frames by clip id from a table; `keyframes.csv` of step 1, edited or not, is such a file.

    It is CSV or .xlsx; columns beside `clip_id` and `keyframes` (or `frames`) do not count. A frame occurs
    twice only where the clip has fewer than `count` frames, or its data set publishes fewer (`published`, by
    clip). Of the clips named, headers alone are read, for their numbers of frames. Raises DatasetError with
    all faults of the file at once.
    """
    example = " ".join(map(str, range(12, 12 + min(count, 5)))) + " ..." * (count > 5)
    expected = f"columns clip_id and keyframes: {count} ascending frame numbers from 0, as {example}"
    table = read_table(path, ("clip_id", *_FRAMES))
    at = [table.columns("clip_id"), [place for name in _FRAMES for place in table.columns(name)]]
    if not all(at):
        raise DatasetError(
            f"{path} has no column {'keyframes' if at[0] else 'clip_id'}.", expected, "correct its header."
        )
    by_id = {source.clip_id: source for source in sources}
    names = fit_names([row[at[0][0]] for _, row in table.rows], by_id)
    found: dict[str, tuple[int, ...]] = {}
    lines: dict[str, int] = {}
    faults = list(table.faults)
    for (line, row), clip_id in zip(table.rows, names, strict=True):
        if clip_id not in by_id:
            faults.append(f"line {line}: there is no clip {clip_id!r}")
        elif clip_id in lines:
            faults.append(f"line {line}: clip {clip_id} again, first in line {lines[clip_id]}")
        else:
            lines[clip_id] = line
            num_published = len(published.get(clip_id, ()))
            found[clip_id], fault = _parsed(
                row[at[1][0]], count, _num_frames(by_id[clip_id]), num_published
            )
            faults += [f"line {line}, clip {clip_id}: {fault}"] if fault else []
    if faults:
        what = f"{count_of(len(faults), 'fault')}: {listed(faults)}"
        raise DatasetError(f"{path} has {what}.", expected, "correct these lines.")
    return found


def _parsed(text: str, count: int, num_frames: int | None, num_published: int) -> tuple[tuple[int, ...], str]:
    """The frames of a cell, and what is wrong with them; `num_frames` is None where it is not known."""
    words = [word for word in re.split(r"[\s,;]+", text) if word]
    if not all(re.fullmatch(r"-?[0-9]{1,9}", word) for word in words):
        return (), f"{text!r} is no list of frame numbers"
    frames = tuple(map(int, words))
    if len(frames) != count:
        return (), f"{len(frames)} frames ({text}) instead of {count}"
    if wrong := [frame for frame in frames if frame < 0 or (num_frames is not None and frame >= num_frames)]:
        last = "" if num_frames is None else f", which has frames 0 to {num_frames - 1}"
        return (), f"frame {' and '.join(map(str, dict.fromkeys(wrong)))} is outside the clip{last}"
    if list(frames) != sorted(frames):
        return (), f"the frames {text} do not ascend"
    limits = (num_frames or count, num_published or count)
    if len(set(frames)) < min(count, *limits):
        return (), f"a frame more than once in {text}"
    return frames, ""


def _num_frames(source: Source) -> int | None:
    try:
        with READERS[source.reader].open(source.path) as opened:
            return opened.facts.num_frames
    except DicomError:  # reading it as a clip tells what is wrong with it
        return None
