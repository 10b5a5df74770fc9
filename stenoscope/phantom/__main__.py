"""``python -m stenoscope.phantom``: write a cohort of simulated angiograms."""

import sys

from jsonargparse import ArgumentParser
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from stenoscope.errors import StenoscopeError
from stenoscope.phantom.cohort import write_cohort
from stenoscope.settings import PhantomSettings


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line, write the cohort, print what was made; returns the exit status."""
    parser = ArgumentParser(prog="python -m stenoscope.phantom", description=PhantomSettings.__doc__)
    parser.add_argument("--config", action="config", help="YAML file of settings")
    parser.add_class_arguments(PhantomSettings)
    values = parser.parse_args(arguments).as_dict()
    values.pop("config", None)
    settings = PhantomSettings(**values)
    console = Console()
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    try:
        with Progress(*columns, console=Console(stderr=True)) as bar:
            task = bar.add_task("simulating clips", total=None)
            counts = write_cohort(settings, lambda done, total: bar.update(task, completed=done, total=total))
    except StenoscopeError as problem:
        Console(stderr=True).print(f"[red]{type(problem).__name__}[/red] {problem}", highlight=False)
        return 2
    table = Table("made", "count", title=f"Simulated cohort in {settings.output}")
    for name, count in counts.items():
        table.add_row(name, str(count))
    console.print(table)
    console.print(f"Files: *.dcm, labels.csv, truth.json, truth_masks/ in {settings.output}", soft_wrap=True)
    console.print(f"Next: python pickle_generator.py --input {settings.output}", soft_wrap=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
