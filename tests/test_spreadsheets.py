"""Clips, patients and labels with names that a spreadsheet would run as formulas, through every step."""

import csv
import shutil
from dataclasses import replace

from stenoscope.app.folds import make_folds
from stenoscope.app.keyframes import make_keyframes
from stenoscope.presets import training_settings
from stenoscope.run.cli import run
from stenoscope.run.csv_files import read_csv, to_csv
from stenoscope.settings import FoldSettings, KeyframeSettings, PredictSettings

NAMES = ("=1+1", "-x", "+x", "@x", "\tx", "-2+3")
LABELS = ("=1+1", "@second")


def runs_as_a_formula(cell):
    """Whether a spreadsheet might run a cell; numbers below zero are none."""
    try:
        float(cell)
    except ValueError:
        return cell.lstrip(" ").startswith(tuple("=+-@\t\r\n"))
    return False


def formulas(folder):
    """All such cells of all CSV files below a folder, and how many files and cells there are."""
    found, cells, paths = [], 0, sorted(folder.rglob("*.csv"))
    for path in paths:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            for row in csv.reader(stream):
                cells += len(row)
                found += [(path.name, cell) for cell in row if runs_as_a_formula(cell)]
    return found, len(paths), cells


def test_no_csv_file_of_any_step_holds_a_formula_and_every_step_finds_its_clips(
    cohort, tmp_path, monkeypatch, capfd
):
    from stenoscope.app.predict import predict
    from stenoscope.app.train import train

    monkeypatch.chdir(tmp_path)
    source = cohort.folder / "data/phantom"
    table = read_csv(source / "labels.csv").drop_duplicates("patient_id").groupby("label").head(3)
    (tmp_path / "in").mkdir()
    rows = []
    for name, clip_id, label in zip(NAMES, table["clip_id"], table["label"], strict=True):
        shutil.copy(source / f"{clip_id}.dcm", tmp_path / "in" / f"{name}.dcm")
        rows.append({"clip_id": name, "patient_id": f"={name}"} | dict.fromkeys(LABELS, label))
    (tmp_path / "in/labels.csv").write_text(to_csv(rows))
    trained = training_settings("smoke", threads=1, image_size=32)
    folds = FoldSettings(folds=2)
    for stage in (
        lambda: make_keyframes(KeyframeSettings(input="in", label_columns=",".join(LABELS), workers=1)),
        lambda: make_folds(folds),
        lambda: make_folds(replace(folds, keep_folds=True, overwrite=True)),
        lambda: train(trained),
        lambda: predict(["in/@x.dcm", "in/=1+1.dcm"], PredictSettings(threads=1)),
    ):
        assert run(stage) == 0, capfd.readouterr()

    found, files, cells = formulas(tmp_path / "data")
    more, results, results_cells = formulas(tmp_path / "results")
    assert found + more == []
    assert files >= 3 and results >= 3 and min(cells, results_cells) > 50, (files, results)
    for path in ("data/keyframes/keyframes.csv", "data/folds/folds.csv", "results/demo/predictions.csv"):
        assert set(read_csv(tmp_path / path)["clip_id"]) == set(NAMES), path
    predicted = {
        name
        for path in (tmp_path / "results/demo/predict").rglob("*.csv")
        if "clip_id" in (table := read_csv(path))
        for name in table["clip_id"]
    }
    assert predicted == {"@x", "=1+1"}
    assert set(read_csv(tmp_path / "data/folds/folds.csv")["patient_id"]) == {f"={name}" for name in NAMES}


def test_the_search_finds_what_it_looks_for(tmp_path):
    (tmp_path / "a.csv").write_text('\ufeffid,=2\n\'=1,-1.5\n@x,"\ty"\n', encoding="utf-8")
    assert [cell for _, cell in formulas(tmp_path)[0]] == ["=2", "@x", "\ty"]
