"""Who may write to a folder: a fresh run, a resumed one, or one that replaces another."""

import json
import shutil

import pytest

from stenoscope.errors import DatasetError
from stenoscope.run import claims, locks, provenance
from tests.run.test_provenance import Some, everything


def claim(folder, settings=None, inputs=None, **more):
    return claims.claim(folder, "folds", settings or Some(), inputs or {"clips": "ab"}, **more)


def finish(folder):
    provenance.write_manifest(folder, "folds", Some(), {"clips": "ab"}, {})


def test_a_folder_is_fresh_then_resumed_then_finished(tmp_path):
    folder = tmp_path / "a"
    assert claim(folder) is False and (folder / ".unfinished.json").exists()
    (folder / "part").write_text("kept")
    assert claim(folder) is False and (folder / "part").exists()
    finish(folder)
    assert everything(folder) == ["manifest.json", "part"]
    assert claim(folder) is True
    assert claim(folder, Some(output="there", workers=5)) is True


def test_resuming_removes_what_a_killed_run_was_writing(tmp_path):
    folder = tmp_path / "a"
    claim(folder)
    (folder / "sheets").mkdir()
    for name in (".clips.ab3_9xyz.pickle", "sheets/.p1.abcdefgh.png", ".key", "part.csv"):
        (folder / name).write_text("")
    claim(folder)
    assert everything(folder) == [".key", ".lock.json", ".unfinished.json", "part.csv", "sheets"]
    assert everything(folder / "sheets") == []


@pytest.mark.parametrize("finished", [True, False])
@pytest.mark.parametrize("change", [{"settings": Some(seed=8)}, {"inputs": {"clips": "cd"}}])
def test_another_run_is_refused_or_replaced(tmp_path, finished, change):
    folder = tmp_path / "a"
    claim(folder)
    (folder / "old").write_text("old")
    if finished:
        finish(folder)
    with pytest.raises(DatasetError, match=r"seed|clips") as caught:
        claim(folder, **change)
    assert "--overwrite" in caught.value.fix and (folder / "old").exists()
    assert claim(folder, **change, overwrite=True) is False
    assert everything(folder) == [".lock.json", ".unfinished.json"]


def test_runs_inside_a_folder_that_is_replaced_are_named(tmp_path, capsys):
    claim(tmp_path)
    for name in ("audit", "heatmaps", "elsewhere"):
        (tmp_path / name).mkdir()
    elsewhere = (tmp_path / "elsewhere").rename(tmp_path.with_name("elsewhere"))
    provenance.write_manifest(elsewhere, "export", Some(), {}, {})
    (tmp_path / "export").symlink_to(elsewhere)
    claims.claim(tmp_path / "predict", "prediction", Some(), {})
    locks.release(tmp_path / "predict")
    provenance.write_manifest(tmp_path / "audit", "audit", Some(), {}, {})
    finish(tmp_path)
    capsys.readouterr()
    claim(tmp_path, Some(seed=8), overwrite=True)
    said = " ".join(capsys.readouterr().out.split())
    assert f"{tmp_path}/audit/ (audit), {tmp_path}/predict/ (prediction)." in said and "heatmaps" not in said
    assert "export" not in said and everything(elsewhere) == ["manifest.json"], "only the link goes"
    assert everything(tmp_path) == [".lock.json", ".unfinished.json"]
    (tmp_path / "audit").mkdir()
    assert locks.owner(tmp_path / "audit") is None, "nothing is held that is gone"
    capsys.readouterr()
    claim(tmp_path, Some(seed=8))
    assert capsys.readouterr().out == ""


def test_a_run_under_way_inside_a_folder_keeps_it_from_being_replaced(tmp_path):
    claim(tmp_path)
    (tmp_path / "old").write_text("old")
    finish(tmp_path)
    claims.claim(tmp_path / "audit", "audit", Some(), {})
    lock = tmp_path / "audit" / locks.LOCK
    lock.write_text(json.dumps({**json.loads(lock.read_text()), "host": "elsewhere"}))
    with pytest.raises(DatasetError, match=r"elsewhere is writing to .*audit"):
        claim(tmp_path, Some(seed=8), overwrite=True)
    assert (tmp_path / "old").exists() and lock.exists()
    assert not (tmp_path / ".unfinished.json").exists() and not (tmp_path / locks.LOCK).exists()


