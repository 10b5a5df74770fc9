"""Whether a source is what it was: its content decides, and is read only where its files may have changed.

A file whose size, times of change and inode are those of the last look holds the same bytes, so the hash of
then is taken. Where one of them differs (a copy on another machine, a touched or restored file), the content
is hashed again: the same content is the same source, and nothing is made again.
"""

import contextlib
import hashlib
import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from stenoscope.app.inputs import CHECK
from stenoscope.errors import StenoscopeError
from stenoscope.imaging.intake import Source
from stenoscope.imaging.readers import READERS
from stenoscope.run import provenance
from stenoscope.run.access import is_dir, is_file
from stenoscope.run.cli import progress

KNOWN = f"{CHECK[0]}/sources.json"
"""Where a run keeps what it found, in its output folder."""

_COARSEST = 2 * 10**9  # nanoseconds: within them a file may change twice and keep its time stamp (FAT)
_THREADS = 4


class Fingerprints:
    """Content hashes of sources, by clip id: hexadecimal SHA-256 of their files' names, sizes and content.

    A file that can't be read counts by its name: reading it as a clip tells what is wrong with it. `output`
    is the folder of the run, which may hold what an earlier run found; nothing is written before `keep`.
    """

    def __init__(self, sources: Sequence[Source], output: str | os.PathLike):
        self._path = Path(output) / KNOWN
        before, written = _read(self._path)
        files = {source.clip_id: _files(source) for source in sources}
        stamps = {clip_id: [_stamp(path) for path in paths] for clip_id, paths in files.items()}
        self.hashes = {
            clip_id: before[clip_id][1]
            for clip_id, stamp in stamps.items()
            if before.get(clip_id, [None])[0] == stamp and _last_change(stamp) < written - _COARSEST
        }
        missing = [clip_id for clip_id in files if clip_id not in self.hashes]
        if missing:
            with ThreadPoolExecutor(_THREADS) as pool, progress("content", len(missing)) as step:
                found = pool.map(_hash, [files[clip_id] for clip_id in missing])
                for clip_id in missing:
                    self.hashes[clip_id] = next(found)
                    step()
        self._known = {clip_id: [stamp, self.hashes[clip_id]] for clip_id, stamp in stamps.items()}
        self._is_news = bool(missing) or self._known != before

    def keep(self) -> None:
        """Write what was found to the output folder, for the next run; not where nothing may be written."""
        if self._is_news:
            with contextlib.suppress(StenoscopeError, OSError):
                provenance.write_text(self._path, json.dumps(self._known) + "\n")


def _read(path: Path) -> tuple[dict[str, list], int]:
    """What an earlier run has kept, and when, nanoseconds; nothing if it is damaged."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        known = {str(clip_id): [list(stamp), str(sha256)] for clip_id, (stamp, sha256) in found.items()}
        return known, path.stat().st_mtime_ns
    except (OSError, ValueError, TypeError, AttributeError):
        return {}, 0


def _files(source: Source) -> list[Path]:
    paths = READERS[source.reader].files(source.path)
    if is_dir(source.path):
        paths = sorted(item for item in source.path.iterdir() if is_file(item))
    return list(paths)


def _stamp(path: Path) -> list:
    """Name, size, inode, times of change of content and entry in nanoseconds; the name alone of no file."""
    name = os.fsencode(path.name).hex()
    try:
        about = path.stat()
    except OSError:  # a link to nothing, say
        return [name]
    return [name, about.st_size, about.st_ino, about.st_mtime_ns, about.st_ctime_ns]


def _last_change(stamps: list[list]) -> int:
    return max((max(stamp[3:], default=0) for stamp in stamps), default=0)


def _hash(paths: list[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        digest.update(os.fsencode(path.name) + b"\0")
        try:
            content = (
                provenance.sha256_file(path) if is_file(path) else "no file"
            )  # a pipe would be waited for
        except OSError:
            content = "unreadable"
        digest.update(content.encode() + b"\0")
    return digest.hexdigest()
