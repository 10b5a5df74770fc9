"""Every file of real and published DICOM collections: a correct clip or a clear line, no crash, no hang.

    python benchmarks/reality.py                       # what is installed or lies in ../shared/data
    python benchmarks/reality.py FILE_OR_FOLDER ...

Each file is read as step 1 reads it. Most are of other modalities and refused for that, so each image is read
a second time as a copy that claims to be XA; its frames are compared with SimpleITK's (GDCM's decoders). Each
file has a process of its own and 60 seconds. Ends with status 1 if one crashes, hangs, ends in anything but
frames or a DicomError, or differs from SimpleITK: at all if it is lossless, by more than 3 in 255 if not.
"""

import argparse
import importlib.util
import multiprocessing
import sys
import tempfile
import time
import warnings
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pydicom
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import UID, JPEG2000TransferSyntaxes, JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from stenoscope.errors import DicomError
from stenoscope.imaging import dicom
from stenoscope.imaging.dicom_file import LIBRARY_ERRORS
from stenoscope.imaging.dicom_header import Header

ROOT = Path(__file__).resolve().parent.parent
SECONDS = 60
LOSSY = frozenset((JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless, *JPEG2000TransferSyntaxes))
"""Syntaxes that two decoders may round differently."""

TOLERANCE = 3 / 255


@dataclass(frozen=True)
class Outcome:
    """What became of a file.

    Attributes
    ----------
    kind : str
        ``frames``, ``refused``, or a finding: ``differs``, ``exception``, ``crash``, ``hang``.
    text : str
    pixels : str
        How the frames compare with SimpleITK's.
    """

    kind: str
    text: str
    pixels: str = ""

    @property
    def is_finding(self) -> bool:
        """Whether it should not have happened."""
        return self.kind not in ("frames", "refused")


def collections() -> dict[str, Path]:
    """Folders of the collections that are here, by name."""
    found = {"pydicom": Path(pydicom.__file__).parent / "data" / "test_files"}
    data_store = importlib.util.find_spec("data_store")  # the package of pydicom-data
    if data_store is not None:
        found["pydicom-data"] = Path(data_store.origin).parent / "data"
    for name in ("rubo", "nema_wg04_xa1"):
        if (ROOT.parent / "shared" / "data" / name).is_dir():
            found[name] = ROOT.parent / "shared" / "data" / name
    return found


def files_of(folder: Path) -> list[Path]:
    """All its files, whatever their names."""
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc"))


def claim_xa(path: Path, target: Path) -> bool:
    """Copy an image as one of X-ray angiography, all other bytes as they are; False if there is no image."""
    try:
        dataset = dcmread(path, stop_before_pixels=True)
        if "Rows" not in dataset:
            return False
        data, modality = bytearray(path.read_bytes()), dataset.get_item("Modality")
        at = modality.value_tell if modality is not None and modality.length else 0
        if at and data[at : at + modality.length] == modality.value:
            data[at : at + modality.length] = b"XA".ljust(modality.length)
            target.write_bytes(data)
        else:  # no modality, or a deflated file
            dataset = dcmread(path)
            dataset.Modality = "XA"
            dataset.save_as(target)
    except LIBRARY_ERRORS:  # no DICOM
        return False
    return True


def read(path: Path) -> Outcome:
    """Read the frames, or say why not."""
    try:
        with dicom.open_clip(path) as clip:
            frames, facts = clip.frames(), clip.facts
    except DicomError as problem:
        return Outcome("refused", problem.received.replace(f"{path} ", ""))
    return Outcome("frames", f"{len(frames)} of {facts.rows} x {facts.cols}")


