"""Manifests, content hashes and atomic writes: how an artifact says where it came from.

Every artifact folder holds a `manifest.json` with schema, command, settings, seed, input hashes, counts,
package versions and the git commit. The next step checks it and refuses a mismatch. Files are written
beside their target, synced and renamed, so that a half-written file never carries a final name.
"""

import contextlib
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, is_dataclass
from importlib import metadata
from pathlib import Path

from stenoscope.errors import DatasetError

SCHEMA_VERSION = 1
MANIFEST = "manifest.json"
UNFINISHED = ".unfinished.json"
_TEMPORARY = re.compile(r"\..+\.[a-z0-9_]{8}(\.\w+)?")  # names that `atomic_path` gives
_MAX_NAME = 200  # bytes of a clip's part of a file name; file systems allow 255 in all
_PACKAGES = ("numpy", "scipy", "scikit-learn", "opencv-python-headless", "pydicom", "keras", "tensorflow")


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success sync it and rename it to `path`.

    On any exception, and on an interrupt, the temporary file is removed and `path` is left as it was.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.stem[:40]}.", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb+") as stream:
            os.fsync(stream.fileno())
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)  # mkstemp makes 0600, which a colleague could not read
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_bytes(path: str | os.PathLike, data: bytes) -> None:
    """Write `data` to `path` atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: str | os.PathLike, text: str) -> None:
    """Write `text` to `path` atomically, as UTF-8 with ``\\n`` line ends."""
    write_bytes(path, text.encode("utf-8"))


def write_image(path: str | os.PathLike, rgb) -> None:
    """Write a picture, uint8 (rows, cols, 3) or (rows, cols), to a PNG file atomically."""
    from PIL import Image

    with atomic_path(path) as temporary:
        Image.fromarray(rgb).save(temporary, format="PNG", compress_level=6)


def file_name(clip_id: str) -> str:
    """Name of a clip's files in a flat folder: ``/`` becomes ``__``; no two ids share a name.

    Underscores that could be taken for a ``/`` are written as ``%5F``, and a name too long for a file system
    ends in a hash.

    Examples
    --------
    >>> file_name("Patient_1/Coro_2"), file_name("a__b")
    ('Patient_1__Coro_2', 'a%5F%5Fb')
    """
    plain = re.sub("%|_(?=[_/])|(?<=[_/])_", lambda found: f"%{ord(found[0]):02X}", clip_id)
    name = plain.replace("/", "__")
    if len(name.encode()) <= _MAX_NAME:
        return name
    digest = hashlib.sha256(clip_id.encode()).hexdigest()[:24]
    return name.encode()[: _MAX_NAME - 25].decode(errors="ignore") + "~" + digest


def write_json(path: str | os.PathLike, value) -> None:
    """Write `value` to `path` atomically as indented JSON; dataclasses become objects, NaN becomes null."""
    write_text(path, json.dumps(_plain(value), indent=2, allow_nan=False) + "\n")


def sha256_file(path: str | os.PathLike) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sha256_json(value) -> str:
    """Hexadecimal SHA-256 of a JSON-like value, independent of key order."""
    return hashlib.sha256(json.dumps(_plain(value), sort_keys=True).encode()).hexdigest()


def versions() -> dict[str, str]:
    """Versions of Python, the platform and the packages that can change a result."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for name in _PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    if "tensorflow" not in found:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found["tensorflow"] = metadata.version("tensorflow-cpu")
    return found


