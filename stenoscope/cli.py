"""The command line that all scripts share: flags from the settings, YAML configs, presets, errors, tables."""

import argparse
import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

from stenoscope.errors import SettingsError, StenoscopeError, not_written
from stenoscope.presets import PRESETS, preset
from stenoscope.settings import TrainingSettings

Settings = TypeVar("Settings")


def parse(
    settings_class: type[Settings],
    description: str,
    argv: Sequence[str] | None = None,
    positional: tuple[str, str] | None = None,
    prog: str | None = None,
    modes: Mapping[str, tuple[str, Mapping[str, Any]]] | None = None,
) -> Settings | tuple[Settings, Any]:
    """Turn command-line arguments into a settings record.

    Every field becomes a flag (dashes and underscores are the same); ``--config FILE`` reads YAML,
    ``--print_config`` writes it, unknown keys are refused. `TrainingSettings` also gets ``--preset``, whose
    values are defaults that the file and the flags override.

    Parameters
    ----------
    settings_class : type
        A dataclass of `stenoscope.settings`.
    description : str
        First paragraph of ``--help``.
    argv : sequence of str, optional
        Arguments; those of the process by default.
    positional : (name, help), optional
        Ask for one or more positional arguments as well and return them beside the settings.
    prog : str, optional
        What the user typed before the flags, for ``--help``; by default the script's name.
    modes : mapping of str to (help, defaults), optional
        Flags without value, of which one may be given, with the defaults that it changes; they are no
        settings and appear in no file. The one that was given, or None, is returned beside the settings.
    """
    from jsonargparse import ArgumentParser, DefaultHelpFormatter, set_parsing_settings

    set_parsing_settings(docstring_parse_attribute_docstrings=True)  # the help texts stand under the fields
    argv = _with_underscores(sys.argv[1:] if argv is None else list(argv))
    parser = ArgumentParser(
        prog=prog, description=description, formatter_class=DefaultHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--config", action="config", help="YAML file with settings; flags override it.")
    if settings_class is TrainingSettings:
        parser.add_argument(
            "--preset",
            default="cpu",
            choices=sorted(PRESETS),
            help="named set of settings that the file and the flags override",
        )
    if positional:
        parser.add_argument(positional[0], nargs="+", help=positional[1])
    modes = modes or {}
    for name, (text, _) in modes.items():
        parser.add_argument(f"--{name}", action=_Mode, help=text)
    parser.add_class_arguments(settings_class, as_group=False, sub_configs=False)
    chosen = [name for name in modes if f"--{name}" in argv]
    if len(chosen) > 1:
        parser.error(f"--{' and --'.join(chosen)} are different runs: give one of them.")
    if settings_class is TrainingSettings:
        parser.set_defaults(preset(_preset_name(argv)))
    for name in chosen:
        parser.set_defaults(dict(modes[name][1]))
    namespace = parser.parse_args(argv)
    known = {item.name for item in fields(settings_class)}
    settings = settings_class(**{name: value for name, value in vars(namespace).items() if name in known})
    if modes:
        return settings, chosen[0] if chosen else None
    return (settings, list(getattr(namespace, positional[0]))) if positional else settings


def config_file(argv: Sequence[str] | None = None) -> str | None:
    """Path that the arguments name with --config, the last one if there are several; None without it."""
    argv, path = list(sys.argv[1:] if argv is None else argv), None
    for argument, following in pairwise([*argv, ""]):
        flag, equals, value = argument.partition("=")
        if flag == "--config":
            path = value if equals else following
    return path


class _Mode(argparse.Action):
    """A flag that leaves no trace among the settings: `parse` looks for it in the arguments."""

    def __init__(self, option_strings, dest, help=None, **_):
        super().__init__(option_strings, argparse.SUPPRESS, nargs=0, default=argparse.SUPPRESS, help=help)

    def __call__(self, parser, namespace, values, option_string=None):
        """Nothing to note."""


def run(stage: Callable[[], Any]) -> int:
    """Call `stage` and turn a user's error into one paragraph; returns the exit status.

    0 finished, unless the stage itself returns another; 2 an error the user can fix, told without a
    traceback; 130 interrupted.
    """
    from rich.console import Console

    try:
        try:
            status = stage()
        except OSError as problem:  # of a folder, or of what a library writes by itself
            storage = not_written(problem.filename or "A file", problem, only_full=True)
            if storage is None:
                raise
            raise storage from problem
    except StenoscopeError as problem:
        Console(stderr=True, soft_wrap=True).print(f"[bold red]error:[/] {_escape(str(problem))}")
        return 2
    except KeyboardInterrupt:
        Console(stderr=True).print(
            "Interrupted. Nothing is half-written: run the same command again to continue."
        )
        return 130
    return status or 0


@contextlib.contextmanager
def progress(description: str, total: int) -> Iterator[Callable[[], None]]:
    """Show a progress bar on the terminal (nothing where the output is a file); yields the step function."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task(description, total=total)
        yield lambda: bar.advance(task)


def say(text: str) -> None:
    """Print a line for the user (rich markup allowed)."""
    from rich.console import Console

    Console(soft_wrap=True, highlight=False).print(text)


def finish(title: str, rows: Sequence[tuple[str, str]], next_command: str | None) -> None:
    """Print the short table that ends every script: what was made, where, and what to run next."""
    from rich.console import Console
    from rich.table import Table

    table = Table(
        title=title, title_justify="left", show_header=False, title_style="bold", box=None, padding=(0, 2)
    )
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(_escape(name), _escape(str(value)))
    console = Console(soft_wrap=False)
    console.print()
    console.print(table)
    if next_command:
        console.print(f"\n  next:  [bold]{_escape(next_command)}[/]")


def _escape(text: str) -> str:
    from rich.markup import escape

    return escape(text)


def _with_underscores(argv: list[str]) -> list[str]:
    """`--learning-rate 1` and `--learning_rate 1` are the same flag; a bare boolean flag means true."""
    result = []
    for position, argument in enumerate(argv):
        if argument.startswith("--"):
            name, equals, value = argument[2:].partition("=")
            argument = "--" + name.replace("-", "_") + equals + value
            following = argv[position + 1] if position + 1 < len(argv) else "--"
            alone = argument[2:] in _BOOLEANS and following.lower() not in ("true", "false")
            if not equals and (alone or (argument[2:] in _OPTIONAL and following.startswith("--"))):
                argument += "=true"
        result.append(argument)
    return result


def _preset_name(argv: Sequence[str]) -> str:
    """Value of --preset, or of the key `preset` in a --config file: needed before the flags are parsed."""
    name = "cpu"
    for position, argument in enumerate(argv):
        flag, _, value = argument.partition("=")
        value = value or (argv[position + 1] if position + 1 < len(argv) else "")
        if flag == "--config":
            name = _preset_in_file(value) or name
        elif flag == "--preset":
            return value if value in PRESETS else "cpu"  # the parser itself refuses an unknown one
    return name


def _preset_in_file(path: str) -> str | None:
    import yaml

    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as problem:
        raise SettingsError(f"{path} can't be read: {problem}", "a YAML file of settings") from problem
    name = content.get("preset") if isinstance(content, dict) else None
    return name if name in PRESETS else None


def _fields_of(*types) -> set[str]:
    from stenoscope import settings as module

    classes = [
        item
        for item in vars(module).values()
        if isinstance(item, type) and item.__name__.endswith("Settings")
    ]
    return {field.name for item in classes for field in fields(item) if field.type in types}


_BOOLEANS = _fields_of(bool)
_OPTIONAL = _fields_of(bool | str)  # flags that may stand alone or have a value
