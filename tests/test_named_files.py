"""What the documents and docs/outputs.md name is there: files, hashes, and what metrics come from."""

import json
import re
from pathlib import Path

import pandas as pd
import pytest

from stenoscope.evaluation.localisation import summarise_localisation
from stenoscope.run import provenance

FILE = re.compile(r"[\w*./-]*[\w*]\.(?:csv|json|md|html|yaml|keras|npy|npz|png|gif|svg|pdf|pickle|cff|txt)")
ELSEWHERE = ("data/keyframes", "data/phantom")  # what an experiment was made from


def exists(name: str, *folders: Path) -> bool:
    pattern = re.sub(r"CLIP|METHOD|(?<=_)K(?=/)", "*", name)
    return any(next(folder.glob(pattern), None) for folder in folders)


def written(root: Path) -> dict[str, list[str]]:
    """Names in each row of docs/outputs.md's table of what step 3 writes, without those of flags."""
    section = (root / "docs/outputs.md").read_text(encoding="utf-8").partition("## What step 3 writes")[2]
    rows = [line.split("|")[1:3] for line in section.partition("\n## ")[0].splitlines() if "| `" in line]
    return {names: re.findall(r"`([^`]+)`", names) for names, what in rows if not re.match(" with `--", what)}


def test_the_docs_name_what_step_three_writes(journey, root):
    experiment, table = journey.folder / "results/demo", written(root)
    assert len(table) >= 10
    for first, *others in table.values():
        assert exists(first, experiment), first
        beside = Path(first).parent  # where further names of a row lie
        assert [name for name in others if not exists(str(beside / name), experiment)] == [], first


@pytest.mark.parametrize("document", ["report.html", "model_card.md", "checklist.md"])
def test_documents_name_files_that_are_there(journey, root, document):
    experiment = journey.folder / "results/demo"
    text = (experiment / document).read_text(encoding="utf-8")
    marked = re.findall(r"<code>([^<]+)</code>|href=\"([^\"#]+)\"|(?<!`)`([^`\n]+)`", text)
    named = {
        name for cell in marked for part in cell for name in FILE.findall(part) if part.find("data:") < 0
    }
    assert named
    folders = (experiment, *(journey.folder / name for name in ELSEWHERE), root, journey.folder)
    assert [name for name in sorted(named) if not exists(name, *folders)] == []


def test_what_is_called_a_hash_is_one(journey):
    keyframes = journey.folder / "data/keyframes"
    stated = {}
    for document in ("model_card.md", "report.html"):
        text = re.sub(r"<[^>]+>", "`", (journey.folder / "results/demo" / document).read_text("utf-8"))
        stated |= dict(re.findall(r"SHA-256 of ([^:`]+):?[` ]+([^`]+)`", text))
    assert stated["clips.pickle"] == provenance.sha256_file(keyframes / "clips.pickle")
    assert all(re.fullmatch("[0-9a-f]{64}", value) for value in stated.values()), stated
    card = (journey.folder / "results/demo/model_card.md").read_text("utf-8")
    assert "- seed of the folds: `7`" in card


def test_the_localisation_is_that_of_its_table(journey):
    experiment = journey.folder / "results/demo"
    summary = json.loads((experiment / "summary.json").read_text())
    table = pd.read_csv(experiment / "localisation.csv", dtype={"clip_id": str, "patient_id": str})
    found = summarise_localisation(table, seed=summary["bootstrap"]["seed"])
    assert list(found) == list(summary["localisation"])
    for method, row in found.items():
        stated = summary["localisation"][method]
        for figure in ("hit", "energy", "iou", "distance"):
            assert row[figure].keys() == stated[figure].keys()
            for key, value in row[figure].items():
                assert stated[figure][key] == pytest.approx(value, abs=1e-9), (method, figure, key)
    truth = json.loads((journey.folder / "data/phantom/truth.json").read_text())["clips"]
    keyed = table.groupby("method")["clip_id"].agg(sorted)
    assert all(len(set(clips)) == len(clips) for clips in keyed)
    assert set(table["clip_id"]) <= {clip for clip, entry in truth.items() if entry["lesions"]}