def git_commit() -> str | None:
    """Commit of the checkout this package runs from (``-dirty`` if it was changed), None outside one."""
    root = Path(__file__).resolve().parent.parent
    try:
        answer = subprocess.run(
            ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            capture_output=True, text=True, timeout=10, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip() or None


def write_manifest(
    folder: str | os.PathLike, kind: str, settings, inputs: dict, counts: dict, **more
) -> dict:
    """Write `folder/manifest.json` and return its content.

    Parameters
    ----------
    folder : path
        The artifact's folder.
    kind : str
        What the folder holds: ``phantom``, ``keyframes``, ``folds``, ``experiment``, ``tuning``.
    settings : dataclass or dict
        All settings that made it, defaults included.
    inputs : dict of str to str
        Names of inputs and their SHA-256.
    counts : dict
        How many of what, by label where there are labels.
    **more
        Further entries (a buffer's offset, hashes of the outputs).
    """
    manifest = {
        "schema": f"stenoscope/{kind}",
        "version": SCHEMA_VERSION,
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "settings": _plain(settings),
        "inputs": inputs,
        "counts": counts,
        "versions": versions(),
        "git_commit": git_commit(),
        **more,
    }
    write_json(Path(folder) / MANIFEST, manifest)
    (Path(folder) / UNFINISHED).unlink(missing_ok=True)
    return manifest


def read_manifest(folder: str | os.PathLike, kind: str, made_by: str) -> dict:
    """Read and check `folder/manifest.json`.

    Parameters
    ----------
    folder : path
    kind : str
        Expected kind of artifact.
    made_by : str
        The command that makes it, named in the error.

    Raises
    ------
    DatasetError
        If the manifest is missing, damaged, of another kind or of another schema version.
    """
    path = Path(folder) / MANIFEST
    expected = f"a finished {kind} folder with a {MANIFEST}"
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DatasetError(
            f"No {path} (missing, or the step before was interrupted).", expected, f"run `{made_by}`."
        ) from None
    except (OSError, ValueError) as problem:
        raise DatasetError(
            f"{path} can't be read: {problem}.", expected, f"delete it and run `{made_by}`."
        ) from problem
    schema = manifest.get("schema") if isinstance(manifest, dict) else None
    if schema != f"stenoscope/{kind}":
        raise DatasetError(f"{path} has schema {schema!r}.", f"'stenoscope/{kind}'", f"run `{made_by}`.")
    if manifest.get("version") != SCHEMA_VERSION:
        raise DatasetError(
            f"{path} has schema version {manifest.get('version')!r}.",
            f"version {SCHEMA_VERSION}",
            f"it was made by another release: make it again with `{made_by}`.",
        )
    return manifest


# Settings that say where or how fast, not what; what is read from a path is compared by its hash.
_WHERE_NOT_WHAT = {
    "input", "output", "experiment", "labels", "labels_from", "truth", "pseudonym_key",
    "workers", "dask_scheduler", "threads", "overwrite",
}  # fmt: skip


def claim(folder: str | os.PathLike, kind: str, settings, inputs: dict, overwrite: bool = False) -> bool:
    """Take `folder` for a run: fresh, to be resumed, or already finished.

    A run notes its settings, inputs and process in `.unfinished.json` and removes the note when its manifest
    is written, so a folder never mixes two runs, one after the other or at the same time. The note of a
    process that has ended, or of another host, holds nobody up.

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
        Remove what another run of this kind left in `folder`.

    Returns
    -------
    bool
        True if `folder` holds exactly the finished result; False if there is work to do.

    Raises
    ------
    DatasetError
        If it holds a run with other settings or inputs and `overwrite` is False, or a run that is under way.
    """
    folder = Path(folder)
    note = folder / UNFINISHED
    _refuse_while_running(note)
    finished = (folder / MANIFEST).exists() and not note.exists()
    if finished or note.exists():
        changed = _difference(folder / (MANIFEST if finished else UNFINISHED), kind, settings, inputs)
        if changed and not overwrite:
            raise DatasetError(
                f"{folder} holds {'a' if finished else 'an unfinished'} {kind} run made with another "
                f"{', '.join(changed)}.",
                "the same settings and inputs, so that the run can be resumed or skipped",
                "name another folder, or add --overwrite to replace it.",
            )
        if not changed and finished:
            return True
        if changed:
            shutil.rmtree(folder)
    for path in folder.rglob(".*"):
        if _TEMPORARY.fullmatch(path.name):  # left by a run that was killed
            path.unlink()
    folder.mkdir(parents=True, exist_ok=True)
    here = {"host": platform.node(), "pid": os.getpid(), "started": _started(os.getpid())}
    write_json(
        note, {"schema": f"stenoscope/{kind}", "settings": settings, "inputs": inputs, "process": here}
    )
    return False


def _refuse_while_running(note: Path) -> None:
    """Raise if the process that wrote the note `.unfinished.json` is still at work on this host."""
    try:
        holder = json.loads(note.read_text(encoding="utf-8"))["process"]
        host, pid, started = holder["host"], int(holder["pid"]), holder["started"]
    except (OSError, ValueError, KeyError, TypeError):
        return  # no note, or one that names no process
    if host != platform.node() or pid == os.getpid() or started is None or _started(pid) != started:
        return
    raise DatasetError(
        f"Process {pid} on {host} is writing to {note.parent} now.",
        "one run at a time in a folder",
        "wait until it has finished or end it, or name another folder.",
    )


def _started(pid: int) -> str | None:
    """When a process of this host started, to tell it from a later one of its number; None if it ended.

    Known on Linux only; elsewhere None, and two runs in one folder are the user's to avoid.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    state, *rest = stat.rpartition(")")[2].split()  # the name in parentheses may hold anything
    return None if state in "ZX" else rest[18]  # field 22, starttime, in clock ticks since the boot


def _difference(path: Path, kind: str, settings, inputs: dict) -> list[str]:
    """Names of the settings and inputs in which the record at `path` differs from the present run."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        then, before = record["settings"], record["inputs"]
    except (OSError, ValueError, KeyError, TypeError):
        return [f"content (its {path.name} can't be read)"]
    if record.get("schema") != f"stenoscope/{kind}":
        raise DatasetError(
            f"{path} belongs to {record.get('schema')!r}.",
            f"a folder for {kind}",
            "name another output folder.",
        )
    now = _plain(settings)
    names = [
        n for n in sorted(now.keys() | then.keys()) if n not in _WHERE_NOT_WHAT and now.get(n) != then.get(n)
    ]
    return names + [f"input ({n})" for n in sorted(inputs) if before.get(n) != inputs[n]]


def quick_hash(path: str | os.PathLike) -> str:
    """Hash of a source's name, size and first and last 64 KiB (for a folder: of its files).

    Cheap enough to notice changed inputs among 100,000 clips before any work; the full content hash of
    each clip is in `intake.csv`.
    """
    path = Path(path)
    digest = hashlib.sha256()
    files = sorted(item for item in path.iterdir() if item.is_file()) if path.is_dir() else [path]
    ends = {files[0], files[-1]} if files else set()
    for item in files:
        size = item.stat().st_size
        digest.update(f"{item.name}\0{size}\0".encode())
        if item in ends:
            with item.open("rb") as stream:
                digest.update(stream.read(65536))
                stream.seek(max(0, size - 65536))
                digest.update(stream.read(65536))
    return digest.hexdigest()


def _plain(value):
    """JSON-ready copy of nested containers, dataclasses, paths and NumPy numbers."""
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if hasattr(value, "tolist"):  # NumPy scalars and arrays
        return _plain(value.tolist())
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    return value
