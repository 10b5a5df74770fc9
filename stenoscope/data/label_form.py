"""What the columns of a label table are called, and what its cells mean."""

import csv
import re
import unicodedata
from collections import Counter
from dataclasses import dataclass

import numpy as np

from stenoscope.data.problems import count_of
from stenoscope.data.tables import column_key, plain_text
from stenoscope.errors import SettingsError

_NUMBER = re.compile(r"[+-]?\d+([.,]\d*)?(e[+-]?\d+)?", re.IGNORECASE)
UNKNOWN = frozenset(("", *"na n/a nan nil null <na> #n/a #nv #na - – — − ? . unknown".split()))
"""Cells of an unknown label, as `word_of` gives them."""

_BOOLEANS = {"false": 0.0, "true": 1.0}


@dataclass(frozen=True)
class LabelForm:
    """What the columns of a label table are called, and its words.

    Raises SettingsError if there is no label column, one column has two roles, or there are not two classes.
    """

    clip: str = "clip_id"
    patient: str = "patient_id"
    labels: tuple[str, ...] = ("label",)  # the first one first
    classes: tuple[str, ...] = ()  # words for normal and abnormal, in this order; empty for 0 and 1

    def __post_init__(self):
        names = [self.clip, self.patient, *self.labels]
        if len({column_key(name) for name in names} - {""}) < max(len(names), 3):
            raise SettingsError(
                f"The columns of clip, patient and labels are {', '.join(map(repr, names))}.",
                "a column of its own for each",
                "correct --clip_column, --patient_column or --label_columns.",
            )
        if self.classes and len({word_of(name) for name in self.classes} - {""}) != 2:
            raise SettingsError(
                f"classes is {','.join(self.classes)}.",
                "two words, that for normal first: normal,abnormal",
                "name one word for each class.",
            )

    @classmethod
    def of(cls, settings) -> "LabelForm":
        """As `KeyframeSettings` have it: lists are separated by commas."""
        return cls(
            settings.clip_column,
            settings.patient_column,
            _listed_names(settings.label_columns),
            _listed_names(settings.classes),
        )

    @property
    def header(self) -> tuple[str, ...]:
        """All columns."""
        return self.clip, self.patient, *self.labels

    @property
    def expected(self) -> str:
        """What a table should have."""
        values = "0, 1" if not self.classes else ", ".join(self.classes)
        return f"columns {','.join(self.header)}; labels {values}, or empty for unknown"


def label_values(cells: list[str], classes: tuple[str, ...]) -> tuple[list[float], list[int], list[str]]:
    """Labels of a column, rows that hold none, and what was read as something else than it says."""
    numbers = {word_of(name): float(value) for value, name in enumerate(classes)} or {"0": 0.0, "1": 1.0}
    values, wrong, read_as = [], [], Counter()
    signs = any(word_of(cell) == "+" for cell in cells)  # then "-" is no dash
    for row, cell in enumerate(cells):
        word = word_of(cell)
        value = numbers.get(word)
        if value is None and not classes and word in _BOOLEANS:
            value = _BOOLEANS[word]
            read_as[f"{cell} as {value:g}"] += 1
        unknown = word in UNKNOWN and not (word == "-" and signs)
        if value is None and cell and unknown:
            read_as[f"{cell} as unknown"] += 1
        if value is None and not unknown:
            wrong.append(row)
        values.append(np.nan if value is None else value)
    return values, wrong, [f"{what} ({count_of(n, 'line')})." for what, n in read_as.items()]


def word_of(cell: str) -> str:
    """What labels are compared by; 1.0 and 1,0 are 1: what programs make of 1 beside empty cells."""
    text = unicodedata.normalize("NFKC", plain_text(cell)).casefold()
    if _NUMBER.fullmatch(text):
        number = float(text.replace(",", "."))
        return str(int(number)) if number.is_integer() else text
    return text


def _listed_names(text: str) -> tuple[str, ...]:
    return tuple(
        name.strip() for row in csv.reader([text], skipinitialspace=True) for name in row if name.strip()
    )


def is_word(cell: str) -> bool:
    """Whether a cell of a label column holds what only `classes` could make a label."""
    word = word_of(cell)
    return word not in UNKNOWN and word not in _BOOLEANS and not _NUMBER.fullmatch(word)
