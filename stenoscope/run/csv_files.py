"""Write and read CSV files: no text in one can run as a formula, and reading gives back what was written.

Spreadsheets run a cell that begins with ``=``, ``+``, ``-`` or ``@``, also after blanks or a tab. Ids come
from the names of files and may begin so; after an apostrophe they are plain text (OWASP, CSV injection).
"""

import io
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

_IDS = {"clip_id": str, "patient_id": str}  # text, whatever they look like

_FORMULA = re.compile(r"[\s']*[=+\-@＝＋－＠]|[ ']*[\t\r\n]")


def guard(cell: Any) -> Any:
    """A text after an apostrophe if a spreadsheet could take it for a formula; anything else as it is.

    A text that begins with apostrophes before such a sign gets one more, so that `unguard` is exact.

    Examples
    --------
    >>> guard("=1+1"), guard("P1"), guard(-1.5), guard("'=1")
    ("'=1+1", 'P1', -1.5, "''=1")
    """
    return f"'{cell}" if isinstance(cell, str) and _FORMULA.match(cell) else cell


def unguard(cell: Any) -> Any:
    """What `guard` was given."""
    return cell[1:] if isinstance(cell, str) and cell.startswith("'") and _FORMULA.match(cell) else cell


def to_csv(
    table: pd.DataFrame | Sequence[Mapping[str, Any]], columns: Sequence[str] | None = None, **options
) -> str:
    r"""Text of a CSV file, with a header and ``\n`` line ends; None and NaN are empty cells.

    `columns` are those of a sequence of mappings that may be empty, by default the first one's; `options` are
    for `DataFrame.to_csv`. The index of a table is not written.
    """
    if not isinstance(table, pd.DataFrame):
        rows = [dict(row) for row in table]
        table = pd.DataFrame(rows, columns=columns or list(rows[0]), dtype=object)
    lines = _Lines(newline="")
    _each_text(table, guard).to_csv(lines, index=False, lineterminator="\r\n", **options)
    return lines.getvalue()


def from_csv(text: str, **options) -> pd.DataFrame:
    """The table of a text of `to_csv`, guards taken off; ids are text, and so are columns with empty cells.

    `text` has the carriage returns it was written with; `options` are for `pandas.read_csv`.
    """
    if "dtype" not in options:
        options["converters"] = _IDS
    options.setdefault("keep_default_na", False)
    return _each_text(pd.read_csv(io.StringIO(text, newline=""), **options), unguard)


def read_csv(path: str | os.PathLike, **options) -> pd.DataFrame:
    """The table of a file, as `from_csv` reads it."""
    return from_csv(Path(path).read_bytes().decode("utf-8-sig"), **options)


def _each_text(table: pd.DataFrame, change: Callable[[Any], Any]) -> pd.DataFrame:
    """A copy of the table in which every text and every column's name was changed."""
    changed = table.rename(columns=change)
    for place, kind in enumerate(table.dtypes):
        if not pd.api.types.is_numeric_dtype(kind):
            changed.isetitem(place, table.iloc[:, place].map(change))
    return changed


class _Lines(io.StringIO):
    r"""Ends lines with ``\n``; `csv` quotes carriage returns in cells only if they end its lines."""

    def write(self, line: str) -> int:
        return super().write(line.removesuffix("\r\n") + "\n")
