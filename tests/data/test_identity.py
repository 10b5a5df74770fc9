import unicodedata

import pytest

from stenoscope.data.identity import (
    fit_names,
    near_misses,
    person_key,
    person_problems,
    read_same_patients,
    same_patients_text,
    same_persons,
    spelled,
)
from stenoscope.errors import DatasetError

COMPOSED, DECOMPOSED = (unicodedata.normalize(form, "José") for form in ("NFC", "NFD"))


def test_names_that_differ_in_blanks_or_composition_fit():
    names = ["run\u00a01", "run  2", f"a / {DECOMPOSED}", "a\\b", "run 3", "Run 4"]
    assert fit_names(names, ["run 1", "run 2 ", f"a/{COMPOSED}", "a/b", "run 3", "run 4"]) == [
        "run 1", "run 2 ", f"a/{COMPOSED}", "a/b", "run 3", "Run 4",
    ]  # fmt: skip


def test_a_name_that_fits_two_clips_fits_none_but_its_own():
    assert fit_names(["r 1", "r   1"], ["r 1", "r  1"]) == ["r 1", "r   1"]


@pytest.mark.parametrize(
    "name, clip_id, difference",
    [
        ("Run 2", "run 2", "upper and lower case"),
        ("run 2.dcm", "run 2", "a suffix"),
        ("12.0", "12", "a suffix"),
        ("./a/run 2", "a/run 2", "a leading './'"),
        ("run_2", "run 2", "blanks, hyphens or underscores"),
        ("a/7", "a/007", "leading zeros"),
        (
            "RUN2.avi",
            "run 02",
            "upper and lower case, a suffix, blanks, hyphens or underscores, leading zeros",
        ),
        ("C:\\data\\a\\run 2.dcm", "a/run 2", "the folders above it"),
        ("run 2", "study/run 2", "the folders above it"),
    ],
)
def test_near_misses_say_in_what_they_differ(name, clip_id, difference):
    assert near_misses([name], [clip_id, "x"]) == {name: f"{clip_id!r} but for {difference}"}


def test_what_could_be_two_clips_or_is_another_is_no_near_miss():
    assert near_misses(["run 2"], ["run_2", "Run 2"]) == {}
    assert near_misses(["1.2.840.1", "run 2", "10"], ["1.2.840.2", "run 20", "1"]) == {}


@pytest.mark.parametrize(
    "same",
    [
        ("12", "12.0", "012", "12,0", "１２"), ("P01", "p01", "P1", "p 1", "P\u200b01"),
        ("P-3", "P_3", "P 3", "P  3", "P–3", "P3", " P.3"), (COMPOSED, DECOMPOSED, COMPOSED.upper()),
    ],
)  # fmt: skip
def test_ways_to_write_one_patient(same):
    assert len({person_key(name) for name in same}) == 1
    assert same_persons([*same, "another", ""]) == [sorted(same)]


@pytest.mark.parametrize(
    "two", [("1-12", "11-2"), ("12", "120"), ("P1", "P10"), ("P1", "Q1"), ("10", "1"), ("+", "-")]
)
def test_other_patients(two):
    assert same_persons(two) == []


def test_the_draft_merges_and_what_was_told_is_asked_no_more(tmp_path):
    groups = same_persons(["P01", "p01", "7", "x"])
    (problem,) = person_problems(groups, tmp_path / "d.csv", "python step_one.py --same_patients d.csv")
    assert problem.severity == "leak" and problem.items == ["'P01' = 'p01'"]
    assert str(tmp_path / "d.csv") in problem.fix and "`python step_one.py --same_patients" in problem.fix
    path = tmp_path / "d.csv"
    path.write_text(same_patients_text(groups, {}), encoding="utf-8")
    assert read_same_patients(path) == {"P01": "P01", "p01": "P01"}
    assert person_problems([], path, "") == []
    told = {"P01": "P01", "p01": "p01"}  # two persons, says the user
    assert same_persons(["P01", "p01"], told) == []
    assert same_persons(["P01", "p01", "P1"], told) == [["P01", "P1", "p01"]]
    assert "p01,p01" in same_patients_text([["P01", "P1", "p01"]], told)


def test_merges_follow_one_another(tmp_path):
    path = tmp_path / "same.csv"
    path.write_text("patient_id;same_as\na;b\nb;c\n")
    assert read_same_patients(path) == {"a": "c", "b": "c"}


@pytest.mark.parametrize(
    "text, match",
    [
        ("patient_id,other\na,b\n", "no columns"), ("patient_id,same_as\na,\n", "line 2"),
        ("patient_id,same_as\na,b\na,c\n", "line 3"), ("patient_id,same_as\na,b\nb,a\n", "circle"),
    ],
)  # fmt: skip
def test_merges_that_make_no_sense(tmp_path, text, match):
    path = tmp_path / "same.csv"
    path.write_text(text)
    with pytest.raises(DatasetError, match=match):
        read_same_patients(path)


def test_what_can_not_be_seen_is_spelled_out():
    assert spelled(DECOMPOSED) == r"'Jose\u0301'" and spelled(COMPOSED) == "'José'"
    assert spelled("A\u200b1\u00a02") == r"'A\u200b1\xa02'"