def compare(path: Path) -> Outcome:
    """Read the frames and hold their stored values against SimpleITK's."""
    outcome = read(path)
    if outcome.kind != "frames":
        return outcome
    with dicom.open_clip(path) as clip:
        header, ours = clip.header, np.stack(list(clip.stored()))
    theirs = reference(path)
    if theirs is None:
        return Outcome("frames", outcome.text, "not read by SimpleITK")
    if header.photometric == "PALETTE COLOR":  # SimpleITK gives RGB, the header a table of grey levels
        ours = header.rendering.table()[ours.astype(np.int64) - header.rendering.lowest]
        theirs = np.floor(theirs @ np.array([0.299, 0.587, 0.114]) + 0.5)
    elif header.samples == 1:
        ours = as_shown_by_sitk(ours, header, dcmread(path, stop_before_pixels=True))
    if ours.size != theirs.size:
        return Outcome("differs", outcome.text, f"{ours.shape}, SimpleITK {theirs.shape}")
    worst = float(np.abs(ours - theirs.reshape(ours.shape).astype(np.float64)).max())
    if worst == 0:
        return Outcome("frames", outcome.text, "equal")
    lossy = UID(header.syntax) in LOSSY or header.photometric.startswith("YBR")
    full = max(255.0, float(np.ptp(theirs)))
    allowed = TOLERANCE * full if lossy else 1e-3 if header.photometric != "PALETTE COLOR" else 1
    return Outcome(
        "frames" if worst <= allowed else "differs", outcome.text, f"by up to {worst:g} of {full:g}"
    )


def reference(path: Path) -> np.ndarray | None:
    """SimpleITK's frames, None if it can't read them."""
    import SimpleITK

    SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        image = SimpleITK.ReadImage(str(path))
    except RuntimeError:
        return None
    return SimpleITK.GetArrayFromImage(image)


def as_shown_by_sitk(stored: np.ndarray, header: Header, dataset: Dataset) -> np.ndarray:
    """Stored values, turned round for MONOCHROME1, then rescaled, as SimpleITK gives them."""
    groups = [
        group
        for name in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
        for group in list(dataset.get(name) or ())[:1]
    ]
    for group in groups:
        dataset = next(iter(group.get("PixelValueTransformationSequence") or ()), dataset)
    if header.photometric == "MONOCHROME1":
        stored = (1 << header.bits_stored) - 1 - stored.astype(np.int64)
    return stored * float(dataset.get("RescaleSlope", 1)) + float(dataset.get("RescaleIntercept", 0))


def _child(work, path: Path, answer: Connection) -> None:
    try:
        answer.send(work(path))
    except BaseException as problem:  # what else may come is what is looked for
        answer.send(Outcome("exception", repr(problem)))


def isolated(work, path: Path) -> tuple[Outcome, float]:
    """What `work` says of a file, from a process of its own, and the seconds it took."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(work, path, theirs))
    begin = time.monotonic()
    process.start()
    theirs.close()
    try:
        outcome = ours.recv() if ours.poll(SECONDS) else Outcome("hang", f"more than {SECONDS} s")
    except EOFError:
        process.join()
        outcome = Outcome("crash", f"exit code {process.exitcode}")
    seconds = time.monotonic() - begin
    process.kill()
    process.join()
    return outcome, seconds


def main() -> None:
    """Parse the command line, read everything, print."""
    warnings.simplefilter("ignore")  # pydicom's on what it mends while the copies are made
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("paths", nargs="*", type=Path, help="files or folders; default: the collections")
    paths = parser.parse_args().paths
    sources = {str(path): path for path in paths} if paths else collections()
    console = Console(width=180)
    findings, counts = 0, {}
    for name, source in sources.items():
        table = Table(title=name, title_justify="left")
        for column in ("file", "as it is", "claiming to be XA", "pixels, and SimpleITK's", "s"):
            table.add_column(column, justify="right" if column == "s" else "left", overflow="fold")
        with tempfile.TemporaryDirectory() as folder:
            for path in [source] if source.is_file() else files_of(source):
                plain, seconds = isolated(read, path)
                copy = Path(folder) / "copy.dcm"
                claimed, more = (
                    isolated(compare, copy) if claim_xa(path, copy) else (Outcome("refused", ""), 0.0)
                )
                shown = path.name if source.is_file() else path.relative_to(source).as_posix()
                table.add_row(shown, plain.text, claimed.text, claimed.pixels, f"{seconds + more:.2f}")
                for outcome in (plain, claimed):
                    findings += outcome.is_finding
                    kind = outcome.pixels if outcome.pixels in ("equal", "not read by SimpleITK") else ""
                    kind = kind or ("equal within rounding" if outcome.pixels else outcome.kind)
                    counts[kind] = counts.get(kind, 0) + bool(outcome.text)
        console.print(table)
    console.print(", ".join(f"{count} {kind}" for kind, count in sorted(counts.items())))
    console.print(f"{findings} findings: crashes, hangs, other exceptions, pixels that differ.")
    sys.exit(findings > 0)


if __name__ == "__main__":
    main()
