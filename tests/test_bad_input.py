"""Input that can't be used: a line in intake.csv or one clear error, and the rest of the cohort goes on."""

import shutil

import pandas as pd
import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import MPEG2MPML

from stenoscope.app.keyframes import make_keyframes
from stenoscope.run.cli import run
from stenoscope.settings import KeyframeSettings
from tests.data.trees import write_frame
from tests.imaging.make_dicom import make_dicom, ramp
from tests.journey import Workspace

LABELLED = ("good/one", "good/two", "truncated", "text", "single", "rf", "video_in_dicom", "twin", "missing")


def step_one(tmp_path, capsys, **changes):
    """Run step 1 as its script does; returns the exit status and what it printed."""
    settings = {
        "input": str(tmp_path / "clinic"),
        "output": str(tmp_path / "out"),
        "pseudonym_key": str(tmp_path / "key"),
        "workers": 1,
    }
    status = run(lambda: make_keyframes(KeyframeSettings(**{**settings, **changes})))
    captured = capsys.readouterr()
    return status, captured.out + captured.err


def read(path) -> pd.DataFrame:
    return pd.read_csv(path, dtype=str, keep_default_na=False)


def fill(folder, cohort) -> None:
    """Two good clips among one of every fault."""
    phantom = cohort.folder / "data/phantom"
    (folder / "good").mkdir(parents=True)
    shutil.copy(phantom / "p001_c1.dcm", folder / "good" / "one.dcm")
    shutil.copy(phantom / "p002_c1.dcm", folder / "good" / "two.dcm")
    shutil.copy(phantom / "p003_c1.dcm", folder / "unlabelled.dcm")
    data = (phantom / "p003_c1.dcm").read_bytes()
    (folder / "truncated.dcm").write_bytes(data[: len(data) * 6 // 10])
    (folder / "text.dcm").write_text("Dear colleague, please find attached ...")
    (folder / "empty.dcm").write_bytes(b"")
    make_dicom(folder / "single.dcm", ramp(1))
    make_dicom(folder / "rf.dcm", ramp(), Modality="RF", SOPClassUID="1.2.840.10008.5.1.4.1.1.12.2")
    make_dicom(folder / "twin.dcm", ramp())
    make_dicom(folder / "twin.ima", ramp())
    pixels = encapsulate([b"\0" * 64] * 3)
    make_dicom(folder / "video_in_dicom.dcm", ramp(3), MPEG2MPML, PixelData=pixels)
    (folder / "notes.txt").write_text("notes")
    lines = [f"{clip_id},p{number},{number % 2}" for number, clip_id in enumerate((*LABELLED, "empty"))]
    (folder / "labels.csv").write_text("\n".join(["clip_id,patient_id,label", *lines]) + "\n")


def test_every_fault_gets_its_line_and_the_rest_goes_on(cohort, tmp_path, capsys):
    fill(tmp_path / "clinic", cohort)
    status, said = step_one(tmp_path, capsys)
    assert status == 0, said
    assert read(tmp_path / "out" / "keyframes.csv")["clip_id"].tolist() == ["good/one", "good/two"]
    intake = read(tmp_path / "out" / "intake.csv").set_index("path")
    expected = {
        "": ("quarantined", "no such clip was found"),
        "empty.dcm": ("quarantined", "not a DICOM file"),
        "good/one.dcm": ("ok", ""),
        "good/two.dcm": ("ok", ""),
        "notes.txt": ("ignored", "No reader"),
        "rf.dcm": ("quarantined", "RF"),
        "single.dcm": ("quarantined", "single frame"),
        "text.dcm": ("quarantined", "not a DICOM file"),
        "truncated.dcm": ("quarantined", "truncated.dcm"),
        "twin.dcm": (
            "quarantined",
            "twin.dcm and twin.ima have the same id, twin",
        ),
        "twin.ima": (
            "quarantined",
            "twin.dcm and twin.ima have the same id, twin",
        ),
        "unlabelled.dcm": ("quarantined", "No label"),
        "video_in_dicom.dcm": ("quarantined", "can't be decoded"),
    }
    assert sorted(intake.index) == sorted(expected)
    for path, (status, reason) in expected.items():
        assert intake.at[path, "status"] == status, path
        assert reason in intake.at[path, "reason"], f"{path}: {intake.at[path, 'reason']}"
        assert status != "quarantined" or "To fix" in intake.at[path, "reason"], path
        assert str(tmp_path) not in intake.at[path, "reason"]
    assert intake.at["", "clip_id"] == "missing"
    assert "10 quarantined, 1 ignored" in said


@pytest.mark.parametrize(
    "make, fix",
    [
        (lambda folder: None, "check the path"),
        (lambda folder: folder.mkdir(), "check the path"),
        (lambda folder: (folder.mkdir(), (folder / "a.txt").write_text("a")), "check the path"),
        (lambda folder: (folder.mkdir(), make_dicom(folder / "a.dcm", ramp())), "--labels none"),
        (
            lambda folder: (
                [write_frame(folder / "a" / f"f{number}.png", number) for number in range(6)],
                (folder / "labels.csv").write_text("clip_id,label\na,1\n"),
            ),
            "patient_id",
        ),
    ],
    ids=["no folder", "empty folder", "no clip", "no labels", "no patient"],
)
def test_nothing_to_work_on_is_one_clear_error(tmp_path, capsys, make, fix):
    make(tmp_path / "clinic")
    status, said = step_one(tmp_path, capsys)
    assert status == 2 and said.count("error:") == 1
    assert "Expected:" in said and fix in said and "Traceback" not in said
    assert not (tmp_path / "out").exists()


def test_a_cohort_without_one_usable_clip_lists_the_reasons(tmp_path, capsys):
    (tmp_path / "clinic").mkdir()
    (tmp_path / "clinic" / "text.dcm").write_text("no DICOM")
    status, said = step_one(tmp_path, capsys, labels="none")
    assert status == 2 and "text.dcm" in said and "not a DICOM file" in said
    assert not (tmp_path / "out" / "clips.pickle").exists()
    assert read(tmp_path / "out" / "intake.csv")["status"].tolist() == ["quarantined"]


def test_the_script_itself_ends_with_status_2(tmp_path):
    (tmp_path / "data" / "phantom").mkdir(parents=True)
    text = Workspace(tmp_path).run("pickle_generator.py", expect=2)
    assert "holds no clip" in text and "Traceback" not in text


def test_real_clips_that_can_not_be_used(real_data, cohort, tmp_path, capsys):
    folder = tmp_path / "clinic"
    folder.mkdir()
    shutil.copy(cohort.folder / "data/phantom/p001_c1.dcm", folder / "good.dcm")
    shutil.copy(real_data / "rubo" / "0015.DCM", folder)
    shutil.copy(real_data / "nema_wg04_xa1" / "XA1_JPLY.dcm", folder)
    status, said = step_one(tmp_path, capsys, labels="none")
    assert status == 0, said
    intake = read(tmp_path / "out" / "intake.csv").set_index("clip_id")
    assert intake["status"].to_dict() == {"0015": "quarantined", "XA1_JPLY": "quarantined", "good": "ok"}
    assert "RF" in intake.at["0015", "reason"] and "12 bits" not in intake.at["good", "reason"]


@pytest.mark.parametrize(
    "name, clips", [("rubo/0002.DCM", ["0002"]), ("angiodata/Patient_1", ["Coro_1", "Coro_2"])]
)
def test_real_clips_give_key_frames(real_data, tmp_path, capsys, name, clips):
    status, said = step_one(tmp_path, capsys, input=str(real_data / name), labels="none")
    assert status == 0 and "data_loader_kfold" not in said, said
    table = read(tmp_path / "out" / "keyframes.csv")
    assert table["clip_id"].tolist() == clips and set(table["label"]) == {""}
    assert sorted(path.stem for path in (tmp_path / "out" / "sheets").iterdir()) == clips
    for row in table.itertuples():
        chosen = [int(frame) for frame in row.keyframes.split()]
        assert len(set(chosen)) == 5 and int(row.apex) in chosen
