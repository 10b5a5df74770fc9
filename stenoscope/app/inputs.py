"""What step 1, its check and `predict` take a folder for: its layout, key-frame method, labels, lesions."""

import functools
import os
from concurrent.futures import Future
from dataclasses import asdict
from pathlib import Path

from stenoscope.app.keyframe_methods import METHODS
from stenoscope.app.keyframe_worker import missing_files
from stenoscope.data.corrections import read_corrections
from stenoscope.data.data_set import DataSet
from stenoscope.data.identity import (
    SAME_PATIENTS,
    person_problems,
    read_same_patients,
    same_patients_text,
    same_persons,
)
from stenoscope.data.label_form import LabelForm
from stenoscope.data.labels import TEMPLATE, LabelTable, labels_from_folders, read_labels
from stenoscope.data.layouts import LAYOUTS, open_layout
from stenoscope.data.problems import Problem
from stenoscope.data.truth import read_truth
from stenoscope.errors import DatasetError, DicomError, SettingsError, unknown_name
from stenoscope.imaging.intake import Source, patient_of
from stenoscope.imaging.pseudonyms import Pseudonymizer
from stenoscope.keyframes.published import PUBLISHED
from stenoscope.run import provenance
from stenoscope.run.access import is_dir, is_file, paths_in
from stenoscope.run.cli import say
from stenoscope.run.cluster import UnseenError
from stenoscope.run.commands import again, command, program
from stenoscope.run.executors import crashed
from stenoscope.settings import KeyframeSettings, PhantomSettings

AUTO = "auto"
DEFAULT_METHOD = "opacification"
"""Key-frame method where nothing else is asked for."""

CHECK = (".check", "check")
"""Folders of ``--check`` in the output folder of step 1, which leaves them alone: its work, its results."""

KEPT = (*CHECK, *(name for draft in (TEMPLATE, SAME_PATIENTS) for name in (draft, f".{draft}.sha256")))
"""What step 1 leaves in its output folder, with `overwrite` too: also the tables that a user fills in."""

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
    """Refuse a key-frame method that does not exist, by a SettingsError, before any work."""
    if name not in (AUTO, PUBLISHED, *METHODS):
        raise unknown_name("key-frame method", name, (AUTO, PUBLISHED, *METHODS))


def result_of(source: Source, future: Future):
    """What a worker says of a source; the row of a clip whose reading killed it, or that is gone.

    An UnseenError if another machine does not see the source, which is here.
    """
    if crashed(future):
        return source.row("quarantined", CRASHED)
    if isinstance(future.exception(), UnseenError) and missing_files(source):  # here, too
        return source.row("quarantined", GONE)
    return future.result()


def open_data_set(path: str | Path, layout: str) -> tuple[str, DataSet]:
    """The name of a folder's layout and what it holds; 'auto' says what it found (see `open_layout`)."""
    if str(path) == KeyframeSettings.input and not Path(path).exists():
        raise DatasetError(
            f"There are no clips in {path} yet.",
            "simulated clips there, or a folder of your own",
            f"simulate some with `{program(PhantomSettings)}`, or name your folder: "
            f"`{program(KeyframeSettings)} FOLDER` (with --check to verify it first).",
        )
    found, data = open_layout(Path(path), layout)
    if layout == AUTO:
        say(f"{path} is laid out as {LAYOUTS[found].title}.")
    return found, data


def choose_method(name: str, layout: str, data: DataSet) -> str:
    """The key-frame method that `name` asks for; 'auto' says what it chose where that is not the default.

    A SettingsError if it is 'published' and nothing is.
    """
    if name == PUBLISHED and not data.keyframes:
        raise SettingsError(
            f"The layout {layout} ships no key frames.", "another method", "leave --method out."
        )
    if name != AUTO:
        return name
    if data.stills:
        say("It holds selected frames, no whole runs: those are the key frames (method 'published').")
    return PUBLISHED if data.stills else DEFAULT_METHOD


