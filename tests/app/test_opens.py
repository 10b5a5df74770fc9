"""How often step 1 and ``--check`` open a file and parse its header, over all of their parts."""

import sys
from collections import Counter

import numpy as np
import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian, RLELossless

from stenoscope.app.check import check
from stenoscope.app.keyframes import make_keyframes
from stenoscope.imaging import dicom, elements, video
from stenoscope.report import intake_page
from stenoscope.settings import KeyframeSettings
from tests.imaging.make_dicom import make_dicom, ramp
from tests.imaging.test_sequences import noise, save_stack, write_images, write_video

watched: Counter | None = None


def _count(event, arguments):
    if watched is not None and event == "open" and isinstance(arguments[0], str):
        watched[arguments[0]] += 1


sys.addaudithook(_count)  # it can't be taken away again


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "in"
    root.mkdir()
    make_dicom(
        root / "plain.dcm", ramp(3, 32, 32, 4095, np.uint16), BitsStored=12
    )  # whose range is looked for
    make_dicom(root / "deflated.dcm", ramp(3, 32, 32), DeflatedExplicitVRLittleEndian)
    make_dicom(root / "rle.dcm", ramp(3, 32, 32), compress=RLELossless, FrameTime=None)
    make_dicom(root / "refused.dcm", ramp(3, 32, 32), Modality="RF")
    make_dicom(root / "no_suffix", ramp(3, 32, 32))
    write_video(root / "film.avi", noise(3, 64, 64))
    (root / "pages").mkdir()
    save_stack(root / "pages" / "1.tif", noise(3, 32, 32))
    write_images(root / "run", noise(3, 32, 32))
    write_images(root / "deep", noise(3, 32, 32).astype(np.uint16) * 9)
    return root


MOST = {"no_suffix": 4, "film.avi": 3, "pages": 6, "run": 4, "deep": 5}
"""Times that a file is opened: for its hash, its pixels, and its hash as a source; others 3 times."""


@pytest.mark.parametrize("stage", [check, make_keyframes])
def test_no_file_is_opened_often_and_no_header_parsed_twice(folder, tmp_path, monkeypatch, stage):
    global watched
    parsed, decoded, read, popen = [], [], elements.dcmread, video.subprocess.Popen
    monkeypatch.setattr(elements, "dcmread", lambda *args, **how: parsed.append(1) or read(*args, **how))
    monkeypatch.setattr(
        video.subprocess, "Popen", lambda command, **how: decoded.append(command[1]) or popen(command, **how)
    )
    monkeypatch.setattr(intake_page, "_drawings", lambda usable: [])
    watched = Counter()
    try:
        stage(
            KeyframeSettings(
                input=str(folder), output=str(tmp_path / "out"), labels="none", method="midpoint",
                executor="serial", sheets=False, pseudonym_key=str(tmp_path / "key"),
            )
        )  # fmt: skip
    finally:
        counts, watched = watched, None
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len(files) == 13
    for path in files:
        name = path.relative_to(folder).parts[0]
        assert 0 < counts[str(path)] <= MOST.get(name, 3), (name, counts[str(path)])
    assert len(parsed) == 5 and decoded.count("-nostdin") == 1, "one for each DICOM file, and one video"


def test_the_file_is_closed_whatever_happens(folder, monkeypatch):
    for name in ("plain.dcm", "deflated.dcm", "refused.dcm"):
        with dicom.open_clip(folder / name) as clip:
            file = clip._stream._stream
            assert not file.closed
        assert file.closed
