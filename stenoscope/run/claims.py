"""The claim of a run on its output folder: fresh, to be resumed, or finished already.

A folder never mixes two runs: one after the other, because each notes its settings and inputs before it
begins; at the same time, because it holds the folder's lock.
"""

import json
import os
import re
import shutil
from collections.abc import Collection, Iterable
from pathlib import Path

from stenoscope.errors import DatasetError
from stenoscope.run import locks, provenance
from stenoscope.run.cli import say
from stenoscope.settings import NO_RESULT

_TEMPORARY = re.compile(r"\..+\.[a-z0-9_]{8}(\.\w+)?")  # names that `atomic_path` gives
_CLEARING = "clearing"  # in the note of a run that removes what it replaces

# What step 1 notes beside its settings; what is read from a path is compared by its hash.
_NOT_COMPARED = NO_RESULT | {"labels_from", "layout_found"}


def claim(
    folder: str | os.PathLike,
    kind: str,
    settings,
    inputs: dict,
    overwrite: bool = False,
    spare: Collection[str] = (),
) -> bool:
    """Take `folder` for a run: fresh, to be resumed, or already finished.

    A run notes its settings and inputs in `.unfinished.json` and removes the note when its manifest is
    written, so a folder never mixes two runs one after the other; a lock (see `locks`) keeps out a second one
    at the same time until the manifest is written.

    Parameters
    ----------
    folder : path
    kind : str
        Kind of artifact, as in `write_manifest`.
    settings : dataclass or dict
        Settings of the present run; those that only say where or how fast are not compared.
    inputs : dict
        Names of inputs and their SHA-256.
    overwrite : bool
        Remove what another run of this kind left in `folder`, also the results of other runs in folders
        below it (the audit of an experiment, its predictions), which is said.
    spare : collection of str
        Names in `folder` that are no run's result and stay there all the same.

    Returns
    -------
    bool
        True if `folder` holds exactly the finished result, its files undamaged; False if there is work to do.

    Raises
    ------
    DatasetError
        If it holds a run with other settings or inputs, or a damaged result, and `overwrite` is False; or a
        run that is under way, in the folder itself or in one that would be removed.
    """
    folder = Path(folder)
    if _is_finished(folder, kind, settings, inputs, overwrite):  # also where nothing may be written
        return True
    locks.hold(folder)
    try:
        return _claim(folder, kind, settings, inputs, overwrite, spare)
    except BaseException:
        locks.release(folder)
        raise


def _claim(folder: Path, kind: str, settings, inputs: dict, overwrite: bool, spare: Collection[str]) -> bool:
    note = folder / provenance.UNFINISHED
    if _is_finished(folder, kind, settings, inputs, overwrite):  # by a run that ended just now
        locks.release(folder)
        return True
    content = {"schema": f"stenoscope/{kind}", "settings": settings, "inputs": inputs}
    finished = (folder / provenance.MANIFEST).exists() and not note.exists()
    clear = False
    if finished or note.exists():
        record = folder / (provenance.MANIFEST if finished else provenance.UNFINISHED)
        changed = _difference(record, kind, settings, inputs)
        being_cleared = not finished and _record(note).get(_CLEARING, False)
        if changed and not overwrite and not being_cleared:
            state = "was made" if finished else "holds an unfinished run"
            raise DatasetError(
                f"{folder} {state} with {' and '.join(changed)}.",
                "the same settings and inputs, so that the run can be resumed or skipped",
                "name another folder, or add --overwrite to replace it.",
            )
        clear = bool(changed) or being_cleared or finished  # finished, yet not returned above: damaged
    if clear:
        inside = _runs_inside(folder, spare)
        for part in inside:
            locks.hold(part)  # refuses while that run is under way
        if inside:
            names = ", ".join(f"{part}/ ({what})" for part, what in inside.items())
            say(f"Replacing everything in {folder}, including these runs: {names}.")
        # A kill from here on must not leave parts that could be taken for this run's.
        provenance.write_json(note, {**content, _CLEARING: True})
        for path in folder.iterdir():
            if path.name in (locks.LOCK, provenance.UNFINISHED, *spare):
                continue
            remove(path)
        for part in inside:
            locks.release(part)
    tidy(folder)
    provenance.write_json(note, content)
    return False


