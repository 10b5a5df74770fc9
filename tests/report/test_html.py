import base64
import io
import json
import re
from dataclasses import asdict
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from stenoscope.errors import DatasetError
from stenoscope.evaluation.summary import evaluation_levels, summarise
from stenoscope.presets import training_settings
from stenoscope.report import page as pages
from stenoscope.report.html import write_report
from stenoscope.report.panels import Case, draw_panel, encode_png, panel_name
from stenoscope.report.predict_page import write_predict_report
from stenoscope.results.experiment import read_experiment
from stenoscope.run import provenance
from tests.evaluation.helpers import make_predictions


def write_experiment(folder, predictions, pictures=True, **settings):
    made = training_settings("cpu", **settings)
    clips = evaluation_levels(predictions)["clip"]
    abnormal = clips[clips["label"] == 1]
    rows = [
        (clip, patient, method, hit, 0.1, 0.05, 20.0)
        for clip, patient in abnormal[["clip_id", "patient_id"]].itertuples(index=False)
        for method, hit in (("hirescam", 1.0), ("image_centre", 0.0))
    ]
    columns = ["clip_id", "patient_id", "method", "hit", "energy", "iou", "distance"]
    summary = summarise(predictions, pd.DataFrame(rows, columns=columns), resamples=50)
    provenance.write_json(folder / "summary.json", summary)
    provenance.write_text(folder / "predictions.csv", predictions.to_csv(index=False))
    provenance.write_text(folder / "config.yaml", yaml.safe_dump(asdict(made)))
    provenance.write_manifest(folder, "experiment", made, {"clips.pickle": "ab" * 32}, {}, seed=made.seed)
    for fold in range(1, 6):
        provenance.write_text(
            folder / f"fold_{fold}" / "history.csv",
            "epoch,loss,accuracy,learning_rate,seconds\n0,0.7,0.5,0.001,1\n1,0.5,0.8,0.001,1\n",
        )
    frame = np.full((512, 512), 120, np.uint8)
    for row in clips.itertuples() if pictures else ():
        case = Case(row.clip_id, frame, np.ones((512, 512)), row.probability, row.decision, row.label)
        picture = encode_png(draw_panel(case, 1.0, "cam", size=120))
        for method in ("cam", "hirescam"):
            provenance.write_bytes(folder / "heatmaps" / panel_name(row.clip_id, method), picture)


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results") / "first <try>"
    write_experiment(folder, make_predictions(20), epochs=3)
    write_report(folder)
    return folder


class Page(HTMLParser):
    """Collects what a page loads and whether its tags are closed."""

    def __init__(self, text):
        super().__init__()
        self.loads, self.open, self.links, self.text = [], [], [], ""
        self.images, self.headings = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.loads += [values[name] for name in ("src", "srcset") if name in values]
        self.images += [values] if tag == "img" else []
        self.headings += [int(tag[1])] if tag in ("h1", "h2", "h3", "h4") else []
        self.links += [values["href"]] if "href" in values else []
        if tag not in ("meta", "img", "source", "line", "circle", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in ("line", "circle"):
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def page(experiment):
    return Page((experiment / "report.html").read_text(encoding="utf-8"))


def test_the_page_loads_nothing_from_elsewhere(page):
    assert page.open == [] and len(page.loads) > 20
    assert all(source.startswith("data:image/") for source in page.loads)
    assert not any(link.startswith(("http", "//", "/")) for link in page.links)


def test_every_picture_has_its_size_and_a_text(page):
    assert len(page.images) > 50
    for image in page.images:
        data = base64.b64decode(image["src"].partition(",")[2])
        size = Image.open(io.BytesIO(data)).size
        assert (int(image["width"]), int(image["height"])) == size and image["alt"]


def test_headings_skip_no_level(page):
    assert page.headings[0] == 1 and page.headings.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(page.headings))


@pytest.mark.usefixtures("unrendered")
def test_what_heads_a_page(tmp_path):
    write_experiment(tmp_path, make_predictions(12), pictures=False)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    plain = write_report(tmp_path).read_text(encoding="utf-8")
    assert "Simulated data" not in plain and "<time" not in plain  # not said, so not claimed
    del manifest["sha256"]
    manifest |= {"created": "2026-01-31", "simulated": {"clips": 3, "of": 17}}
    provenance.write_json(tmp_path / "manifest.json", manifest)
    text = Page(write_report(tmp_path).read_text(encoding="utf-8")).text
    place = [
        text.index(part)
        for part in (
            "Research only",
            "3 of the 17 clips were simulated",
            "Stenoscope 0",
            "2026-01-31",
            "Only 12",
        )
    ]
    assert place == sorted(place) and place[-1] < text.index("Metrics")


