"""The one writer of CSV files and its reader."""

import csv
import io

import numpy as np
import pandas as pd
import pytest

from stenoscope.run.csv_files import from_csv, guard, read_csv, to_csv, unguard

pytest.importorskip("hypothesis")
from hypothesis import given
from hypothesis import strategies as st

HOSTILE = [
    "=1+1",
    "+1",
    "-1+1",
    "@SUM(1)",
    "\tx",
    "\rx",
    "\nx",
    " \n",
    "  =1",
    "＝1",
    "'=1",
    "''\t=1",
    "\t=1",
]
HARMLESS = ["P001", "a/b-c", "'", "'quoted'", "", "a;=1", "1e5", "Ä", "a\rb", 'a"b', "NA", "01"]


@pytest.mark.parametrize("cell", HOSTILE)
def test_no_text_is_taken_for_a_formula(cell):
    assert guard(cell) == f"'{cell}" and unguard(guard(cell)) == cell


@pytest.mark.parametrize("cell", [*HARMLESS, -1.5, np.float32(-2), None, True])
def test_anything_else_stays_as_it_is(cell):
    assert guard(cell) is cell and unguard(cell) is cell


texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=6) | st.text(
    "'=+-@\t\r\n ＝a"
)


@given(texts)
def test_taking_the_guard_off_gives_the_text_back(cell):
    guarded = guard(cell)
    assert unguard(guarded) == cell
    assert not guarded.lstrip(" ").startswith(tuple("=+-@\t\r\n＝＋－＠"))


@given(st.lists(st.tuples(texts, texts), min_size=1, max_size=4))
def test_ids_come_back_from_rows_and_from_tables(rows):
    """None is lost, split or changed: line breaks, separators, leading zeros and "NA" among them."""
    table = pd.DataFrame(rows, columns=["clip_id", "patient_id"])
    for text in (to_csv(table), to_csv(table.to_dict("records"))):
        pd.testing.assert_frame_equal(from_csv(text), table, check_dtype=False)


def test_the_bytes_are_those_of_csv_for_harmless_rows():
    rows = [{"clip_id": cell, "n": number} for number, cell in enumerate(HARMLESS) if "\r" not in cell]
    text = io.StringIO()
    writer = csv.DictWriter(text, ["clip_id", "n"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    assert to_csv(rows) == to_csv(pd.DataFrame(rows)) == text.getvalue()


def test_numbers_below_zero_stay_numbers_and_nothing_is_an_empty_cell():
    table = pd.DataFrame({"clip_id": ["a", "b"], "x": [-1.5, np.nan], "n": pd.array([-1, None], "Int64")})
    assert to_csv(table) == "clip_id,x,n\na,-1.5,-1\nb,,\n"
    assert to_csv([{"clip_id": "a", "x": -1.5, "n": None}]) == "clip_id,x,n\na,-1.5,\n"
    assert to_csv([], ["clip_id"]) == "clip_id\n"


def test_a_carriage_return_begins_no_row_of_its_own():
    text = to_csv([{"clip_id": "a\r=1+1", "n": 1}])
    assert text == 'clip_id,n\n"a\r=1+1",1\n'


def test_names_of_columns_are_guarded_too(tmp_path):
    """Columns of labels have the names that their owner gave them."""
    text = to_csv(pd.DataFrame({"clip_id": ["a"], "=1+1": [1]}))
    assert text.startswith("clip_id,'=1+1\n")
    (tmp_path / "folds.csv").write_bytes(text.encode("utf-8-sig"))
    assert list(read_csv(tmp_path / "folds.csv").columns) == ["clip_id", "=1+1"]
