import hashlib
import json
from dataclasses import replace

import cv2
import pydicom
import pytest

from stenoscope.errors import DatasetError, SettingsError
from stenoscope.phantom.__main__ import main
from stenoscope.phantom.cohort import plan_cohort, write_cohort
from stenoscope.run import provenance
from stenoscope.settings import PhantomSettings


def digest(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != provenance.MANIFEST
    }


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cohort") / "two"
    counts = write_cohort(PhantomSettings(output=str(folder), patients=2, seed=7, workers=1))
    return folder, counts


def test_plan_is_balanced_and_a_prefix_of_a_larger_one():
    plans = plan_cohort(100, 7)
    assert plan_cohort(30, 7) == [plan for plan in plans if plan.patient < 30]
    first = [plan.label for plan in plans if plan.number == 0]
    assert sum(first) == 50
    assert all(first[k] != first[k + 1] for k in range(0, 100, 2))
    assert 165 < len(plans) < 195 and 0.4 < sum(plan.label for plan in plans) / len(plans) < 0.6
    assert {plan.artery for plan in plans} == {"RCA", "LCA"}
    assert len({plan.clip_id for plan in plans}) == len(plans)


def test_files_agree_with_each_other(cohort):
    folder, counts = cohort
    truth = json.loads((folder / "truth.json").read_text())
    assert (truth["schema"], truth["version"]) == ("stenoscope/truth", 1)
    lines = (folder / "labels.csv").read_text().splitlines()
    assert lines[0] == "clip_id,patient_id,label" and len(lines) == 1 + counts["clips"]
    for line in lines[1:]:
        clip_id, patient_id, label = line.split(",")
        entry = truth["clips"][clip_id]
        ds = pydicom.dcmread(folder / f"{clip_id}.dcm")
        assert ds.PatientID == patient_id and ds.NumberOfFrames == entry["num_frames"]
        assert 25 <= entry["num_frames"] <= 50 and (ds.Rows, ds.Columns) == (512, 512)
        assert bool(entry["lesions"]) == (label == "1")
        mask = cv2.imread(str(folder / "truth_masks" / f"{clip_id}.png"), cv2.IMREAD_UNCHANGED)
        assert mask.shape == (512, 512) and set(mask.ravel()) == {0, 255}
    manifest = provenance.read_manifest(folder, "phantom", "python -m stenoscope.phantom")
    assert manifest["counts"] == counts


def test_same_seed_same_bytes_on_any_number_of_workers(cohort, tmp_path):
    folder, _ = cohort
    write_cohort(PhantomSettings(output=str(tmp_path / "again"), patients=2, seed=7, workers=2))
    assert digest(tmp_path / "again") == digest(folder)


def test_a_clip_does_not_depend_on_the_number_of_patients(cohort, tmp_path):
    folder, _ = cohort
    write_cohort(PhantomSettings(output=str(tmp_path / "one"), patients=1, seed=7, workers=1))
    alone = digest(tmp_path / "one")
    assert alone["p001_c1.dcm"] == digest(folder)["p001_c1.dcm"]


def test_another_cohort_is_not_overwritten_in_silence(cohort):
    folder, _ = cohort
    before = digest(folder)
    settings = PhantomSettings(output=str(folder), patients=2, seed=8)
    with pytest.raises(DatasetError, match="overwrite"):
        write_cohort(settings)
    assert digest(folder) == before
    with pytest.raises(DatasetError, match=r"min_diameter_px=7\.5"):
        write_cohort(replace(settings, seed=7, min_diameter_px=7.5))
    assert digest(folder) == before


def test_a_folder_of_other_files_is_left_alone(tmp_path):
    (tmp_path / "patient.dcm").write_bytes(b"mine")
    with pytest.raises(DatasetError, match=r"patient\.dcm"):
        write_cohort(PhantomSettings(output=str(tmp_path), patients=1, overwrite=True))
    assert (tmp_path / "patient.dcm").read_bytes() == b"mine"


@pytest.mark.parametrize("change", [{"patients": 0}, {"seed": -1}])
def test_settings_out_of_range_are_refused(tmp_path, change):
    with pytest.raises(SettingsError):
        write_cohort(replace(PhantomSettings(output=str(tmp_path / "x")), **change))


def test_command_line_reports_errors_in_one_paragraph(tmp_path, capsys):
    (tmp_path / "notes.txt").write_text("mine")
    assert main(["--patients", "1", "--output", str(tmp_path)]) == 2
    assert "notes.txt" in capsys.readouterr().err.replace("\n", "")