def renew(folder: str | os.PathLike, kind: str, names: Iterable[str]) -> None:
    """Take `folder` for a run that always begins anew: what an earlier run of its kind left is removed.

    `names` are the files and folders in it that a run of this kind makes; nothing else is touched. A
    DatasetError if it holds a run of another kind, or one that is under way.
    """
    folder = Path(folder)
    locks.hold(folder)
    try:
        records = [
            path for name in (provenance.MANIFEST, provenance.UNFINISHED) if (path := folder / name).exists()
        ]
        for record in records:
            schema = _record(record).get("schema", "a damaged manifest")
            if schema != f"stenoscope/{kind}":
                raise _of_another_kind(record, schema, kind)
        provenance.write_json(folder / provenance.UNFINISHED, {"schema": f"stenoscope/{kind}"})
        for path in (folder / name for name in names if records):
            remove(path)
    except BaseException:
        locks.release(folder)
        raise


def _of_another_kind(record: Path, schema: str, kind: str) -> DatasetError:
    return DatasetError(
        f"{record} belongs to {schema!r}.", f"a folder for {kind}", "name another output folder."
    )


def remove(path: Path) -> None:
    """Remove a file, a link or a folder with all that it holds; nothing happens if there is none."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def tidy(folder: str | os.PathLike) -> None:
    """Remove half-written files that a killed run, or a killed worker of this run, has left."""
    for path in Path(folder).rglob(".*"):
        if _TEMPORARY.fullmatch(path.name):
            path.unlink(missing_ok=True)


def _is_finished(folder: Path, kind: str, settings, inputs: dict, overwrite: bool) -> bool:
    """Whether the folder holds this very run, finished; with `overwrite`, only if it is also undamaged."""
    if not (folder / provenance.MANIFEST).exists() or (folder / provenance.UNFINISHED).exists():
        return False
    if _difference(folder / provenance.MANIFEST, kind, settings, inputs):
        return False
    try:
        manifest = provenance.read_manifest(folder, kind, "the same command with --overwrite")
        provenance.check_outputs(folder, manifest)
    except DatasetError:
        if overwrite:
            return False
        raise
    return True


def _runs_inside(folder: Path, spare: Collection[str]) -> dict[Path, str]:
    """Folders in `folder` that are results of runs of their own, finished or not, and what they hold."""
    found = {}
    for part in sorted(folder.iterdir()):
        if part.name in spare or part.is_symlink() or not part.is_dir():
            continue
        records = [part / name for name in (provenance.MANIFEST, provenance.UNFINISHED, locks.LOCK)]
        kinds = [str(_record(path).get("schema", "")).partition("/")[2] for path in records if path.exists()]
        if kinds:
            found[part] = next(filter(None, kinds), "a run")
    return found


def _record(path: Path) -> dict:
    """Content of a manifest, note or lock; empty if it can't be read."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _difference(path: Path, kind: str, settings, inputs: dict) -> list[str]:
    """What the record at `path` has different from the present run, in words; empty if nothing."""
    try:
        record = provenance.parse_manifest(path.read_text(encoding="utf-8"))
        then, before = record["settings"], record["inputs"]
    except (OSError, ValueError, KeyError, TypeError):
        return [f"unknown settings (its {path.name} can't be read)"]
    if record.get("schema") != f"stenoscope/{kind}":
        raise _of_another_kind(path, record.get("schema"), kind)
    now = provenance.plain(settings)
    names = sorted((now.keys() | then.keys()) - _NOT_COMPARED)
    changed = [f"{n}: {_shown(then, n)}, now {_shown(now, n)}" for n in names if now.get(n) != then.get(n)]
    files = [n for n in sorted(inputs.keys() | before.keys()) if before.get(n) != inputs.get(n)]
    words = [f"different settings ({'; '.join(changed)})"] if changed else []
    return words + ([f"different input ({', '.join(files)})"] if files else [])


def _shown(settings: dict, name: str) -> str:
    value = str(settings.get(name, "unknown"))
    return value if len(value) <= 60 else value[:57] + "..."
