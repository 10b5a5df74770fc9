import pytest

from stenoscope.data.repeats import mark_repeats, repeat_problems
from stenoscope.imaging.intake import IntakeRow


def row(clip_id, pixels="f", status="ok"):
    return IntakeRow(f"{clip_id}.dcm", clip_id, status, pixel_sha256=pixels)


def problems(patients, labels=None, rows=None):
    return repeat_problems(mark_repeats(rows or [row("b"), row("a")]), patients, labels or {})


def test_the_first_by_id_stands_for_all_and_single_clips_for_none():
    rows = [row("b"), row("c", "g"), row("a"), row("d", ""), row("e", "")]
    assert [marked.same_pixels_as for marked in mark_repeats(rows)] == ["a", "", "a", "", ""]
    assert repeat_problems(mark_repeats(rows[1:]), {}, {}) == []


def test_a_mark_of_before_does_not_stay():
    alone = mark_repeats([row("a"), row("b")])[1:]
    assert [marked.same_pixels_as for marked in mark_repeats(alone)] == [""]


def test_the_same_pixels_under_two_patients_are_a_leak_between_folds():
    (leak,) = problems({"a": "p", "b": "q"}, {"a": "1", "b": "1"})
    assert leak.severity == "leak" and leak.items == ["a (patient p), b (patient q)"]
    assert "leak between folds" in leak.title and "patient_id" in leak.fix


@pytest.mark.parametrize(
    "labels, severity", [(("0", "1"), "leak"), (("1", "1"), "warning"), (("1", ""), "warning")]
)
def test_the_same_pixels_of_one_patient_count_double_or_contradict(labels, severity):
    (problem,) = problems({"a": "p", "b": "p"}, dict(zip("ab", labels, strict=True)))
    assert problem.severity == severity


def test_without_patients_they_count_double():
    (twice,) = problems({})
    assert twice.severity == "warning" and twice.items == ["a (no patient), b (no patient)"]


def test_only_clips_that_can_be_used_leak():
    assert problems({"a": "p", "b": "q"}, rows=[row("a"), row("b", status="quarantined")]) == []
