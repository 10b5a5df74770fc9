import json
import os
from concurrent.futures import BrokenExecutor, Future
from dataclasses import replace as replaced
from pathlib import Path

import pytest

from stenoscope.app import check as stage
from stenoscope.app import check_worker
from stenoscope.app.check import PAGE, TABLE, check
from stenoscope.app.keyframes import make_keyframes
from stenoscope.errors import DatasetError, SettingsError
from stenoscope.imaging.find import find_clips
from stenoscope.imaging.pseudonyms import Pseudonymizer
from stenoscope.run import locks
from stenoscope.run.cluster import UnseenError
from tests.app.conftest import frames, table
from tests.data.trees import write_cadica
from tests.imaging.make_dicom import make_dicom


def outputs(settings):
    return {name: (Path(settings.output) / name).read_bytes() for name in (TABLE, PAGE)}


def test_all_faults_are_told_at_once(settings, capsys):
    assert check(settings) == 1
    said = " ".join(capsys.readouterr().out.split())
    for part in (
        "LEAK 1 group of clips with the same pixels under several patients",
        "(a (patient p1), copy (patient p9))",
        "STOP 3 faults in the labels. (line 9: no patient_id, lines 7, 8: clip_id twice more than once,",
        "WARNING 1 label without a clip. (gone)",
        "WARNING 1 clip without a label; step 1 leaves them out. (deep/new)",
        "can be used 5 clips of 4 patients",
        "excluded 4 clips; 1 other file",
        "next: python pickle_generator.py --check --input",
    ):
        assert part in said, part
    rows = table(settings)
    assert {name: row["status"] for name, row in rows.items()} == {
        "a": "ok", "b": "ok", "copy": "ok", "cut": "quarantined", "ct": "quarantined", "twice": "ok",
        "nobody": "ok", "gone": "quarantined", "deep/new": "quarantined", "notes.txt": "ignored",
    }  # fmt: skip
    assert [rows[name]["same_pixels_as"] for name in ("copy", "a", "b")] == ["a", "a", ""]
    assert (rows["a"]["label"], rows["a"]["patient_id"], rows["ct"]["label"]) == ("0", "p1", "")
    assert rows["a"]["header_patient"] == Pseudonymizer(settings.pseudonym_key)("A")
    assert rows["a"]["contrast"] in ("yes", "no") and 0 < float(rows["a"]["beam_share"]) <= 1
    assert {path.name for path in Path(settings.output).iterdir()} == {".check", "check"}
    assert {path.name for path in (Path(settings.output) / "check").iterdir()} == {
        "intake.csv",
        "intake.html",
        "labels_template.csv",
        ".labels_template.csv.sha256",
    }


def test_a_clip_without_contrast_has_the_status_that_step_one_gives_it(settings, folder):
    make_dicom(folder / "a.dcm", frames(1, 8, 128), PatientID="A")
    check(settings)
    assert (table(settings)["a"]["contrast"], table(settings)["a"]["status"]) == ("no", "ok"), "midpoint"
    check(replaced(settings, method="opacification"))
    row = table(settings)["a"]
    assert row["status"] == "quarantined" and "No contrast injection" in row["reason"]


def test_mended_it_is_ready_and_agrees_with_step_one(settings, folder, capsys):
    for name in ("copy.dcm", "nobody.dcm", "twice.avi"):
        (folder / name).unlink()
    (folder / "link.dcm").symlink_to(folder / "nothing")
    lines = ["a,p1,0", "b,p2,1", "deep/new,p8,", "cut,p3,1", "link,p4,1"]
    (folder / "labels.csv").write_text("clip_id,patient_id,label\n" + "\n".join(lines) + "\n")
    assert check(settings) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "step 1 can run" in said and "Step 2 would stop" in said
    following = said.partition("next: ")[2]
    assert following.startswith("python pickle_generator.py --input") and "--method midpoint" in following
    checked = table(settings)
    make_keyframes(settings)
    made = table(settings, "intake.csv")
    assert {name: row["status"] for name, row in made.items()} == {
        name: row["status"] for name, row in checked.items()
    }
    assert checked["link"]["status"] == "quarantined"
    for name in ("a", "b", "deep/new"):
        assert made[name].items() <= checked[name].items()


def test_step_one_leaves_the_check_as_it_is(settings, folder):
    for name in ("copy.dcm", "nobody.dcm", "twice.avi", "deep/new.dcm"):
        (folder / name).unlink()
    (folder / "labels.csv").write_text("clip_id,patient_id,label\na,p1,0\nb,p2,1\n")
    check(settings)
    before = outputs(settings)
    make_keyframes(settings)
    assert outputs(settings) == before and len(table(settings, "intake.csv")) == len(table(settings))
    (folder / "b").unlink()
    check(settings)
    after = outputs(settings)
    assert after != before
    make_keyframes(replaced(settings, overwrite=True))
    assert outputs(settings) == after and (Path(settings.output) / ".check").is_dir()
    check(settings)  # which in turn leaves the table of step 1 alone
    assert table(settings, "intake.csv")["b"]["status"] == "quarantined"


