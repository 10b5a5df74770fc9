import math

import numpy as np
import pytest

from benchmarks.annotations import Reference, read_annotated, read_annotations
from benchmarks.keyframes import changes, read_cadica, score, with_interval
from stenoscope.errors import DatasetError
from stenoscope.records import KeyframeChoice
from tests.data.trees import write_cadica, write_frame

REFERENCE = Reference("c", "p", apex=13, accepted=(11, 14), start=4, end=17, full_end=15)


def choice(apex, start=None, end=None):
    return KeyframeChoice("m", tuple(range(apex - 2, apex + 3)), apex, start, end, np.zeros(20))


def test_the_five_changes_in_time():
    found = {name: index.tolist() for name, index in changes(18, REFERENCE).items()}
    assert found["as is"] == list(range(18))
    assert found["first third cut"] == list(range(6, 18))
    assert found["last third cut"] == list(range(12))
    assert found["10 static frames before"] == [0] * 10 + list(range(18))
    assert found["every second frame"] == list(range(0, 18, 2))
    assert found["wash-out repeated"] == [*range(18), 16, 17]


def test_scores_by_hand():
    index = np.arange(18)
    found = score(choice(12, start=5, end=15), index, REFERENCE)
    assert (found["distance"], found["inside"], found["start"], found["end"]) == (1, 1, 1, 2)
    assert found["precision"] == 4 / 5 and found["recall"] == 1  # 10..14 against 11..14


def test_the_reference_follows_the_change():
    cut = changes(18, REFERENCE)["last third cut"]  # 0..11: of the range only 11 is left
    found = score(choice(9, start=4), cut, REFERENCE)
    assert (found["distance"], found["inside"], found["start"]) == (2, 0, 0) and math.isnan(found["end"])
    assert found["precision"] == 1 / 5 and found["recall"] == 1
    padded = changes(18, REFERENCE)["10 static frames before"]
    assert score(choice(23, start=14), padded, REFERENCE)["distance"] == 0
    assert score(choice(23, start=14), padded, REFERENCE)["start"] == 0


def test_interval_over_patients():
    assert with_interval(["a", "a", "b"], np.array([1.0, 1.0, 1.0]), percent=True) == "100 (100 to 100)"
    assert with_interval(["a"], np.array([math.nan]), percent=False) == "-"
    text = with_interval(["a", "b"] * 5, np.array([0.0, 2.0] * 5), percent=False)
    assert text.startswith("1.00 (0.00 to 2.00")


def test_the_frames_that_cadica_selects_are_the_reference(tmp_path):
    write_cadica(tmp_path, patients=1)
    (frames, lesion), (_, normal) = read_cadica(tmp_path)
    assert frames.shape == (8, 512, 512)
    assert lesion == Reference("p1/v1", "p1", 3, (2, 5), None, None, 5)  # of 2, 3, 4, 5
    assert normal == Reference("p1/v4", "p1", 1, (1, 2), None, None, 2)


HEADER = "clip,patient,first_contrast,apex,apex_lo,apex_hi,full_end,last_contrast,notes\n"


def test_an_annotation_file_is_read(tmp_path):
    (tmp_path / "annotations.csv").write_text(HEADER + "a/run,P1,,5,4,7,7,,ends filled\nb,P2,2,5,4,7,8,9,\n")
    assert read_annotations(tmp_path / "annotations.csv") == [
        Reference("a/run", "P1", 5, (4, 7), None, None, 7),
        Reference("b", "P2", 5, (4, 7), 2, 9, 8),
    ]


def test_faults_of_an_annotation_file_are_named_together(tmp_path):
    path = tmp_path / "annotations.csv"
    path.write_text(HEADER + "a,P1,,x,4,7,7,,\nb,P2,2,5,6,7,8,9,\nc,P3,2,5,4,7,4,,\n")
    with pytest.raises(DatasetError, match=r"line 2: apex is 'x'; line 3: .*; line 4: .*full_end"):
        read_annotations(path)
    path.write_text("clip,patient,apex\n")
    with pytest.raises(DatasetError, match="no column apex_lo, apex_hi, full_end, first_contrast"):
        read_annotations(path)


def test_annotated_clips_of_any_kind_are_read(tmp_path):
    for number in range(6):
        write_frame(tmp_path / "a" / "run" / f"f{number}.png", number, (64, 64))
    (tmp_path / "annotations.csv").write_text(HEADER + "a/run,P1,,3,2,5,5,,\n")
    ((frames, reference),) = read_annotated(tmp_path)
    assert frames.shape == (6, 512, 512) and reference.patient_id == "P1"
    (tmp_path / "annotations.csv").write_text(HEADER + "a/run,P1,,3,2,6,6,,\n")
    with pytest.raises(DatasetError, match="frame 6 of 6 is named"):
        list(read_annotated(tmp_path))
    (tmp_path / "annotations.csv").write_text(HEADER + "run,P1,,3,2,5,5,,\n")
    with pytest.raises(DatasetError, match="no clip 'run'"):
        list(read_annotated(tmp_path))


def test_the_real_reading_is_whole(real_data):
    found = read_annotations(real_data / "angiodata" / "annotations.csv")
    assert len(found) == 23 and len({one.patient_id for one in found}) == 5
