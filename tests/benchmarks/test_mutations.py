import re

import pytest

from benchmarks import mutations
from benchmarks.edits import EDITS, Edit


def test_every_edit_applies_to_the_program_as_it_is():
    assert len(EDITS) >= 60 and len({(edit.file, edit.old, edit.new) for edit in EDITS}) == len(EDITS)
    assert {
        f"{edit.file}: {edit.old}": problem for edit in EDITS if (problem := mutations.problem_of(edit))
    } == {}


def test_every_test_that_must_fail_is_there(root):
    """A renamed test would otherwise be noticed only when the edits are tried."""
    for test in {test for edit in EDITS for test in edit.tests.split()}:
        path, _, name = test.partition("::")
        found = re.findall(r"^def (\w+)", (root / path).read_text(), re.MULTILINE)
        assert name.partition("[")[0] in found, test


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ("1 + 1", "1 - 1", "killed"),
        ("return", "return  ", "survived"),
        ("gone", "x", "its text is there 0 times"),
        ("1", "2", "its text is there 2 times"),
        ("def two", "def (", "not run: "),
    ],
)
def test_an_edit_is_tried_and_undone(tmp_path, old, new, found):
    (tmp_path / "sums.py").write_text("def two():\n    return 1 + 1\n")
    (tmp_path / "test_sums.py").write_text("import sums\n\n\ndef test_two():\n    assert sums.two() == 2\n")
    before = (tmp_path / "sums.py").read_text()
    assert mutations.try_edit(Edit("sums.py", old, new, "test_sums.py"), tmp_path).startswith(found)
    assert (tmp_path / "sums.py").read_text() == before
