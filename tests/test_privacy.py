"""Nothing of a DICOM header's identifying text may reach an output, of step 1 or of a prediction."""

import zipfile

import pydicom
import pytest

from stenoscope.settings import KeyframeSettings, PredictSettings
from stenoscope.stages.keyframes import make_keyframes
from stenoscope.stages.predict import predict

SENTINELS = {
    "PatientName": "Zebrafink^Ottokar",
    "PatientID": "ZQX-4471-ID",
    "PatientBirthDate": "19370219",
    "PatientAddress": "Quittenweg 12",
    "OtherPatientNames": "Quastenflosser",
    "PatientComments": "Kommentarzeile",
    "InstitutionName": "Klinikum Murmeltal",
    "InstitutionAddress": "Murmelgasse 8",
    "ReferringPhysicianName": "Haubentaucher^Ilse",
    "PerformingPhysicianName": "Wiedehopf^Karl",
    "OperatorsName": "Nachtigall^Eva",
    "StationName": "CATHLAB77",
    "DeviceSerialNumber": "SN99817733",
    "AccessionNumber": "ACC5566771",
    "StudyID": "STUDY8123",
    "StudyDescription": "Herzkatheter Murmeltal",
    "SeriesDescription": "Serie Blaumeise",
    "ProtocolName": "Protokoll Rotkehlchen",
    "ImageComments": "Bildkommentar Uhu",
    "StudyDate": "20190307",
    "SeriesDate": "20190308",
    "ContentDate": "20190309",
    "AcquisitionDate": "20190310",
    "StudyTime": "113757",
    "ContentTime": "113859",
    "StudyInstanceUID": "1.2.276.0.7230010.3.1.2.8323329",
    "SeriesInstanceUID": "1.2.276.0.7230010.3.1.3.8323330",
    "SOPInstanceUID": "1.2.276.0.7230010.3.1.4.8323331",
    "FrameOfReferenceUID": "1.2.276.0.7230010.3.1.5.8323332",
}
PARTS = {part for value in SENTINELS.values() for part in (value, *value.split("^")) if len(part) > 4}


@pytest.fixture(scope="module")
def clinic(cohort, tmp_path_factory):
    """A good clip and a broken one, whose headers say who they are of."""
    folder = tmp_path_factory.mktemp("clinic")
    for name in ("good", "broken"):
        dataset = pydicom.dcmread(cohort.folder / "data/phantom/p001_c1.dcm")
        for keyword, value in SENTINELS.items():
            setattr(dataset, keyword, value)
        dataset.file_meta.MediaStorageSOPInstanceUID = SENTINELS["SOPInstanceUID"]
        block = dataset.private_block(0x0019, "Murmeltal Private", create=True)
        block.add_new(0x01, "LO", SENTINELS["PatientName"])
        if name == "broken":
            dataset.NumberOfFrames = int(dataset.NumberOfFrames) + 5
        dataset.save_as(folder / f"{name}.dcm")
    held = (folder / "good.dcm").read_bytes()
    assert all(part.encode() in held for part in PARTS), "the sentinels are planted"
    return folder


def leaks(folder) -> list[str]:
    """Files below a folder that hold any sentinel, as plain bytes or inside a zip archive."""
    found, looked = [], 0
    for path in sorted(folder.rglob("*")):
        if not path.is_file():
            continue
        contents = [path.read_bytes(), path.name.encode()]
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                contents += [archive.read(name) for name in archive.namelist()]
        looked += 1
        for part in PARTS:
            for spelling in (part.encode(), part.encode("utf-16-le"), part.lower().encode()):
                if any(spelling in content for content in contents):
                    found.append(f"{path.relative_to(folder)}: {part}")
    assert looked > 3
    return found


def test_step_one_lets_no_header_text_out(clinic, tmp_path, capsys):
    settings = KeyframeSettings(
        input=str(clinic),
        output=str(tmp_path / "out"),
        labels="none",
        workers=1,
        pseudonym_key=str(tmp_path / "key"),
    )
    make_keyframes(settings)
    intake = (tmp_path / "out" / "intake.csv").read_text()
    assert "good.dcm,good,ok" in intake and "broken.dcm,broken,quarantined" in intake
    assert ",p-" in (tmp_path / "out" / "keyframes.csv").read_text(), "the patient is a pseudonym"
    assert leaks(tmp_path) == []
    said = capsys.readouterr()
    assert not [part for part in PARTS if part in said.out + said.err]


def test_folder_labels_give_a_pseudonym_not_the_patient(clinic, tmp_path):
    for folder in ("N", "A"):
        (tmp_path / "in" / folder).mkdir(parents=True)
        (tmp_path / "in" / folder / f"{folder}.dcm").write_bytes((clinic / "good.dcm").read_bytes())
    settings = KeyframeSettings(
        input=str(tmp_path / "in"),
        output=str(tmp_path / "out"),
        workers=1,
        pseudonym_key=str(tmp_path / "key"),
    )
    make_keyframes(settings)
    rows = (tmp_path / "out" / "keyframes.csv").read_text().splitlines()[1:]
    patients = [row.split(",")[1] for row in rows]
    assert len(patients) == 2 and patients[0] == patients[1] and patients[0].startswith("p-")
    assert leaks(tmp_path / "out") == []


def test_a_prediction_lets_no_header_text_out(clinic, journey, tmp_path, capsys):
    settings = PredictSettings(
        experiment=str(journey.folder / "results/demo"),
        output=str(tmp_path / "out"),
        pseudonym_key=str(tmp_path / "key"),
    )
    predict([str(clinic)], settings)
    intake = (tmp_path / "out" / "intake.csv").read_text()
    assert "good.dcm,good,ok" in intake and "broken.dcm,broken,quarantined" in intake
    assert (tmp_path / "out" / "heatmaps" / "good.hirescam.gif").exists()
    assert leaks(tmp_path) == []
    said = capsys.readouterr()
    assert not [part for part in PARTS if part in said.out + said.err]
