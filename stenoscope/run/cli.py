"""What every script shows: errors, progress, lines for the user and the closing table."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from stenoscope.errors import StenoscopeError, not_written
from stenoscope.run import interrupts


def run(stage: Callable[[], Any]) -> int:
    """Call `stage` and turn a user's error into one paragraph; returns the exit status.

    0 finished, unless the stage itself returns another; 2 an error the user can fix, told without a
    traceback; 130 interrupted.
    """
    try:
        with interrupts.working():
            try:
                return stage() or 0
            except OSError as problem:  # of a folder, or of what a library writes by itself
                storage = not_written(problem.filename or "A file", problem, only_full=True)
                if storage is None:
                    raise
                raise storage from problem
    except BaseException as problem:
        if isinstance(problem, KeyboardInterrupt) or interrupts.asked():
            print(interrupts.TEXT, file=sys.stderr)
            return interrupts.STATUS
        if not isinstance(problem, StenoscopeError):
            raise
        complain(str(problem))
    return 2


def complain(text: str) -> None:
    """Print an error for the user."""
    from rich.console import Console
    from rich.text import Text

    Console(stderr=True, soft_wrap=True).print(Text.assemble(("error:", "bold red"), " ", text))


@contextlib.contextmanager
def progress(description: str, total: int, every: float = 60.0) -> Iterator[Callable[[], None]]:
    """Show how far long work is; yields the function to call after each step.

    A bar on a terminal. Elsewhere (a log, `nohup`) a line with what is left, the first one after ten seconds
    and then one in `every` seconds; with 0 after each step.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Lines(description, total, every).step
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(description, total=total)
        yield lambda: bar.advance(task)


class _Lines:
    """Progress where no bar can be drawn."""

    def __init__(self, description: str, total: int, every: float):
        self._description, self._total, self._every = description, total, every
        self._done, self._kept = 0, 0
        self._began = self._last = time.monotonic()
        self._next = self._began + min(10.0, every)

    def step(self) -> None:
        """Count one step, and print the line if it is time."""
        now = time.monotonic()
        self._done += 1
        if now - self._last < 0.02 and self._kept == self._done - 1:
            self._kept, self._began = self._done, now  # an earlier run did it: tells nothing of the speed
        self._last = now
        if now < self._next:
            return
        self._next = now + self._every
        left = self._total - self._done
        text = f"{self._description}: {self._done} of {self._total}"
        if left and self._done > self._kept:
            text += f", {duration((now - self._began) * left / (self._done - self._kept))} left"
        print(text, file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """A rough time for a person, such as ``about 3 min``."""
    if seconds < 90:
        return f"about {max(1, round(seconds))} s"
    return f"about {round(seconds / 60)} min" if seconds < 5400 else f"about {seconds / 3600:.1f} h"


def say(text: str, style: str = "") -> None:
    """Print a line for the user as it is, brackets and all; `style` is rich's (``bold``, ``dim``)."""
    from rich.console import Console
    from rich.text import Text

    Console(soft_wrap=True, highlight=False).print(Text(text, style))


def finish(title: str, rows: Sequence[tuple[str, str]], next_command: str | None) -> None:
    """Print the short table that ends every script: what was made, where, and what to run next."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(
        title=Text(title, "bold"), title_justify="left", show_header=False, box=None, padding=(0, 2)
    )
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(Text(name), Text(str(value)))
    console = Console(soft_wrap=False)
    console.print()
    console.print(table)
    if next_command:
        console.print(
            Text.assemble("\n  next:  ", (next_command, "bold")), soft_wrap=True
        )  # to be copied whole
