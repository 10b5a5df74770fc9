"""Ids of clips that were found below several paths: unique, readable, and without the machine's folders."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from stenoscope.app.predict_worker import Job
from stenoscope.errors import DatasetError, printable
from stenoscope.imaging.intake import IntakeRow, Source
from stenoscope.run.access import is_dir

Found = TypeVar("Found", Source, IntakeRow)


def common_names(paths: Sequence[str | os.PathLike]) -> list[str]:
    """What to put before the ids of each path: its folder below the one that all paths have in common.

    With ``/``; empty for a folder that holds all the others, and for the only path. Paths that have nothing
    but the root in common are named by their last parts, as many as tell them apart.

    Examples
    --------
    >>> common_names(["/data/ward/june", "/data/lab"]), common_names(["/data/ward"])
    (['ward/june', 'lab'], [''])
    """
    whole = [Path(os.path.normpath(Path(path).absolute())) for path in paths]
    folders = [path if is_dir(path) else path.parent for path in whole]
    common = Path(os.path.commonpath(folders))
    if common.parent == common and len(set(folders)) > 1:
        return [printable(name) for name in _last_parts(folders)]
    names = ["" if folder == common else folder.relative_to(common).as_posix() for folder in folders]
    return [printable(name) for name in names]


def below(found: Found, name: str) -> Found:
    """A source or row of a path, its id and its path with the path's name of `common_names` in front."""
    if not name:
        return found
    itself = getattr(found, "relative", "") == "."  # a folder of images: its id is its own name
    clip_id = name if itself else f"{name}/{found.clip_id}" if found.clip_id else ""
    if isinstance(found, Source):
        return replace(found, clip_id=clip_id, relative=name if itself else f"{name}/{found.relative}")
    return replace(found, clip_id=clip_id, path=f"{name}/{found.path}")


def distinct(jobs: Sequence[Job]) -> list[Job]:
    """The jobs, each with an id of its own: clips that differ in their suffix alone keep it.

    A DatasetError if two paths lead to the same clip.
    """
    again = [path for path, count in Counter(job[0].path.resolve() for job in jobs).items() if count > 1]
    if again:
        twice = sorted(job[0].relative for job in jobs if job[0].path.resolve() in again)
        raise DatasetError(
            f"The same clip is named twice: {', '.join(dict.fromkeys(twice[:5]))}.",
            "every clip once",
            "name each path once, and no folder together with what it holds.",
        )
    ids = Counter(job[0].clip_id for job in jobs)
    return [
        (replace(source, clip_id=source.relative) if ids[source.clip_id] > 1 else source, *how)
        for source, *how in jobs
    ]


def _last_parts(folders: Sequence[Path]) -> list[str]:
    """The last parts of each folder, as many as tell them apart."""
    for count in range(1, max(len(folder.parts) for folder in folders) + 1):
        names = ["/".join(folder.parts[1:][-count:]) for folder in folders]
        if len(set(names)) == len(set(folders)):
            break
    return names