@pytest.mark.usefixtures("unrendered")
def test_right_wrong_and_contradicted_calls_are_put_in_words(tmp_path):
    rows = [
        (fold, f"p{fold}", f"c{fold}", frame, label, value)
        for fold, label, values in (
            (1, 1, (0.9, 0.9, 0.9, 0.9, 0.9)),
            (2, 0, (0.6, 0.6, 0.6, 0.0, 0.0)),  # the vote says abnormal, the mean 0.36
            (3, 1, (0.9, 0.9, 0.4, 0.4, 0.4)),  # the vote says normal, the mean 0.60
            (4, 0, (0.1, 0.1, 0.1, 0.1, 0.1)),
        )
        for frame, value in enumerate(values)
    ]
    columns = ["fold", "patient_id", "clip_id", "frame_index", "label", "probability"]
    write_experiment(tmp_path, pd.DataFrame(rows, columns=columns))
    text = " ".join(Page(write_report(tmp_path).read_text(encoding="utf-8")).text.split())
    assert "c1, tested in fold 1: called abnormal ✓ right, 5 of 5 key frames abnormal" in text
    assert (
        "called abnormal ✗ wrong, 3 of 5 key frames abnormal, mean probability 0.36 (the mean alone would "
        "call it normal)" in text
    )
    assert "called normal ✗ wrong, 2 of 5 key frames abnormal, mean probability 0.60 (the mean alone" in text
    assert text.count("the mean alone would") == 2 and "log-odds" in text


def test_the_page_tells_what_matters(page, experiment):
    summary = read_experiment(experiment).summary
    for text in (
        f"{summary['clip_auc']['pooled']:.3f}",
        f"{summary['clip_auc']['mean']:.3f} ± {summary['clip_auc']['std']:.3f}",
        "first <try>",
        "epochs",
        "image centre",
        "not for clinical use",
        "SHA-256 of clips.pickle",
        "python main.py --config",
    ):
        assert text in page.text, text


def test_names_are_escaped(experiment):
    assert "<try>" not in (experiment / "report.html").read_text(encoding="utf-8")


def test_abnormal_clips_come_first(page):
    titles = re.findall(r"(Abnormal|Normal), called (?:ab)?normal", page.text)
    assert titles == sorted(titles)


def test_every_clip_has_its_heatmap(page, experiment):
    clips = read_experiment(experiment).predictions["clip_id"].unique()
    assert {link for link in page.links if link.startswith("heatmaps/")} == {
        f"heatmaps/{clip}.{method}.png" for clip in clips for method in ("cam", "hirescam")
    }


def test_figures_are_written_too(experiment):
    names = {path.name for path in (experiment / "figures").iterdir()}
    figures = ("roc", "confusion", "calibration", "history", "localisation")
    assert names == {f"{name}.{kind}" for name in figures for kind in ("png", "svg", "pdf")}


def test_the_same_results_give_the_same_page(experiment):
    before = (experiment / "report.html").read_bytes()
    write_report(experiment)
    assert (experiment / "report.html").read_bytes() == before


@pytest.mark.usefixtures("unrendered")
def test_pictures_stop_at_the_budget(experiment, tmp_path, monkeypatch):
    monkeypatch.setattr(pages, "IMAGE_BUDGET", 30_000)
    write_experiment(tmp_path, make_predictions(20))
    text = write_report(tmp_path).read_text(encoding="utf-8")
    assert "left out to keep this page small" in text
    assert 0 < text.count("data:image/jpeg") < 10


@pytest.mark.usefixtures("unrendered")
def test_without_heatmaps_history_and_localisation(tmp_path):
    predictions = make_predictions(12)
    write_experiment(tmp_path, predictions, shuffle_labels=True)
    for path in [*tmp_path.glob("heatmaps/*"), *tmp_path.glob("fold_*/history.csv")]:
        path.unlink()
    provenance.write_json(tmp_path / "summary.json", summarise(predictions, resamples=50))
    text = write_report(tmp_path).read_text(encoding="utf-8")
    assert "The labels were shuffled" in text
    assert "<h2>Heatmaps" not in text and "Does the map point" not in text


def test_without_held_out_patients_the_page_says_why_nothing_is_calibrated(page):
    assert "no training patients were held out" in page.text and "Youden" not in page.text


@pytest.mark.usefixtures("unrendered")
def test_decisions_and_their_calibration(tmp_path):
    from tests.report.test_documents import add_decisions

    predictions = make_predictions(20)
    write_experiment(tmp_path, predictions, inner_share=0.2, pictures=False)
    add_decisions(tmp_path, predictions)
    page = Page(write_report(tmp_path).read_text(encoding="utf-8"))
    found = read_experiment(tmp_path).summary["decisions"]
    for value in (
        f"{found['youden']['sensitivity']['pooled']:.3f}",
        f"{found['calibration']['after']['nll']['pooled']:.3f}",
        f"{found['typical']['temperature']:.2f}",
        "20 % of the training patients",
        f"{100 * found['three_way']['uncertain']['pooled']:.0f} % of the clips",
    ):
        assert value in page.text, value
    assert "were held out to calibrate" not in page.text and page.open == []
    assert (tmp_path / "figures" / "reliability.png").exists()


