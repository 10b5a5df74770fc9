"""Fixtures of the tests of a check: a small folder of clips with faults, and settings to read it with."""

import csv
from pathlib import Path

import numpy as np
import pytest

from stenoscope.report import intake_page
from stenoscope.settings import KeyframeSettings
from tests.imaging.make_dicom import make_dicom
from tests.imaging.test_sequences import write_video

LABELS = """clip_id,patient_id,label
a,p1,0
b,p2,1
copy,p9,0
cut,p3,1
ct,p4,perhaps
twice,p5,1
twice,p5,0
nobody,,1
gone,p6,1
"""


def frames(seed, count=2, size=64):
    return np.random.default_rng(seed).integers(90, 160, (count, size, size), np.uint8)


@pytest.fixture
def folder(tmp_path):
    """A cohort with one fault of each kind."""
    root = tmp_path / "in"
    (root / "deep").mkdir(parents=True)
    make_dicom(root / "a.dcm", frames(1), PatientID="A")
    make_dicom(root / "b", frames(2), PatientID="B")  # no suffix
    make_dicom(root / "copy.dcm", frames(1), PatientID="C")
    content = make_dicom(root / "cut.dcm", frames(3)).read_bytes()
    (root / "cut.dcm").write_bytes(content[: len(content) // 2])
    make_dicom(root / "ct.dcm", frames(4), Modality="CT")
    write_video(root / "twice.avi", frames(5))
    make_dicom(root / "nobody.dcm", frames(6), PatientID=None)
    make_dicom(root / "deep" / "new.dcm", frames(7), PatientID="D")
    (root / "notes.txt").write_text("notes")
    (root / "labels.csv").write_text(LABELS)
    return root


@pytest.fixture
def settings(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(intake_page, "_drawings", lambda usable: [])  # they take a second a page
    return KeyframeSettings(
        input=str(folder),
        output=str(tmp_path / "out"),
        method="midpoint",
        executor="serial",
        sheets=False,
        pseudonym_key=str(tmp_path / "key"),
    )


def table(settings, name="check/intake.csv"):
    rows = csv.DictReader((Path(settings.output) / name).read_text(encoding="utf-8").splitlines())
    return {row["clip_id"] or row["path"]: row for row in rows}
