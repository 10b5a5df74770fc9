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
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict, is_dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from stenoscope.errors import DatasetError, writing
from stenoscope.run import locks

SCHEMA_VERSION = 1
MANIFEST = "manifest.json"
UNFINISHED = ".unfinished.json"
SUMS = "SHA256SUMS"
"""Hashes of the files in a folder that is done before its run is; `sha256sum --check` reads it."""

_OWN_HASH = "sha256"  # of a manifest's other entries
_SUM = re.compile(r"[0-9a-f]{64}  \S.*")
_MAX_NAME = 200  # bytes of a clip's part of a file name; file systems allow 255 in all
_PACKAGES = (
    "numpy", "scipy", "scikit-learn", "opencv-python-headless", "pydicom", "keras", "tensorflow",
    "tensorflow-cpu", "torch", "jax",
)  # fmt: skip


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success sync it and rename it to `path`.

    On any exception, and on an interrupt, the temporary file is removed and `path` is left as it was. A
    StorageError if the disk is full or the folder can't be written to.
    """
    path = Path(path)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.stem[:40]}.", suffix=path.suffix, dir=path.parent)
        os.close(handle)
    temporary = Path(name)
    try:
        with writing(path, only_full=True):
            yield temporary
        with writing(path):
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
    write_text(path, json.dumps(plain(value), indent=2, allow_nan=False) + "\n")


def sha256_file(path: str | os.PathLike) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sha256_json(value) -> str:
    """Hexadecimal SHA-256 of a JSON-like value, independent of key order."""
    return hashlib.sha256(json.dumps(plain(value), sort_keys=True).encode()).hexdigest()


def versions() -> dict[str, str]:
    """Versions of Python, the platform and the packages that can change a result."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for name in _PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found.setdefault(name.removesuffix("-cpu"), metadata.version(name))
    return found


def git_commit() -> str | None:
    """Commit of the checkout this package runs from (``-dirty`` if it was changed), None outside one."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():  # an installed copy may lie inside a checkout of something else
        return None
    try:
        answer = subprocess.run(
            ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            capture_output=True, text=True, timeout=10, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip() or None


def write_manifest(
    folder: str | os.PathLike, kind: str, settings, inputs: dict, counts: dict, command=(), **more
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
    command : sequence of str
        What was typed to make it, as of `commands.typed`.
    **more
        Further entries (a buffer's offset, hashes of the outputs).
    """
    manifest = {
        "schema": f"stenoscope/{kind}",
        "version": SCHEMA_VERSION,
        "command": list(command),
        "settings": plain(settings),
        "inputs": inputs,
        "counts": counts,
        "versions": versions(),
        "git_commit": git_commit(),
        **more,
    }
    manifest[_OWN_HASH] = sha256_json(manifest)
    write_json(Path(folder) / MANIFEST, manifest)
    (Path(folder) / UNFINISHED).unlink(missing_ok=True)
    locks.release(folder)
    return manifest


def heading(source: str | os.PathLike) -> dict:
    """Entries of a manifest that head its page: the day it was made, and what `source` says of simulation.

    `source` is the folder of the step before; ``simulated`` is as in its manifest, None where that has none.
    """
    path = Path(source) / MANIFEST
    before = parse_manifest(path.read_text(encoding="utf-8")) if path.exists() else {}
    return {"created": today(), "simulated": before.get("simulated")}


def today() -> str:
    """Date in UTC, ``2026-01-31``."""
    return datetime.now(UTC).date().isoformat()


def parse_manifest(text: str) -> dict:
    """Content of a manifest's text, or of the note of an unfinished run.

    A ValueError if it is no JSON, or not what was written.
    """
    manifest = json.loads(text)
    if isinstance(manifest, dict) and _OWN_HASH in manifest:
        content = {name: value for name, value in manifest.items() if name != _OWN_HASH}
        if sha256_json(content) != manifest[_OWN_HASH]:
            raise ValueError("its SHA-256 is not the one it states")
    return manifest


def hash_files(folder: str | os.PathLike, names: Iterable[str]) -> dict[str, str]:
    """SHA-256 of files below `folder`, by their path in it with ``/``, in the order of the names."""
    return {name: sha256_file(Path(folder) / name) for name in sorted(names)}


def check_outputs(folder: str | os.PathLike, manifest: dict, names: Iterable[str] | None = None) -> None:
    """Compare files with the hashes that a manifest of `folder` states of them in `outputs`.

    With `names`, only these, as far as the manifest has them. A DatasetError if a file is missing, damaged or
    was changed.
    """
    outputs = manifest.get("outputs", {})
    for name in outputs if names is None else [name for name in names if name in outputs]:
        path = Path(folder) / name
        try:
            found = sha256_file(path)
        except OSError as problem:
            found = os.strerror(problem.errno)
        if found != outputs[name]:
            raise damaged(path, found, outputs[name])


def damaged(path: Path, found: str, stated: str) -> DatasetError:
    """Error for a file that is not what was written: what was found and what was stated."""
    what = f"its SHA-256 is {found[:12]}..." if len(found) == 64 else found
    return DatasetError(
        f"{path} is damaged or was changed: {what}.",
        f"the file as it was written, SHA-256 {stated[:12]}...",
        "restore it from a backup, or make its folder again: the same command with --overwrite.",
    )


def seal(folder: str | os.PathLike, names: Iterable[str]) -> None:
    """Write `folder/SHA256SUMS`, which marks a part of a run as done and its files as what they are now."""
    lines = [f"{found}  {name}\n" for name, found in hash_files(folder, names).items()]
    write_text(Path(folder) / SUMS, "".join(lines))


def check_seal(folder: str | os.PathLike) -> dict[str, str]:
    """Compare the files of a folder with its `SHA256SUMS`; returns it, empty if the folder has none.

    A DatasetError if a file is missing, damaged or was changed.
    """
    path = Path(folder) / SUMS
    if not path.exists():
        return {}
    lines = path.read_bytes().decode("utf-8", errors="replace").splitlines()
    if not lines or not all(_SUM.fullmatch(line) for line in lines):
        raise DatasetError(
            f"{path} is damaged.", "lines of a SHA-256 and a name", f"remove {path.parent}: it is made again."
        )
    sums = {line[66:]: line[:64] for line in lines}
    check_outputs(folder, {"outputs": sums})
    return sums


def read_manifest(folder: str | os.PathLike, kind: str, made_by: str) -> dict:
    """Read and check `folder/manifest.json`, of an artifact of `kind`; the error names the command `made_by`.

    A DatasetError if the manifest is missing, damaged, of another kind or of another schema version.
    """
    path = Path(folder) / MANIFEST
    expected = f"a finished {kind} folder with a {MANIFEST}"
    try:
        manifest = parse_manifest(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DatasetError(
            f"No {path} (missing, or the step before was interrupted).", expected, f"run `{made_by}`."
        ) from None
    except (OSError, ValueError) as problem:
        raise DatasetError(
            f"{path} can't be read: {problem}.", expected, f"run `{made_by} --overwrite`."
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


def plain(value):
    """JSON-ready copy of nested containers, dataclasses, paths and NumPy numbers."""
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if hasattr(value, "tolist"):  # NumPy scalars and arrays
        return plain(value.tolist())
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    return value
