"""Tables as laboratories have them: CSV in the dialects of Excel, LibreOffice, R and pandas, and `.xlsx`.

Cells stay text. What a spreadsheet may have done to a value is told by `damage`, never guessed away.
"""

import codecs
import csv
import datetime
import io
import os
import re
import unicodedata
import warnings
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from stenoscope.run.access import kind_of
from stenoscope.run.csv_files import unguard
from stenoscope.errors import DatasetError, printable

_FIX = "save it as .xlsx or as 'CSV UTF-8'."
_SEPARATORS = ",;\t|"
_HEAD = 20  # lines among which the header is looked for: titles and blank lines may come first
_MAX_UNPACKED = 512 * 2**20  # bytes; a label table of a million lines takes about 100 MiB
_OLD_EXCEL = bytes.fromhex("d0cf11e0a1b11ae1")
_BINARY = re.compile("[\0-\x08\x0e-\x19]")  # control characters that no text has
_BOMS = {  # the longest first: that of UTF-32 begins with that of UTF-16
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
_DAMAGES = {
    "(?s).*[\ud800-\udfff]": "is not UTF-8 text: save the table as 'CSV UTF-8' or .xlsx",
    "=$": "is a formula without its value: open the table in a spreadsheet and save it; a name that "
    "begins with = is written with an apostrophe before it",
    r"#(REF|VALUE|DIV/0|NUM|NULL|BEZUG|WERT|ZAHL|VALEUR|NOMBRE)!|#NAME\?|#N/?[AV]\b": "is an error of a formula",
    r"(?i)\d([.,]\d+)?E\+\d+$": "is a number that a program has shortened: make the column text",
    r"(\d{4}-\d\d-\d\d)?T\d+:\d\d": "is a date: a spreadsheet made it of an id; make the column text",
}

Record = tuple[int, list[str]]
"""Number of a line, from 1, and its cells."""


@dataclass(frozen=True)
class Table:
    """A table: what stands in its header, and its lines."""

    path: Path
    header: list[str]  # as written; empty for a column without a name
    # number of the line in the file, from 1, and a stripped text for each column; no blank lines
    rows: list[Record]
    notes: list[str] = field(default_factory=list)  # what was passed over or read in a special way
    faults: list[str] = field(default_factory=list)  # lines that do not fit the header

    def columns(self, name: str) -> list[int]:
        """Positions of the columns of a name, by the rule of `column_key`."""
        return [at for at, found in enumerate(self.header) if column_key(found) == column_key(name)]

    def named(self, at: int) -> str:
        """What a reader is told of a column."""
        return printable(self.header[at]) or f"column {at + 1} (no name)"


def read_table(path: str | os.PathLike, wanted: Sequence[str]) -> Table:
    """Read a table; its header is the first line that has most of the `wanted` columns, or else the first line.

    A workbook gives the one sheet that has them. Text is UTF-8, or UTF-16 or UTF-32 with a byte-order mark,
    separated by commas, semicolons, tabs or bars, with any line ends. Lines before the header, blank lines,
    empty columns without a name and R's row names are passed over. Raises DatasetError if it is no such file,
    or several sheets have the columns.
    """
    path = Path(path)
    if kind := kind_of(path):
        raise DatasetError(f"{path} is {kind}.", "a table", "give the file itself.")
    try:
        data = path.read_bytes()
    except OSError as problem:
        raise DatasetError(
            f"{path} can't be read: {problem.strerror}.", "a table", "check its path."
        ) from problem
    keys = {column_key(name) for name in wanted}
    if data.startswith(b"PK\3\4"):
        sheets = _workbook(path, data)
    elif data.startswith(_OLD_EXCEL):
        raise DatasetError(f"{path} is an .xls file or has a password.", "an .xlsx file or a CSV file", _FIX)
    else:
        sheets = {"": (_parsed(path, _text(path, data), keys), [])}
    heads = {name: _header_at(records, keys) for name, (records, _) in sheets.items()}
    most = max((count for count, _ in heads.values()), default=0)
    best = [name for name, (count, _) in heads.items() if count == most]
    if not any(records for records, _ in sheets.values()):
        raise DatasetError(f"{path} is not a readable CSV: it is empty.", "a header line", _FIX)
    if len(best) > 1 and most:
        names = ", ".join(repr(name) for name in best)
        raise DatasetError(
            f"{path} has several sheets with such columns: {names}.", "one", "delete the others."
        )
    records, notes = sheets[best[0]]
    if len(sheets) > 1:
        notes = [f"Of {path.name}, the sheet {best[0]!r} is read.", *notes]
    return _table(path, records, heads[best[0]][1], notes)


def plain_text(text: str) -> str:
    """A cell in NFC, without characters that can't be seen, blanks of any kind as single blanks."""
    seen = "".join(char for char in unicodedata.normalize("NFC", text) if unicodedata.category(char) != "Cf")
    return " ".join(seen.split())


def column_key(name: str) -> str:
    """What names of columns are compared by: case, blanks, dots, hyphens and `csv_files.guard` do not count.

    Examples
    --------
    >>> column_key("Clip ID") == column_key("clip.id") == column_key("#clip_id")
    True
    """
    text = unicodedata.normalize("NFKC", unguard(plain_text(name))).casefold()
    return re.sub(r"[\s._-]+", "_", text.lstrip("#")).strip("_")


def damage(cell: str) -> str:
    """What a program has made of a value, such as a number in place of an id; empty if nothing shows."""
    return next((what for pattern, what in _DAMAGES.items() if re.match(pattern, cell)), "")


def _text(path: Path, data: bytes) -> str:
    """The file's text; bytes that are no UTF-8 become surrogates, which `damage` tells where it matters."""
    bom, encoding = next(((bom, name) for bom, name in _BOMS.items() if data.startswith(bom)), (b"", "utf-8"))
    if not bom and b"\0" in data[:200]:  # UTF-16 without its mark: every other byte of ASCII text is 0
        encoding = "utf-16-le" if data[1:2] == b"\0" else "utf-16-be"
    try:
        text = data[len(bom) :].decode(encoding, "surrogateescape" if encoding == "utf-8" else "strict")
    except UnicodeDecodeError:
        text = "\0"
    if _BINARY.search(text[:10_000]):
        raise DatasetError(f"{path} is not a text file.", "a table as text, or .xlsx", _FIX)
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _parsed(path: Path, text: str, keys: set[str]) -> list[Record]:
    """The records of a text, split at the separator that shows most of the wanted columns."""
    head = text.split("\n")[:_HEAD]
    counts = {}
    for separator in _SEPARATORS:
        rows = csv.reader(head, delimiter=separator, skipinitialspace=True)
        counts[separator] = _header_at([(0, row) for row in rows], keys)[0]
    first = next((line for line in head if line.strip()), "")
    separator = max(_SEPARATORS, key=lambda char: (counts[char], first.count(char)))
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True, strict=True
    )
    records, start = [], 1
    try:
        for row in reader:
            records.append((start, [_unwrapped(cell.strip()) for cell in row]))
            start = reader.line_num + 1
    except csv.Error as problem:
        raise DatasetError(
            f"{path} is not a readable CSV: line {start} can't be split into columns ({problem}).",
            "quotation marks in pairs",
            f"correct this line, or {_FIX}",
        ) from problem
    return [(line, row) for line, row in records if any(row)]