@pytest.mark.usefixtures("unrendered")
def test_the_randomisation_check_is_shown_where_it_was_made(tmp_path):
    write_experiment(tmp_path, make_predictions(12), pictures=False)
    assert "networks with random weights" not in write_report(tmp_path).read_text(encoding="utf-8")
    path = tmp_path / "summary.json"
    row = {"clips": 7, "similarity": {"mean": 0.12, "ci95": [-0.05, 0.19]}, "hit": None}
    row["magnitude"] = {"mean": 0.234, "ci95": [0.2, 0.3]}
    provenance.write_json(path, {**read_experiment(tmp_path).summary, "randomisation": {"grad_cam": row}})
    text = Page(write_report(tmp_path).read_text(encoding="utf-8")).text
    assert (
        "networks with random weights" in text
        and "grad cam" in text
        and "-0.050 to +0.190" in text
        and "0.234" in text
    )


def test_the_documents_beside_the_page_are_linked(page, experiment):
    for name in ("model_card.md", "checklist.md"):
        assert name in page.links and (experiment / name).exists()


@pytest.mark.parametrize("name", ["summary.json", "predictions.csv", "config.yaml", "manifest.json"])
@pytest.mark.usefixtures("unrendered")
def test_missing_and_damaged_files_are_named(tmp_path, name):
    write_experiment(tmp_path, make_predictions(12))
    (tmp_path / name).unlink()
    with pytest.raises(DatasetError, match=name):
        write_report(tmp_path)
    if name.endswith("json"):
        (tmp_path / name).write_text("{")
        with pytest.raises(DatasetError, match=name):
            write_report(tmp_path)


def test_the_page_of_new_clips(tmp_path):
    rows = [
        (clip, frame, probability, *(probability + shift for shift in (-0.1, -0.05, 0, 0.05, 0.1)))
        for clip, probability in (("Patient_1/Coro_1", 0.8), ("NA", 0.2))
        for frame in range(5)
    ]
    columns = ["clip_id", "frame_index", "probability", *(f"fold_{k}" for k in range(1, 6))]
    provenance.write_text(
        tmp_path / "predictions.csv", pd.DataFrame(rows, columns=columns).to_csv(index=False)
    )
    case = Case("Patient_1/Coro_1", np.zeros((512, 512), np.uint8), np.ones((512, 512)), 0.8, 1)
    name = panel_name(case.clip_id, "cam")
    provenance.write_bytes(tmp_path / "heatmaps" / name, encode_png(draw_panel(case, 1.0, "cam", size=120)))
    (tmp_path / "heatmaps" / panel_name(case.clip_id, "cam", "gif")).write_bytes(b"GIF89a")
    (tmp_path / "intake.csv").write_text(
        "path,status,reason\na.dcm,ok,\nbad.dcm,quarantined,cut short\nnotes.txt,ignored,not a clip\n"
    )
    path = write_predict_report(tmp_path, "results/demo", "cam")
    page = Page(path.read_text(encoding="utf-8"))
    assert "1 of 2 clips called abnormal by 5 models of results/demo" in page.text
    assert "Calibrated" not in page.text
    assert "cut short" in page.text and "not a clip" not in page.text and "NA" in page.text
    assert "heatmaps/Patient_1__Coro_1.cam.gif" in page.links and "#clip-1" in page.links
    assert 'data-value="0.800000"' in path.read_text(encoding="utf-8") and "✓" not in page.text
    assert "this one key frame lies over all of its frames" in page.text
    assert all(source.startswith("data:image/") for source in page.loads) and page.open == []

    decisions = (
        "clip_id,probability,calibrated,decision\nPatient_1/Coro_1,0.8,0.61,uncertain\nNA,0.2,0.1,normal\n"
    )
    (tmp_path / "decisions.csv").write_text(decisions)
    page = Page(write_predict_report(tmp_path, "results/demo", "cam").read_text(encoding="utf-8"))
    assert "Calibrated: 1 normal, 1 uncertain, 0 abnormal" in page.text and "0.61" in page.text

    (tmp_path / "decisions.csv").unlink()
    provenance.write_text(
        tmp_path / "predictions.csv", pd.DataFrame(rows[:5], columns=columns).to_csv(index=False)
    )
    page = Page(write_predict_report(tmp_path, "results/demo", "cam").read_text(encoding="utf-8"))
    assert "1 clip by results/demo" in page.text and "1 of 1 clip called abnormal by 5 models" in page.text
