"""What a researcher is told of a cohort: a sentence, how bad it is, where, and what to do."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

SEVERITIES = ("leak", "stop", "warning", "note")
"""Kinds of problems, the worst first: the test of a model would be void; step 1 would stop; look at it; good
to know."""

BLOCKING = frozenset(("leak", "stop"))


@dataclass(frozen=True)
class Problem:
    """Something that a researcher should know or fix."""

    severity: str  # one of `SEVERITIES`
    title: str  # one sentence
    fix: str = ""  # what to do about it; empty where there is nothing to do
    items: list[str] = field(default_factory=list)  # where it is, all of them

    @property
    def sentence(self) -> str:
        """The sentence and the first three places, for a terminal."""
        where = f" ({', '.join(self.items[:3])}{', ...' if len(self.items) > 3 else ''})"
        return self.title + (where if self.items else "")


def if_any(severity: str, items: Sequence[str], title: str, fix: str) -> list[Problem]:
    """The problem if it is anywhere, else none."""
    return [Problem(severity, title, fix, list(items))] if items else []


def in_order(problems: Iterable[Problem]) -> list[Problem]:
    """The worst first; within a severity as they came."""
    return sorted(problems, key=lambda problem: SEVERITIES.index(problem.severity))


def listed(faults: Sequence[str], most: int = 20) -> str:
    """The first faults of a file in one line, and how many more there are."""
    more = f"; and {len(faults) - most} more" if len(faults) > most else ""
    return "; ".join(faults[:most]) + more


def count_of(number: int, noun: str, plural: str = "") -> str:
    """``1 clip``, ``2 clips``."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"
