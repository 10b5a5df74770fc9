"""The files that pydicom is tested with, as they are and as copies that claim to be XA, beside SimpleITK."""

from pathlib import Path

import pytest

from benchmarks.reality import claim_xa, collections, compare, files_of, read

pytest.importorskip("SimpleITK")
SMALL = 1_500_000
"""Bytes: larger files are left to benchmarks/reality.py."""

AT_LEAST = {"pydicom": 73, "pydicom-data": 44}
"""Images whose frames equal SimpleITK's."""


@pytest.mark.filterwarnings("ignore")  # pydicom's, on what it mends
@pytest.mark.parametrize("name", AT_LEAST)
def test_published_files_end_in_equal_pixels_or_a_clear_line(tmp_path, name):
    if name not in collections():
        pytest.skip("pydicom-data is not installed")
    equal = 0
    for path in files_of(collections()[name]):
        if path.stat().st_size > SMALL:
            continue
        plain = read(path)
        assert plain.kind == "refused" and plain.text, path.name  # none of them is an angiogram
        copy = tmp_path / "copy.dcm"
        if claim_xa(path, copy):
            outcome = compare(copy)
            assert not outcome.is_finding, (path.name, outcome)
            equal += outcome.pixels not in ("", "not read by SimpleITK")
    assert equal >= AT_LEAST[name]


def test_a_difference_is_seen(tmp_path, monkeypatch):
    from stenoscope.imaging import dicom

    copy = tmp_path / "copy.dcm"
    assert claim_xa(collections()["pydicom"] / "MR_small.dcm", copy)
    assert compare(copy).pixels == "equal"
    true = dicom.DicomClip.stored
    monkeypatch.setattr(dicom.DicomClip, "stored", lambda clip: (frame + 1 for frame in true(clip)))
    assert compare(copy).kind == "differs"


def test_a_file_in_another_encoding_than_its_syntax_says(tmp_path):
    copy = tmp_path / "copy.dcm"
    assert claim_xa(collections()["pydicom"] / "SC_rgb_jpeg.dcm", copy)
    assert compare(copy).text.startswith("is not written as its transfer syntax says")


def test_a_copy_differs_in_its_modality_alone(tmp_path):
    source, copy = collections()["pydicom"] / "MR_small.dcm", tmp_path / "copy.dcm"
    assert claim_xa(source, copy)
    before, after = source.read_bytes(), copy.read_bytes()
    assert [(a, b) for a, b in zip(before, after, strict=True) if a != b] == [(*b"MX",), (*b"RA",)]
    assert not claim_xa(Path(__file__), copy)


def test_real_angiograms(real_data):
    for folder, frames in [("rubo", 1), ("nema_wg04_xa1", 7)]:
        outcomes = [compare(path) for path in files_of(real_data / folder)]
        assert sum(outcome.pixels == "equal" for outcome in outcomes) == frames
        assert [outcome.kind for outcome in outcomes].count("refused") == len(outcomes) - frames == 1
