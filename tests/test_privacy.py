"""Nothing of a DICOM header's text reaches an output: every text is marked, and all that is written searched.

The names of files are another matter: a clip is called by its path, which the README says. The DICOM objects
that `predict --dicom` makes for the archive carry the patient by design, and are not made here.
"""

import base64
import json
import shutil
import stat
from dataclasses import replace

import numpy as np
import pydicom
import pytest
from PIL import Image, PngImagePlugin

from stenoscope.app.augment import draw_variants
from stenoscope.app.check import check
from stenoscope.app.folds import make_folds
from stenoscope.app.keyframes import make_keyframes
from stenoscope.app.train import to_repeat
from stenoscope.presets import training_settings
from stenoscope.run.cli import run
from stenoscope.settings import (
    AugmentSettings,
    ExportSettings,
    FoldSettings,
    KeyframeSettings,
    PredictSettings,
    TuningSettings,
)
from tests.app.fakes import hurry
from tests.sentinels import found_in, like, plant, search, spoil

TEXT = b"ZQ00000001 "
BROKEN = {
    "frames": {"NumberOfFrames": b"99999"},
    "number_of_frames": {"NumberOfFrames": TEXT},
    "modality": {"Modality": TEXT},
    "class": {"SOPClassUID": b"1.2.276.0.7230010.9.7"},
    "photometric": {"PhotometricInterpretation": TEXT},
    "voi": {"WindowCenter": TEXT, "WindowWidth": TEXT},
    "voi_function": {"VOILUTFunction": TEXT},
    "slope": {"RescaleSlope": TEXT, "RescaleIntercept": TEXT},
    "relationship": {"PixelIntensityRelationship": TEXT},
    "frame_time": {"FrameTime": TEXT},
    "angles": {"PositionerPrimaryAngle": TEXT},
    "id": {"PatientID": b"ZQ00100020\xff\xfe\x80"},
    "rows": {"Rows": b"ZQ"},
    "rows_long": {"Rows": TEXT},
}
"""Elements that hold something else than they should."""


