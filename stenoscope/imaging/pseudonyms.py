"""Patient pseudonyms: a keyed hash, the same for the same patient as long as the key file is kept."""

import hashlib
import hmac
import os
import secrets
import tempfile
from pathlib import Path

from stenoscope.errors import DatasetError

_KEY_BYTES = 32
_DIGITS = 12  # 48 bits: two of 100,000 patients share a pseudonym with a chance of 2e-5


class Pseudonymizer:
    """Callable that turns a patient id into a pseudonym (HMAC-SHA256 with a secret key).

    The key file is made at first use, readable by its owner only; DatasetError if it can't be made or read. A
    pickled pseudonymizer carries the file's path and never the key, so a worker on another machine needs the
    same file; it refuses another one.

    The issuer of the id does not enter: the same person with and without an issuer must stay one patient, or
    training and test data could share them.
    """

    def __init__(self, key_file: str | os.PathLike):
        self.key_file = Path(key_file).resolve()
        try:
            if not self.key_file.exists():
                _create_key(self.key_file)
        except OSError as problem:
            raise DatasetError(
                f"The key of the patient pseudonyms can't be made at {self.key_file}: {problem.strerror}.",
                "a folder that can be written to",
                "give another path with --pseudonym_key.",
            ) from problem
        self._key = _read_key(self.key_file)

    @property
    def fingerprint(self) -> str:
        """Says which key was used without giving it away; for manifests."""
        return hashlib.sha256(b"fingerprint" + self._key).hexdigest()[:16]

    def __call__(self, patient_id: str) -> str:
        """Pseudonym of `patient_id`, ``p-`` and 12 hexadecimal digits; blanks around the id do not count."""
        digest = hmac.new(self._key, patient_id.strip().encode("utf-8", "surrogatepass"), hashlib.sha256)
        return f"p-{digest.hexdigest()[:_DIGITS]}"

    def __getstate__(self):
        return {"key_file": str(self.key_file), "fingerprint": self.fingerprint}

    def __setstate__(self, state):
        self.key_file = Path(state["key_file"])
        self._key = _read_key(self.key_file)
        if self.fingerprint != state["fingerprint"]:
            raise DatasetError(
                f"{self.key_file} on this machine holds another key than the one this run started with.",
                "one key for all machines, or a patient would get two pseudonyms",
                "put the key file on a file system that all machines share.",
            )


def _create_key(path: Path) -> None:
    """Write a new key; if another process was first, leave its key."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # mode 0600
    try:
        with os.fdopen(handle, "w", encoding="ascii") as stream:
            stream.write(secrets.token_hex(_KEY_BYTES) + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        try:
            os.link(name, path)  # atomic, and fails instead of replacing
        except FileExistsError:
            return
    finally:
        Path(name).unlink()


def _read_key(path: Path) -> bytes:
    try:
        key = bytes.fromhex(path.read_text(encoding="ascii").strip())
    except (OSError, ValueError) as problem:
        raise DatasetError(
            f"The key of the patient pseudonyms can't be read from {path} ({type(problem).__name__}).",
            "a file that an earlier run made",
            "restore it from a backup; or delete it to get new pseudonyms for every patient.",
        ) from problem
    if len(key) != _KEY_BYTES:
        raise DatasetError(
            f"{path} holds a key of {len(key)} bytes.",
            f"{_KEY_BYTES} bytes in hexadecimal",
            "restore it from a backup; or delete it to get new pseudonyms for every patient.",
        )
    return key
