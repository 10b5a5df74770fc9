from stenoscope.data.check import (
    CheckRow,
    content_problems,
    excluded_by_reason,
    match_problems,
    note_counts,
    patient_problems,
    shortcut_problems,
)


def row(clip_id, status="ok", **more):
    return CheckRow(path=f"{clip_id}.dcm", clip_id=clip_id, status=status, **{"frame_time_ms": 66.7, **more})


def test_labels_and_clips_without_each_other_come_together():
    missing, unlabelled = match_problems(["a", "b", "gone", "twin"], ["a", "b", "new"], known_bad=["twin"])
    assert missing.items == ["gone"] and missing.title.startswith("1 label without")
    assert unlabelled.items == ["new"] and unlabelled.severity == "warning"
    assert match_problems(["a"], ["a"]) == []
    (none,) = match_problems(["A"], ["a"])
    assert none.severity == "stop" and none.items == ["label A is 'a' but for upper and lower case", "clip a"]


def test_patients_of_headers_and_labels_are_held_against_each_other():
    pairs = [("h1", "p"), ("h1", "q"), ("h2", "r"), ("h3", "r"), ("h4", "s")]
    rows = [row(f"c{n}", header_patient=h, patient_id=p) for n, (h, p) in enumerate(pairs)]
    leak, merged = patient_problems(rows)
    assert leak.severity == "leak" and leak.items == ["h1 in the headers is p, q"]
    assert merged.severity == "warning" and merged.items == ["r has 2 in the headers"]
    assert patient_problems([rows[2], rows[4]]) == []


def test_headers_that_were_anonymised_alike_accuse_nobody():
    (note,) = patient_problems([row(name, header_patient="h", patient_id=name) for name in "abc"])
    assert note.severity == "note" and note.items == []


def test_what_the_clips_hold():
    rows = [
        row("a", burned_in="YES", text_share=0.1, num_frames=40),
        row("b", text_share=0.01, num_frames=3, overlays=1),
        row("c", num_frames=40, frame_time_ms=None),
        row("d", "quarantined", num_frames=2, burned_in="YES"),
        row("e/1.2.840.113619.2.5.17/IM1", num_frames=40),
        row("run_20190307_2", num_frames=40),
        row("run_20191307_12.5", num_frames=40),
    ]
    found = {problem.title.partition(" with ")[2][:12]: problem.items for problem in content_problems(rows, 5)}
    assert found == {
        "burned-in an": ["a"],
        "text or grap": ["b"],
        "fewer than 5": ["b"],
        "no time betw": ["c"],
        "overlay plan": ["b"],
        "what looks l": ["e/1.2.840.113619.2.5.17/IM1.dcm", "run_20190307_2.dcm"],
    }


def cohort(syntax_of, frames_of):
    return [
        row(f"c{n}", label=str(n % 2), transfer_syntax=syntax_of(n), num_frames=frames_of(n), modality="XA")
        for n in range(40)
    ]


def test_a_trait_that_tells_the_label_is_a_shortcut():
    (problem,) = shortcut_problems(
        cohort(lambda n: "RLE" if n % 2 else "raw", lambda n: 30 + n % 2 * 20 + n // 4)
    )
    assert problem.severity == "warning" and len(problem.items) == 2
    assert problem.items[0] == "format (Cramer's V 1.00: RLE 20 of 20 abnormal, raw 0 of 20 abnormal)"
    assert problem.items[1].startswith("frames (AUC 1.00: median 34.5 in normal, 54.5 in abnormal")


def test_balanced_traits_and_few_clips_say_nothing():
    balanced = cohort(lambda n: "RLE" if n // 2 % 2 else "raw", lambda n: 30 + n // 2)
    assert shortcut_problems(balanced) == []
    assert shortcut_problems(cohort(lambda n: "RLE" if n % 2 else "raw", lambda n: 30)[:18]) == []
    assert shortcut_problems([row(f"c{n}", label="1", transfer_syntax="a") for n in range(40)]) == []


def test_what_is_left_out_is_grouped_by_reason():
    cut = "{} is truncated: its pixel data ends before frame {}. Expected: {} whole frames. To fix: copy."
    rows = [
        row("ok", reason="MONOCHROME1 inverted; resampled from 1024 x 1024"),
        row("ok2", reason="MONOCHROME1 inverted"),
        CheckRow("notes.txt", "", "ignored", "No reader for .txt of this content."),
        *(
            row(name, "quarantined", reason=cut.format(f"{name}.dcm", n, n + 1))
            for n, name in enumerate("ab")
        ),
        CheckRow("ct.dcm", "ct", "quarantined", "ct.dcm is of modality CT. To fix: leave it out."),
    ]
    truncated, ct, notes = excluded_by_reason(rows)
    assert truncated == {
        "status": "quarantined",
        "reason": "Is truncated: its pixel data ends before frame N. Expected: N whole frames.",
        "fix": "copy.",
        "paths": ["a.dcm", "b.dcm"],
    }
    assert ct["reason"] == "Is of modality CT." and notes["fix"] == "" and notes["paths"] == ["notes.txt"]
    assert note_counts(rows) == {"MONOCHROME1 inverted": 2, "resampled from 1024 x 1024": 1}
