import datetime

import openpyxl
import pytest

from stenoscope.data.tables import column_key, damage, read_table
from stenoscope.errors import DatasetError

WANTED = ("clip_id", "patient_id", "label")
LINES = "clip_id,patient_id,label\nrun 0,A,0\nrun 1,B,1\n"


def read(tmp_path, content):
    path = tmp_path / "labels.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_table(path, WANTED)


def workbook(tmp_path, *sheets, **cells):
    """An .xlsx file of sheets (name, rows); `cells` are set in the first one."""
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets:
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    for place, value in cells.items():
        book.worksheets[0][place] = value
    book.save(tmp_path / "labels.xlsx")
    return tmp_path / "labels.xlsx"


@pytest.mark.parametrize(
    "content, first_line",
    [
        (LINES, 2),
        (LINES.replace("\n", "\r"), 2),
        (LINES.replace(",", ";").encode("utf-16"), 2),
        (LINES.replace(",", "\t").encode("utf-16-le"), 2),
        ("\ufeffsep=|\n" + LINES.replace(",", "|"), 3),
        ("\n\n,,\nCoronary study, 2024,\n" + LINES, 6),
        (LINES.replace("\n", ",,\n"), 2),
        (LINES.replace("0\n", "0,\n"), 2),
        ('"clip_id","patient_id","label"\n"1","run 0","A",0\n"2","run 1","B",1\n', 2),
        ("#Clip-ID,patient.id,LABEL\n" + LINES.partition("\n")[2], 2),
        ('clip_id,patient_id,label\n="run 0",A,"=""0"""\nrun 1,B,1', 2),
    ],
)
def test_dialects_give_the_same_lines(tmp_path, content, first_line):
    table = read(tmp_path, content)
    assert [column_key(name) for name in table.header] == list(WANTED) and not table.faults
    assert [row for _, row in table.rows] == [["run 0", "A", "0"], ["run 1", "B", "1"]]
    assert table.rows[0][0] == first_line


def test_what_was_passed_over_is_said(tmp_path):
    assert read(tmp_path, "sep=,\n" + LINES).notes == []
    (note,) = read(tmp_path, "Study\n" + LINES).notes
    assert note == "In labels.csv, line 1 is above the header and passed over."
    (note,) = read(tmp_path, "clip_id,patient_id,label\n0,run 0,A,0\n1,run 1,B,1\n").notes
    assert "row names" in note


def test_lines_that_do_not_fit_the_header_are_faults(tmp_path):
    rows = "clip_id,patient_id,label,remark\nrun 0,A,0,ok, see report\n3,run 1,B,1,x\n"
    assert read(tmp_path, rows).faults == [
        "line 2: 5 values, but the header names 4 columns",
        "line 3: 5 values, but the header names 4 columns",
    ]


def test_lines_are_counted_as_an_editor_does(tmp_path):
    table = read(tmp_path, 'remark,clip_id,label\n"two\nlines",a,0\n\nx,b,1\n')
    assert [line for line, _ in table.rows] == [2, 5]
    with pytest.raises(DatasetError, match="line 5 can't be split"):
        read(tmp_path, 'remark,clip_id,label\n"two\nlines",a,0\n\n"x,b,1\n')


def test_bytes_of_other_encodings_reach_only_their_own_cells(tmp_path):
    table = read(
        tmp_path, "clip_id,patient_id,label,비고\nrun 0,A,0,정상\nrun 1,Ä,1,\n".encode("cp949", "ignore")
    )
    assert [row[0] for _, row in table.rows] == ["run 0", "run 1"] and "\\xba" in table.named(3)
    assert "UTF-8" in damage(table.rows[0][1][3]) and damage("run 0") == ""


@pytest.mark.parametrize(
    "content", [b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1 old", b"PK\3\4 broken", b"\0\1\2\3" * 9, b""]
)
def test_what_is_no_table_is_one_error(tmp_path, content):
    with pytest.raises(DatasetError, match=r"labels\.csv"):
        read(tmp_path, content)


def test_a_folder_or_nothing_in_place_of_a_table(tmp_path):
    for path in (tmp_path, tmp_path / "missing.csv"):
        with pytest.raises(DatasetError, match=r"a folder|can't be read"):
            read_table(path, WANTED)


@pytest.mark.parametrize(
    "cell, what",
    [
        ("=", "formula"), ("#REF!", "error"), ("#N/A", "error"), ("1.23457E+11", "shortened"),
        ("1e+05", "shortened"), ("2024-03-01T00:00:00", "date"), ("A\udcc4", "UTF-8"),
    ],
)  # fmt: skip
def test_what_programs_make_of_ids_is_told(cell, what):
    assert what in damage(cell)
    assert damage("=A1+1") == damage("5E3") == damage("p=1") == damage("2024-03-01") == damage("007") == ""


def test_a_workbook_is_read_as_it_is_seen(tmp_path):
    rows = [["Study of 2024"], [], list(WANTED), [7, 12.0, True], ["run 1", None, 0], ["run 2", "B", None]]
    path = workbook(tmp_path, ("Notes", [["nothing", "here"]]), ("Labels", rows))
    book = openpyxl.load_workbook(path)
    book["Labels"]["A4"].number_format = "000"
    book["Labels"].merge_cells("B4:B5")
    book["Labels"].row_dimensions[6].hidden = True
    book.save(path)
    table = read_table(path, WANTED)
    assert table.rows == [(4, ["007", "12", "TRUE"]), (5, ["run 1", "12", "0"]), (6, ["run 2", "B", ""])]
    assert "sheet 'Labels' is read" in table.notes[0] and "Hidden" in table.notes[1]
    assert "line 1 is above" in table.notes[2]


def test_cells_that_hold_no_value_of_their_own(tmp_path):
    path = workbook(tmp_path, ("S", [WANTED]), A2="=B2", B2=datetime.date(2024, 3, 1), C2=10**15)
    ((_, row),) = read_table(path, WANTED).rows
    assert [damage(cell).split(":")[0] for cell in row] == [
        "is a formula without its value",
        "is a date",
        "is a number that a program has shortened",
    ]


def test_two_sheets_with_labels_are_refused(tmp_path):
    path = workbook(tmp_path, ("old", [WANTED]), ("new", [WANTED]))
    with pytest.raises(DatasetError, match="'old', 'new'"):
        read_table(path, WANTED)


def test_a_cell_at_the_end_of_a_sheet_costs_no_memory(tmp_path):
    path = workbook(tmp_path, ("S", [WANTED, ["a", "p", 1]]), XFD1048576="x")
    table = read_table(path, WANTED)
    assert table.rows[0] == (2, ["a", "p", "1"]) and len(table.rows) == 2 and len(table.faults) == 1