def test_only_what_changed_is_read_again_and_the_bytes_are_the_same(settings, folder, monkeypatch):
    check(settings)
    before, read, admit = outputs(settings), [], check_worker.admit

    def watched(source, pseudonym):
        read.append(source.clip_id)
        return admit(source, pseudonym)

    monkeypatch.setattr(check_worker, "admit", watched)
    check(settings)
    assert outputs(settings) == before and read == ["ct", "cut"]
    read.clear()
    journal = Path(settings.output) / ".check" / "rows.jsonl"
    lines = journal.read_text().splitlines()
    journal.write_text("\n".join(lines[:3]) + "\n" + lines[3][:40])  # killed in the middle of a line
    check(settings)
    assert outputs(settings) == before and len(read) == 8 - 3
    assert sorted(journal.read_text().splitlines()) == sorted(lines)
    read.clear()
    make_dicom(folder / "a.dcm", frames(8), PatientID="A")
    os.utime(folder / "a.dcm", ns=(1, 1))
    assert check(settings) == 1 and read == ["a", "ct", "cut"]
    assert table(settings)["copy"]["same_pixels_as"] == ""


def test_processes_give_the_same_bytes(settings, tmp_path):
    check(settings)
    other = replaced(settings, executor="processes", workers=2, output=str(tmp_path / "other"))
    check(other)
    assert outputs(other)[TABLE] == outputs(settings)[TABLE]


def test_a_second_check_at_once_is_refused(settings):
    work = Path(settings.output) / ".check"
    locks.hold(work)
    held = json.loads((work / locks.LOCK).read_text())
    locks.release(work)
    (work / locks.LOCK).write_text(json.dumps({**held, "host": "elsewhere"}))
    with pytest.raises(DatasetError, match="elsewhere"):
        check(settings)


def test_without_labels_or_with_none_that_fit(settings, folder, capsys):
    (folder / "labels.csv").write_text("clip_id,patient_id,label\nA,p,1\nB,q,0\n")
    assert check(settings) == 1
    assert "None of the 2 labels belongs to any" in " ".join(capsys.readouterr().out.split())
    (folder / "labels.csv").unlink()
    assert check(settings) == 1
    assert "has no labels.csv" in " ".join(capsys.readouterr().out.split())
    (folder / "copy.dcm").unlink()
    assert check(replaced(settings, labels="none")) == 0


def test_a_clip_whose_decoder_crashes_is_one_line(settings, monkeypatch):
    def kill_one(pool, work, jobs):
        for job in jobs:
            future = Future()
            if job[0].clip_id == "b":
                future.set_exception(BrokenExecutor())
            else:
                future.set_result(work(job))
            yield job, future

    monkeypatch.setattr(stage, "map_ordered", kill_one)
    check(settings)
    rows = table(settings)
    assert "killed twice" in rows["b"]["reason"] and rows["a"]["status"] == "ok"


def test_a_folder_without_a_clip_is_one_error(settings, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match="holds no clip"):
        check(replaced(settings, input=str(tmp_path / "empty")))


def test_an_unknown_method_is_refused_as_in_step_one(settings):
    with pytest.raises(SettingsError, match="moon2022"):
        check(replaced(settings, method="moon2022"))
    assert not Path(settings.output).exists()


def test_a_damaged_table_of_a_data_set_is_not_taken_for_missing_labels(settings, tmp_path, capsys):
    root = write_cadica(tmp_path / "cadica")
    next(root.rglob("lesionVideos.txt")).write_bytes(b"\xff\xfe\xff")
    settings = replaced(settings, input=str(root))
    assert check(settings) == 1
    said = " ".join(capsys.readouterr().out.split())
    assert said.count("STOP") == 2 and "lesionVideos.txt" in said, "in the title, and once more"
    assert "labels.csv" not in said and "No labels" not in said
    assert sum(row["status"] == "ok" for row in table(settings).values()) == 10


def test_a_machine_that_does_not_see_a_clip_says_so(settings, folder):
    (source, *_) = find_clips(folder).sources
    unseen = replaced(source, path=source.path.with_name("elsewhere.dcm"))
    with pytest.raises(UnseenError, match="does not see"):
        check_worker.check_source((unseen, (), False), str, "opacification")


def test_boxes_that_fit_no_clip_are_a_warning(settings, tmp_path, capsys):
    lines = ["clip_id,frame,x0,y0,x1,y1", "a,,1,2,30,40", "ghost,0,1,2,3,4", "b,9,1,2,3,4"]
    (tmp_path / "boxes.csv").write_text("\n".join(lines))
    check(replaced(settings, truth=str(tmp_path / "boxes.csv")))
    said = " ".join(capsys.readouterr().out.split())
    told = "boxes for 1 clip; 1 id unknown; 1 box of a frame that its clip does not have."
    assert f"WARNING {told} (ghost: no clip has this id, b frame 9: the clip has 2 frames)" in said


def test_faults_of_corrected_key_frames_stop_step_one(settings, tmp_path, capsys):
    (tmp_path / "hand.csv").write_text("clip_id,keyframes\nghost,0 0 0 1 1\nb,0 0 1 1 2\n")
    assert check(replaced(settings, corrections=str(tmp_path / "hand.csv"))) == 1
    said = " ".join(capsys.readouterr().out.split())
    assert "hand.csv has 2 faults: line 2: there is no clip 'ghost'; line 3, clip b: frame 2" in said