class Inputs:
    """What step 1 and its check take of a data set, by their settings.

    `layout` and `data` are those of `open_data_set`; an empty `method` is the one that the settings ask for.
    """

    def __init__(self, settings: KeyframeSettings, layout: str, data: DataSet, method: str = ""):
        self.settings, self.layout, self.data = settings, layout, data
        self.method = method or choose_method(settings.method, layout, data)
        self.pseudonym = Pseudonymizer(settings.pseudonym_key)

    @functools.cached_property
    def merged(self) -> dict[str, str]:
        """Whose each patient id is, by the table that the settings name; empty without one."""
        return read_same_patients(self.settings.same_patients) if self.settings.same_patients else {}

    def labels(self) -> tuple[LabelTable | None, Path | str]:
        """The labels and where they come from: a path, a layout or 'none'; 'auto' says what it chose."""
        choice = self._labels_from() if self.settings.labels == AUTO else self.settings.labels
        if choice == "none":
            return None, "none"
        sources = {source.clip_id: source for source in self.data.sources}
        if choice == "folders":
            patient = functools.partial(patient_of, pseudonym=self.pseudonym)
            return labels_from_folders(sources, lambda clip_id: patient(sources[clip_id])), "folders"
        if choice == self.layout:
            return self.data.labels, self.layout
        known = [*sources, *(row.clip_id for row in self.data.rows)]

        def patients(names: list[str]) -> list[str]:
            return self._named_by_sources(Path(choice), [(name, sources.get(name)) for name in names])

        labels = read_labels(choice, LabelForm.of(self.settings), known, patients)
        for note in labels.notes:
            say(note)
        return labels, Path(choice)

    def _labels_from(self) -> Path | str:
        root, choice = Path(self.settings.input), "none"
        tables = [path for path in paths_in(root) if _is_label_table(path)] if is_dir(root) else []
        if tables:
            choice = min(tables, key=lambda path: path.suffix.lower())  # CSV before .xlsx
        elif self.data.labels or self.layout == "folders":
            choice = self.layout
        elif not self.data.patients:
            raise DatasetError(
                f"{root} has no labels.csv and no folders N/ and A/.",
                "a label for every clip",
                "write a table clip_id,patient_id,label and give it with --labels FILE, sort the clips into "
                "N/ (normal) and A/ (abnormal), or use --labels none for key frames and such a table to fill "
                f"in, {TEMPLATE}.",
            )
        where = choice if choice != self.layout else "the data set itself"
        say(_LABELS_FROM.get(choice, f"Labels from {where}."))
        return choice

    def _named_by_sources(self, table: Path, clips: list[tuple[str, Source | None]]) -> list[str]:
        """The patient of each clip by its data set or its header; empty for one that is lost or damaged.

        A DatasetError if a clip names nobody, or all of them the same patient, as some programs make them do.
        """
        patients, nobody = [], []
        for name, source in clips:
            patient = self.data.patients.get(name, "")
            if source and not patient:
                try:
                    patient = patient_of(source, self.pseudonym) or ""
                except DicomError:
                    pass
                else:
                    nobody += [] if patient else [name]
            patients.append(patient)
        known = [patient for patient in patients if patient]
        fix = "add a column patient_id, any pseudonym, or name the one it has: --patient_column NAME."
        if nobody:
            several = f", {len(nobody)} in all" if len(nobody) > 1 else ""
            raise DatasetError(
                f"{table} names no patients, nor does the clip {nobody[0]!r}{several}.",
                "a patient for each clip",
                fix,
            )
        if len(set(known)) == 1 and len(known) > 1:
            raise DatasetError(
                f"{table} names no patients, and the headers of all {len(known)} clips name the same one.",
                "headers that tell the patients apart",
                fix,
            )
        say(
            f"{table.name} names no patients: {len(set(known))} pseudonyms from the clips' headers are taken."
        )
        return patients

    def truth(self) -> tuple[dict[str, dict], Path | str]:
        """The lesions by clip and where they come from: a path, the layout or 'none'."""
        settings, layout, data = self.settings, self.layout, self.data
        choice: Path | str = settings.truth
        if settings.truth == AUTO:
            path = Path(settings.input) / "truth.json"
            choice = path if path.is_file() else layout if data.truth else "none"
        if choice == "none":
            return {}, "none"
        return (data.truth, layout) if choice == layout else (read_truth(choice, data.sources), Path(choice))

    def corrected(self) -> dict[str, tuple[int, ...]]:
        """The key frames that the user corrected by hand, by clip."""
        if self.settings.corrections == "none":
            return {}
        return read_corrections(
            Path(self.settings.corrections), self.data.sources, self.data.keyframes, self.settings.keyframes
        )

    def people(self, patient_ids: list[str], folder: Path) -> list[Problem]:
        """Patients, after `merged`, who may be one person under several ids.

        If there are any, the draft of the table that merges them is written to `folder`.
        """
        groups = same_persons(patient_ids, self.merged)
        draft = folder / SAME_PATIENTS
        if groups:
            write_draft(draft, same_patients_text(groups, self.merged))
        flags = {**asdict(self.settings), "same_patients": draft, "overwrite": True}
        return person_problems(groups, draft, command(KeyframeSettings, **flags))


def _is_label_table(path: Path) -> bool:
    return path.name.lower() in ("labels.csv", "labels.xlsx") and is_file(path)


def write_draft(path: Path, text: str) -> None:
    """Write a table for the user to fill in; one changed since it was written stays, which is said."""
    written = path.with_name(f".{path.name}.sha256")
    if is_file(path) and path.read_bytes() != text.encode():
        as_it_was = written.read_text("utf-8") if is_file(written) else ""
        if provenance.sha256_file(path) != as_it_was:
            say(f"{path} was filled in and is kept; delete it to get a new one.")
            return
    provenance.write_text(path, text)
    provenance.write_text(written, provenance.sha256_file(path))


@functools.cache  # once, not for every arm of a study
def say_if_labels_changed(keyframes: Path) -> None:
    """Say that the file of labels is no longer the one that step 1 read, where it can be compared."""
    short = Path(os.path.normpath(keyframes))  # another folder where its parent is a link
    keyframes = short if short.resolve() == keyframes.resolve() else keyframes
    manifest = provenance.read_manifest(keyframes, "keyframes", again(KeyframeSettings, keyframes))
    noted, path = manifest["inputs"].get("labels"), Path(str(manifest["settings"].get("labels_from")))
    if path.is_file() and provenance.sha256_file(path) != noted:
        say(f"{path} has changed since step 1 read it; {keyframes} still has the old labels.", "yellow")
        line = again(KeyframeSettings, keyframes, overwrite=True)
        say(f"To take the new ones, without reading the clips again: {line}")