def _unwrapped(cell: str) -> str:
    """``007`` of ``="007"``, which keeps Excel from dropping the zeros."""
    found = re.fullmatch(r'="([^"]*)"', cell)
    return found[1].strip() if found else cell


def _named(cell: str) -> str:
    """A cell without a name's guard; ``=`` for a formula: it has no guard, and its value is not known."""
    return "=" if cell.startswith("=") else unguard(cell)


def _header_at(records: Sequence[Record], keys: set[str]) -> tuple[int, int]:
    """How many of the wanted columns the likeliest header has, and its place; the first record if none."""
    counts = [len(keys & {column_key(cell) for cell in row}) for _, row in records[:_HEAD]]
    most = max(counts, default=0)
    return most, counts.index(most) if most else 0


def _table(path: Path, records: list[Record], at: int, notes: list[str]) -> Table:
    titles = [line for line, row in records[:at] if not re.fullmatch(r'"?sep=.?"?', row[0], re.IGNORECASE)]
    if titles:
        several = f"lines {', '.join(map(str, titles))} are" if len(titles) > 1 else f"line {titles[0]} is"
        notes = [*notes, f"In {path.name}, {several} above the header and passed over."]
    (_, header), rows = records[at], records[at + 1 :]
    while header and not header[-1]:
        header = header[:-1]
    width, faults = len(header), []
    if rows and _row_names([row for _, row in rows], width):
        rows = [(line, row[1:]) for line, row in rows]
        notes = [
            *notes,
            f"The first column of {path.name} has no name in the header: row names, passed over.",
        ]
    for line, row in rows:
        if any(row[width:]):
            count = max(place for place, cell in enumerate(row, start=1) if cell)
            faults.append(f"line {line}: {count} values, but the header names {width} columns")
    filled = [(line, (row + [""] * width)[:width]) for line, row in rows]
    used = [bool(name) or any(row[place] for _, row in filled) for place, name in enumerate(header)]
    kept = [
        (line, [_named(cell) for cell, use in zip(row, used, strict=True) if use]) for line, row in filled
    ]
    return Table(path, [name for name, use in zip(header, used, strict=True) if use], kept, notes, faults)