@pytest.fixture(scope="module")
def broken(cohort, tmp_path_factory):
    """Files whose faults end in a message, each with all its sentinels."""
    folder = tmp_path_factory.mktemp("broken")
    source = cohort.folder / "data/phantom/p001_c1.dcm"
    good = plant(source, folder / "good.dcm")
    for name, values in BROKEN.items():
        spoil(good, folder / f"{name}.dcm", values)
    whole = good.read_bytes()
    header = whole.index(b"\xe0\x7f\x10\x00O")
    syntax = b"1.2.840.10008.1.2.1\0"
    for name, data in {
        "characters": whole.replace(b"ISO_IR 192", b"ZQ00000001"),
        "cut_pixels": whole[: len(whole) * 6 // 10],
        "cut_header": whole[: header * 6 // 10],
        "no_pixels": whole[:header],
        "no_preamble": whole[132:],
        "syntax": whole.replace(syntax, b"1.2.276.0.7230010.9\0", 1),
        "deflated": whole.replace(syntax, b"1.2.840.10008.1.2.1.99".ljust(len(syntax) + 4, b"\0")[:20], 1),
        "compressed": whole.replace(syntax, b"1.2.840.10008.1.2.5\0", 1),
        "representation": whole.replace(b"\x10\x00\x10\x00PN", b"\x10\x00\x10\x00ZQ", 1),
        "length": whole.replace(b"\x10\x00\x20\x00LO\n\x00", b"\x10\x00\x20\x00LO\xff\xff", 1),
    }.items():
        (folder / f"{name}.dcm").write_bytes(data)
    return folder


def test_the_sentinels_are_there_and_would_be_found(broken, tmp_path):
    """The search itself: in plain bytes, UTF-16, archives, compressed texts of pictures."""
    dataset = pydicom.dcmread(broken / "good.dcm", stop_before_pixels=True)
    texts = [element for element in dataset.iterall() if element.VR not in ("SQ", "US", "OB", "UN", "AT")]
    assert len(texts) > 5000 and search((broken / "good.dcm").read_bytes())
    for keyword in (
        "PatientName", "PatientID", "PatientBirthDate", "InstitutionName", "DeviceSerialNumber", "StudyDate",
        "StationName", "StudyInstanceUID", "SOPInstanceUID", "ImageComments", "OperatorsName",
        "PatientWeight",
    ):  # fmt: skip
        assert search(str(dataset[keyword].value).encode()), keyword
    assert search("x ZQ00100010F x".encode("utf-16")) == {"ZQ00100010F"[:10]}
    assert found_in(broken, b"DICM")
    chunks = PngImagePlugin.PngInfo()
    chunks.add_text("Comment", "zq00100010 " * 9, zip=True)
    Image.new("L", (4, 4)).save(tmp_path / "a.png", pnginfo=chunks)
    Image.new("L", (4, 4)).save(tmp_path / "a.gif", comment=b"zq00100011")
    np.savez_compressed(tmp_path / "a.npz", np.array(["ZQ00100012"] * 9))
    inline = base64.b64encode((tmp_path / "a.png").read_bytes()).decode()
    (tmp_path / "a.html").write_text(f'<img src="data:image/png;base64,{inline}">')
    found = {hit.split(":")[0] for hit in found_in(tmp_path)}
    assert found == {"a.gif", "a.html", "a.npz", "a.png"}


def test_every_fault_has_its_line_and_none_quotes_the_header(broken, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    settings = KeyframeSettings(input=str(broken), labels="none", workers=1)
    assert run(lambda: make_keyframes(settings)) == 0
    intake = (tmp_path / "data/keyframes/intake.csv").read_text()
    assert "good.dcm,good,ok" in intake and intake.count("quarantined") >= 12, intake
    run(lambda: check(KeyframeSettings(input=str(broken), labels="none", workers=1, output="checked")))
    # alone: the error of the run itself; frames whose number is a text are counted
    for name, status in (("no_pixels", 2), ("cut_header", 2), ("modality", 2), ("number_of_frames", 0)):
        alone = KeyframeSettings(input=str(broken / f"{name}.dcm"), labels="none", output=f"out_{name}")
        assert run(lambda alone=alone: make_keyframes(alone)) == status
    said = capfd.readouterr()
    assert "error:" in said.err
    assert search((said.out + said.err).encode()) == set()
    assert found_in(tmp_path) == []


def copied(settings, *_):
    """Stands for `end_experiment`: an arm of a study or an audit that came out as the experiment did."""
    shutil.copytree("results/demo", settings.experiment, ignore=shutil.ignore_patterns("audit", "predict"))


@pytest.fixture
def few_trainings(monkeypatch):
    """Honest arms are copies of the experiment; of the leaking ones one fold is trained."""
    from stenoscope.app import audit, study

    hurry(monkeypatch)
    undone = audit.undone
    monkeypatch.setattr(audit, "undone", lambda *which, **how: undone(*which, **how)[:1])
    monkeypatch.setattr(audit, "gather", lambda arm, _: shutil.copy("results/demo/predictions.csv", arm))
    for stage in (audit, study):
        monkeypatch.setattr(stage, "begin_experiment", lambda *_: [])
        monkeypatch.setattr(stage, "end_experiment", copied)


@pytest.fixture
def no_conversion(monkeypatch):
    """An ONNX file of what it would say of itself, in seconds less; its results are taken for the models'."""
    from stenoscope.app import export
    from stenoscope.export import onnx_file

    def write(network, path, properties):
        path.write_text(json.dumps([properties, [layer.name for layer in network.layers]]))

    monkeypatch.setattr(export, "extra", lambda package: None)
    monkeypatch.setattr(export, "_differences", lambda *_: {"probability": 0.0})
    monkeypatch.setattr(onnx_file, "write_onnx", write)
    monkeypatch.setattr(onnx_file, "run_onnx", lambda *_: None)


def test_the_whole_pipeline_lets_no_header_text_out(
    cohort, broken, tmp_path, monkeypatch, capfd, few_trainings, no_conversion
):
    """Ten patients in the folders N/ and A/, whose ids are known from their headers alone."""
    from stenoscope.app.audit import audit
    from stenoscope.app.export import export
    from stenoscope.app.predict import predict
    from stenoscope.app.study import study
    from stenoscope.app.train import train
    from stenoscope.app.tune import tune

    monkeypatch.chdir(tmp_path)
    lines = (cohort.folder / "data/phantom/labels.csv").read_text().split()[1:]
    first = [line.split(",") for line in lines if "_c1" in line]
    for folder, label in (("N", "0"), ("A", "1")):
        for clip_id, patient, _ in [row for row in first if row[2] == label][:5]:
            source, target = (cohort.folder / "data/phantom", tmp_path / "in" / folder)
            number = int(patient.removeprefix("PHANTOM"))
            like(broken / "good.dcm", source / f"{clip_id}.dcm", target / f"{clip_id}.dcm", number)
    trained = training_settings("smoke", threads=1, image_size=32, inner_share=0.3)
    (tmp_path / "base.yaml").write_text(to_repeat(trained))
    (tmp_path / "space.yaml").write_text("learning_rate: {low: 1e-4, high: 1e-3, log: true}\n")
    tuning = TuningSettings(base="base.yaml", space="space.yaml", trials=1, inner_folds=2, threads=1)
    new = [str(broken / f"{name}.dcm") for name in ("good", "angles", "modality", "cut_pixels")]
    for stage in (
        lambda: make_keyframes(KeyframeSettings(input="in", workers=1)),
        lambda: draw_variants(AugmentSettings()),
        lambda: make_folds(FoldSettings()),
        lambda: train(trained),
        lambda: predict(new, PredictSettings(threads=1)),
        lambda: study(replace(trained, experiment="results/study")),
        lambda: audit(trained),
        lambda: tune(tuning),
        lambda: export(ExportSettings(threads=1)),
    ):
        assert run(stage) == 0, capfd.readouterr()
    said = capfd.readouterr()
    shutil.rmtree(tmp_path / "in")
    for made in (
        "study/report.html", "demo/audit/audit.csv", "demo/audit/frame/fold_1/predictions.csv",
        "tuning/study/report.html", "tuning/study/best.yaml", "demo/export/model.onnx",
    ):  # fmt: skip
        assert (tmp_path / "results" / made).exists(), made

    key = tmp_path / "data/pseudonym.key"
    secret = key.read_text().strip().encode()
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert found_in(tmp_path / "results", secret) == []
    (tmp_path / "key").write_bytes(key.read_bytes())
    key.unlink()
    assert found_in(tmp_path / "data", secret) == []
    assert search((said.out + said.err).encode(), secret) == set()

    rows = [line.split(",") for line in (tmp_path / "results/demo/predictions.csv").read_text().split()[1:]]
    patients = {row[1] for row in rows}
    assert len(patients) == 10 and all(patient.startswith("p-") for patient in patients)
