"""The first cases of `benchmarks/fuzz.py`: damaged files end in a clip or in one error."""

import os
import signal
from collections import Counter
from dataclasses import replace

import pytest

from benchmarks import damage, fuzz, originals
from stenoscope.imaging import intake

CASES = 300


@pytest.fixture(scope="module")
def outcomes():
    return list(fuzz.run(range(CASES)))


def test_every_case_ends_in_a_clip_or_one_error(outcomes):
    assert [outcome.number for outcome in outcomes] == list(range(CASES))
    assert [outcome for outcome in outcomes if outcome.kind not in ("clip", "error")] == []
    for outcome in outcomes:
        if outcome.kind == "error":
            assert outcome.text.startswith("case.dcm ") and "To fix: " in outcome.text


def test_the_cases_are_worth_it(outcomes):
    """They reach the header, the pixel data and the decoders, and some are read all the same."""
    kinds = Counter(outcome.kind for outcome in outcomes)
    assert kinds["clip"] > 30 and kinds["error"] > 150
    said = " ".join(outcome.text for outcome in outcomes)
    for part in (
        "reading its header failed", "decoding its frames", "its pixel data holds", "claims", "truncated",
        "can't be decoded", "no known transfer syntax", "not a DICOM file",
    ):  # fmt: skip
        assert part in said, part
    for syntax in ("RLE Lossless", "JPEG-LS", "JPEG 2000", "JPEG Baseline", "JPEG Lossless"):
        assert f"decoding its frames ({syntax}" in said or f"transfer syntax {syntax}" in said, syntax


def test_a_case_is_its_number(tmp_path):
    files = originals.originals(tmp_path)
    again = originals.originals(tmp_path)
    assert [damage.case(number, 0, files) for number in range(50)] == [
        damage.case(number, 0, again) for number in range(50)
    ]
    assert damage.case(1, 0, files) != damage.case(1, 1, files)


def admit_badly(source, pseudonym):
    """Stands for `intake.admit`: does what it must not, a different thing in each case."""
    row = intake.IntakeRow("case.dcm", "case", "quarantined", reason="a reason")
    match len(list(source.path.parent.glob("turn-*"))):
        case 0:
            turn, row = 1, replace(row, reason=f"of patient {originals.PLANTED[0]}")
        case 1:
            turn = 2
            os.write(2, f"patient {originals.PLANTED[2]}".encode())
        case 2:
            turn = 3
            bytearray(fuzz.RESIDENT + (96 << 20))
        case 3:
            turn = 4
            row = replace(row, reason="failed (MemoryError)")
        case 4:
            turn = 5
            source.path.with_name("turn-5").touch()
            raise ZeroDivisionError
        case 5:
            source.path.with_name("turn-6").touch()
            os.kill(os.getpid(), signal.SIGSEGV)
        case 6:
            source.path.with_name("turn-7").touch()
            os.kill(os.getpid(), signal.SIGXCPU)
        case _:
            turn = 8
    source.path.with_name(f"turn-{turn}").touch()
    return None, row


def test_the_fuzzer_finds_faults():
    kinds = [outcome.kind for outcome in fuzz.run(range(8), read=admit_badly)]
    assert kinds == ["leak", "leak", "memory", "memory", "escaped", "crash", "time", "error"]
