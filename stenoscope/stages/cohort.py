"""What step 1, its check and `predict` take a folder for: its layout, key-frame method, labels, lesions."""

import functools
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

from stenoscope import provenance
from stenoscope.cli import say
from stenoscope.cluster import UnseenError
from stenoscope.commands import again
from stenoscope.dataset.catalogue import Catalogue
from stenoscope.dataset.labels import LabelTable, labels_from_folders, read_labels
from stenoscope.dataset.layouts import LAYOUTS, open_layout
from stenoscope.dataset.truth import read_truth
from stenoscope.errors import DatasetError, SettingsError, unknown_name
from stenoscope.executors import crashed
from stenoscope.imaging.intake import patient_of, refuse
from stenoscope.imaging.inventory import Source
from stenoscope.keyframes.published import PUBLISHED
from stenoscope.keyframes.registry import METHODS
from stenoscope.settings import KeyframeSettings
from stenoscope.stages.keyframe_worker import missing_files

AUTO = "auto"
USUAL = "opacification"
"""Key-frame method where nothing else is asked for."""

CHECK = (".check", "check")
"""Folders of ``--check`` in the output folder of step 1, which leaves them alone: its work, its results."""

UNLABELLED = "No label for this clip. To fix: add a line clip_id,patient_id,label."
CRASHED = (
    "The process that read this clip was killed twice, by a decoder crash or lack of memory. To "
    "fix: convert the file to an uncompressed transfer syntax."
)
GONE = "It was there when the run began and is now gone. To fix: put it back, or run again without it."

_LABELS_FROM = {
    "folders": "Labels from the folders N/ and A/.",
    "none": "No labels: the data set has none.",
}


def check_method(name: str) -> None:
    """Refuse a key-frame method that does not exist, before any work.

    Raises
    ------
    SettingsError
    """
    if name not in (AUTO, PUBLISHED, *METHODS):
        raise unknown_name("key-frame method", name, (AUTO, PUBLISHED, *METHODS))


def result_of(source: Source, future: Future):
    """What a worker says of a source; the row of a clip whose reading killed it, or that is gone.

    Raises
    ------
    UnseenError
        If another machine does not see the source, which is here.
    """
    if crashed(future):
        return refuse(source, CRASHED)
    if isinstance(future.exception(), UnseenError) and missing_files(source):  # here, too
        return refuse(source, GONE)
    return future.result()


def open_cohort(path: str | Path, layout: str) -> tuple[str, Catalogue]:
    """The name of a folder's layout and what it holds; 'auto' says what it found (see `open_layout`)."""
    if str(path) == KeyframeSettings.input and not Path(path).exists():
        raise DatasetError(
            f"There are no clips in {path} yet.",
            "simulated clips there, or a folder of your own",
            "simulate some with `python -m stenoscope.phantom`, or name your folder: "
            "`python pickle_generator.py FOLDER` (with --check to verify it first).",
        )
    found, data = open_layout(Path(path), layout)
    if layout == AUTO:
        say(f"{path} is laid out as {LAYOUTS[found].title}.")
    return found, data


def choose_method(name: str, layout: str, data: Catalogue) -> str:
    """The key-frame method that `name` asks for; 'auto' says what it chose where that is not the usual one.

    Raises
    ------
    SettingsError
        If it is 'published' and nothing is.
    """
    if name == PUBLISHED and not data.keyframes:
        raise SettingsError(
            f"The layout {layout} ships no key frames.", "another method", "leave --method out."
        )
    if name != AUTO:
        return name
    if data.stills:
        say("It holds selected frames, no whole runs: those are the key frames (method 'published').")
    return PUBLISHED if data.stills else USUAL


def find_labels(
    settings: KeyframeSettings, layout: str, data: Catalogue, pseudonym: Callable[[str], str]
) -> tuple[LabelTable | None, Path | str]:
    """The labels and where they come from: a path, a layout or 'none'; 'auto' says what it chose."""
    choice: Path | str = settings.labels
    if settings.labels == AUTO:
        root = Path(settings.input)
        if (root / "labels.csv").is_file():
            choice = root / "labels.csv"
        elif data.labels or layout == "folders":
            choice = layout
        elif data.patients:
            choice = "none"
        else:
            raise DatasetError(
                f"{root} has no labels.csv and no folders N/ and A/.",
                "a label for every clip",
                "write a CSV file clip_id,patient_id,label and give it with --labels FILE, sort the clips "
                "into N/ (normal) and A/ (abnormal), or use --labels none for key frames only.",
            )
        say(_LABELS_FROM.get(choice, f"Labels from {choice if choice != layout else 'the data set itself'}."))
    if choice == "none":
        return None, "none"
    if choice == "folders":
        by_id = {source.clip_id: source for source in data.inventory.sources}
        return labels_from_folders(by_id, lambda clip_id: patient_of(by_id[clip_id], pseudonym)), "folders"
    if choice == layout:
        return data.labels, layout
    return read_labels(choice), Path(choice)


def find_truth(
    settings: KeyframeSettings, layout: str, data: Catalogue
) -> tuple[dict[str, dict], Path | str]:
    """The lesions by clip and where they come from: a path, the layout or 'none'."""
    choice: Path | str = settings.truth
    if settings.truth == AUTO:
        path = Path(settings.input) / "truth.json"
        choice = path if path.is_file() else layout if data.truth else "none"
    if choice == "none":
        return {}, "none"
    return (
        (data.truth, layout)
        if choice == layout
        else (read_truth(choice, data.inventory.sources), Path(choice))
    )


@functools.cache  # once, not for every arm of a study
def say_if_labels_changed(keyframes: Path) -> None:
    """Say that the file of labels is no longer the one that step 1 read, where it can be compared."""
    manifest = provenance.read_manifest(keyframes, "keyframes", again(KeyframeSettings, keyframes))
    noted, path = manifest["inputs"].get("labels"), Path(str(manifest["settings"].get("labels_from")))
    if path.is_file() and provenance.sha256_file(path) != noted:
        say(f"[yellow]{path} has changed since step 1 read it; {keyframes} still has the old labels.[/]")
        say(f"To take the new ones: {again(KeyframeSettings, keyframes, overwrite=True)}")