def test_what_is_spared_stays_when_a_run_is_replaced(tmp_path):
    claim(tmp_path)
    for name in ("old", "mine.csv"):
        (tmp_path / name).write_text(name)
    (tmp_path / "mine").mkdir()
    claim(tmp_path, Some(seed=8), overwrite=True, spare=("mine", "mine.csv", "not there"))
    assert everything(tmp_path) == [".lock.json", ".unfinished.json", "mine", "mine.csv"]


def test_a_folder_of_another_kind_is_never_replaced(tmp_path):
    provenance.write_manifest(tmp_path, "phantom", Some(), {}, {})
    with pytest.raises(DatasetError, match="phantom"):
        claim(tmp_path, overwrite=True)
    assert everything(tmp_path) == ["manifest.json"]


@pytest.fixture(autouse=True)
def let_go(tmp_path):
    """Tests take folders in this process, which a run does once."""
    yield
    for folder in (tmp_path, tmp_path / "a"):
        locks.release(folder)


def test_another_process_is_refused_until_the_run_is_finished(tmp_path):
    claim(tmp_path)
    owner = json.loads((tmp_path / locks.LOCK).read_text())
    (tmp_path / locks.LOCK).write_text(json.dumps({**owner, "host": "elsewhere"}))
    with pytest.raises(DatasetError, match="elsewhere"):
        claim(tmp_path, overwrite=True)
    (tmp_path / locks.LOCK).write_text(json.dumps(owner))
    finish(tmp_path)
    assert everything(tmp_path) == ["manifest.json"]


def test_a_finished_folder_is_read_where_nothing_may_be_written(tmp_path, monkeypatch):
    claim(tmp_path)
    finish(tmp_path)
    monkeypatch.setattr(locks, "hold", None)
    assert claim(tmp_path) is True


def test_a_kill_while_the_old_run_is_removed_leaves_nothing_of_it_to_resume(tmp_path, monkeypatch):
    claim(tmp_path)
    (tmp_path / "kept").mkdir()
    finish(tmp_path)

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(shutil, "rmtree", killed)
    with pytest.raises(KeyboardInterrupt):
        claim(tmp_path, Some(seed=8), overwrite=True)
    monkeypatch.undo()
    assert (tmp_path / "kept").exists()
    assert claim(tmp_path, Some(seed=8)) is False and not (tmp_path / "kept").exists()


def made(folder, **files):
    """A finished folder with files that its manifest has the hashes of."""
    claim(folder)
    for name, text in files.items():
        (folder / name).write_text(text)
    outputs = provenance.hash_files(folder, files)
    provenance.write_manifest(folder, "folds", Some(), {"clips": "ab"}, {}, outputs=outputs)


@pytest.mark.parametrize("damage", [b"", b"thre", b"thref", None])
def test_a_damaged_file_of_a_finished_folder_is_named_or_made_again(tmp_path, damage):
    made(tmp_path, one="one", three="three")
    if damage is None:
        (tmp_path / "three").unlink()
    else:
        (tmp_path / "three").write_bytes(damage)
    manifest = provenance.read_manifest(tmp_path, "folds", "x")
    provenance.check_outputs(tmp_path, manifest, ["one", "not in the manifest"])
    for check in (lambda: provenance.check_outputs(tmp_path, manifest), lambda: claim(tmp_path)):
        with pytest.raises(DatasetError, match=f"{tmp_path}/three is damaged") as caught:
            check()
        assert "--overwrite" in caught.value.fix
    assert claim(tmp_path, overwrite=True) is False
    assert everything(tmp_path) == [".lock.json", ".unfinished.json"]