def _row_names(rows: list[list[str]], width: int) -> bool:
    """Whether each line begins with its number and has one cell more than the header: R's write.table."""
    firsts = [row[0] for row in rows]
    counted = any(firsts == [str(number) for number in range(low, low + len(rows))] for low in (0, 1))
    return counted and all(len(row) == width + 1 for row in rows) and any(row[-1] for row in rows)


def _workbook(path: Path, data: bytes) -> dict[str, tuple[list[Record], list[str]]]:
    """The records of each sheet of an .xlsx file by its name, and notes on it."""
    import openpyxl

    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            size, names = sum(item.file_size for item in archive.infolist()), set(archive.namelist())
        if "xl/workbook.xml" not in names or size > _MAX_UNPACKED:
            raise DatasetError(f"{path} is no .xlsx file of usual size.", "an .xlsx file or a CSV file", _FIX)
        with warnings.catch_warnings():  # of features that concern no value, such as drop-down lists
            warnings.simplefilter("ignore")
            shown, typed = (
                openpyxl.load_workbook(io.BytesIO(data), data_only=only) for only in (True, False)
            )
        return {sheet.title: _sheet(sheet, typed[sheet.title]) for sheet in shown.worksheets}
    except DatasetError:
        raise
    except Exception as problem:  # openpyxl passes on whatever its XML and zip readers raise
        raise DatasetError(f"{path} can't be read as .xlsx: {problem}.", "a whole file", _FIX) from problem


def _sheet(sheet, typed) -> tuple[list[Record], list[str]]:
    """Records of a sheet; `typed` has its formulas, of which `sheet` has the values."""
    rows: dict[int, dict[int, str]] = {}
    for (row, column), cell in typed._cells.items():  # only those that are there: a sheet has 17 billion
        value = sheet.cell(row, column).value
        formula = cell.data_type == "f" and value is None
        text = "=" if formula else _cell_text(value, cell.number_format)
        if text:
            rows.setdefault(row, {})[column] = text
    for merged in sheet.merged_cells.ranges:  # one value beside several lines
        value = rows.get(merged.min_row, {}).get(merged.min_col, "")
        for row in rows.keys() & set(range(merged.min_row, merged.max_row + 1)):
            rows[row].setdefault(merged.min_col, value)
    records = [
        (row, [cells.get(column, "") for column in range(1, max(cells) + 1)]) for row, cells in rows.items()
    ]
    hidden = [*sheet.column_dimensions.values(), *sheet.row_dimensions.values()]
    notes = []
    if any(dimension.hidden for dimension in hidden):
        notes = [f"Hidden rows and columns of the sheet {sheet.title!r} are read as well."]
    return sorted(records), notes


def _cell_text(value, number_format: str) -> str:
    """What a cell shows, as far as ids and labels go."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, (int, float)):
        if abs(value) >= 10**15:  # a spreadsheet keeps 15 digits
            return f"{value:.5E}"
        whole = int(value) if value == int(value) else value
        zeros = re.fullmatch("0+", number_format)  # 7 shown as 007
        return str(whole).zfill(len(zeros[0])) if zeros else str(whole)
    if isinstance(value, datetime.date):
        return value.isoformat() if isinstance(value, datetime.datetime) else f"{value.isoformat()}T00:00"
    if isinstance(value, (datetime.time, datetime.timedelta)):
        return f"T{value}"
    return str(value).strip()
