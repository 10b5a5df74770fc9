"""Command-line arguments from the settings: flags, YAML files, presets, help, and what to say of a slip."""

import argparse
import inspect
import re
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

from stenoscope.errors import SettingsError, nearest
from stenoscope.presets import ABOUT, PRESETS, preset
from stenoscope.run.cli import complain
from stenoscope.settings import TrainingSettings

Settings = TypeVar("Settings")

_EXPECTED = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}


def parse(
    settings_class: type[Settings],
    description: str,
    argv: Sequence[str] | None = None,
    positional: tuple[str, str] | None = None,
    prog: str | None = None,
    modes: Mapping[str, tuple[str, Mapping[str, Any]]] | None = None,
    commands: Collection[str] = (),
) -> Settings | tuple[Settings, Any]:
    """Turn command-line arguments into a settings record.

    Every field becomes a flag (dashes and underscores are the same); ``--config FILE`` reads YAML,
    ``--print_config`` writes it, unknown keys are refused. `TrainingSettings` also gets ``--preset``, whose
    values are defaults that the file and the flags override. Arguments that can't be understood end the
    process with status 2 and one sentence.

    Parameters
    ----------
    settings_class : type
        A dataclass of `stenoscope.settings`.
    description : str
        First paragraphs of ``--help``, shown line by line.
    argv : sequence of str, optional
        Arguments; those of the process by default.
    positional : (name, help), optional
        Ask for one or more positional arguments as well and return them beside the settings. If the name is
        that of a setting, one argument may be given instead of its flag, and nothing else is returned.
    prog : str, optional
        What the user typed before the flags, for ``--help``; by default the script's name.
    modes : mapping of str to (help, defaults), optional
        Flags without value, of which one may be given, with the defaults that it changes; they are no
        settings and appear in no file. The one that was given, or None, is returned beside the settings.
    commands : collection of str, optional
        Words that the script takes as its first argument, for the message about a mistyped one.
    """
    argv = _with_underscores(sys.argv[1:] if argv is None else list(argv), spaced=not positional)
    modes = modes or {}
    types = {item.name: item.type for item in fields(settings_class)}
    parser = _parser(settings_class, description, prog, positional, modes)
    parser.slips = _Slips(types, argv, modes, commands)
    _check_flags(parser, argv)
    chosen = [name for name in modes if f"--{name}" in argv]
    if len(chosen) > 1:
        parser.error(f"--{' and --'.join(chosen)} are different runs: give one of them.")
    keys = {*types, *positional[:1]} if positional else {*types}
    for path in _values(argv, "config"):
        _check_file(parser, path, keys)
    if settings_class is TrainingSettings:
        name = _preset_name(argv)
        if name not in PRESETS:
            parser.error(parser.slips.value("preset", name))
        parser.set_defaults(preset(name))
    for name in chosen:
        parser.set_defaults(dict(modes[name][1]))
    namespace = parser.parse_args(argv)
    values = {name: value for name, value in vars(namespace).items() if name in types}
    settings = settings_class(**values)
    if modes:
        return settings, chosen[0] if chosen else None
    if positional and positional[0] not in types:
        return settings, list(getattr(namespace, positional[0]))
    return settings


def config_file(argv: Sequence[str] | None = None) -> str | None:
    """Path that the arguments name with --config, the last one if there are several; None without it."""
    return next(iter(reversed(_values(sys.argv[1:] if argv is None else argv, "config"))), None)


def groups_of(settings_class: type) -> dict[str, str]:
    """Group of each field of a settings class: the comment above its block, or empty."""
    groups, group = {}, ""
    for line in inspect.getsource(settings_class).splitlines():
        if found := re.match(r" {4}# (\w.*)", line):
            group = found[1]
        elif found := re.match(r" {4}(\w+):", line):
            groups[found[1]] = group
    return groups


class _Mode(argparse.Action):
    """A flag that leaves no trace among the settings: `parse` looks for it in the arguments."""

    def __init__(self, option_strings, dest, help=None, **_):
        super().__init__(option_strings, argparse.SUPPRESS, nargs=0, default=argparse.SUPPRESS, help=help)

    def __call__(self, parser, namespace, values, option_string=None):
        """Nothing to note."""


class _Instead(argparse.Action):
    """An argument that gives a setting without its flag."""

    def __init__(self, option_strings, dest, setting, help=None, **_):
        super().__init__([], argparse.SUPPRESS, "?", default=argparse.SUPPRESS, help=help, metavar="FOLDER")
        self.setting = setting

    def __call__(self, parser, namespace, values, option_string=None):
        """Set it, unless its flag says something else."""
        if values is None or values == argparse.SUPPRESS:
            return
        if any(value != values for value in _values(parser.slips.argv, self.setting)):
            parser.error(f"{values} and --{self.setting} name different things: give one of them.")
        setattr(namespace, self.setting, values)


def _parser(settings_class, description, prog, positional, modes):
    """The parser, its flags in the groups that the settings' comments make."""
    from jsonargparse import ArgumentParser, DefaultHelpFormatter, set_parsing_settings

    class Help(argparse.RawDescriptionHelpFormatter, DefaultHelpFormatter):
        """Keeps the lines of the description and of the presets."""

    class Parser(ArgumentParser):
        """Tells of a slip in one sentence, without the page of usage."""

        slips: _Slips

        def error(self, message, ex=None):
            """End with status 2."""
            complain(self.slips.sentence(str(message)))
            raise SystemExit(2)

    set_parsing_settings(docstring_parse_attribute_docstrings=True)  # the help texts stand under the fields
    training = settings_class is TrainingSettings
    name = prog or Path(sys.argv[0]).name
    own = positional is not None and positional[0] in {item.name for item in fields(settings_class)}
    word = "" if not positional else " [FOLDER]" if own else f" {positional[0].upper().rstrip('S')}..."
    parser = Parser(
        prog=name,
        usage=f"{'' if name.startswith('python ') else 'python '}{name}{word} [--flag value ...]",
        description=inspect.cleandoc(description),
        epilog="\n".join(["presets:", *(f"  {n:10}{ABOUT[n]}" for n in ABOUT)]) if training else None,
        formatter_class=Help,
        allow_abbrev=False,
    )
    parser.add_argument("--config", action="config", help="YAML file with settings; flags override it.")
    if positional:
        if own:
            parser.add_argument("folder", action=_Instead, setting=positional[0], help=positional[1])
        else:
            shown = positional[0].upper().rstrip("S")
            parser.add_argument(positional[0], nargs="+", metavar=shown, help=positional[1])
    for mode, (text, _) in modes.items():
        parser.add_argument(f"--{mode}", action=_Mode, help=text)
    parser.add_class_arguments(settings_class, as_group=False, sub_configs=False)
    titles = groups_of(settings_class)
    groups = {
        title: parser.add_argument_group(title or "Settings") for title in dict.fromkeys(titles.values())
    }
    for action in list(parser._actions):
        if action.dest in titles:
            for group in parser._action_groups:
                if action in group._group_actions:
                    group._group_actions.remove(action)
            groups[titles[action.dest]]._group_actions.append(action)
    return parser


class _Slips:
    """Turns what a parser complains of into a sentence for the user."""

    def __init__(self, types: Mapping[str, Any], argv: Sequence[str], modes: Collection[str], commands):
        self._types, self.argv, self._modes, self._commands = types, argv, modes, commands

    def sentence(self, message: str) -> str:
        """What to print; `message` itself where nothing better is known."""
        if found := re.match(r'Parser key "(\w+)":.*Got value: (.*)', message, re.DOTALL):
            return self.value(found[1], found[2])
        if found := re.match(r"argument --(\w+): invalid choice: '(.*)' \(", message):
            return self.value(found[1], found[2])
        if found := re.match(r"argument --(\w+): expected one argument", message):
            name = found[1]
            return f"--{name} needs a value: {expected(self._types.get(name, str))}."
        if found := re.match(r"argument --(\w+): ignored explicit argument", message):
            return f"--{found[1]} takes no value."
        if message.startswith("unrecognized arguments: "):
            return self._word(message.removeprefix("unrecognized arguments: ").split(" ")[0])
        if message.startswith("the following arguments are required"):
            return "Name at least one clip or folder of clips; --help shows an example."
        return message.splitlines()[0]

    def value(self, name: str, value: str) -> str:
        """Of a value that its setting does not take."""
        kind = Literal[tuple(ABOUT)] if name == "preset" else self._types.get(name, str)
        near = nearest(value, get_args(kind)) if get_origin(kind) is Literal else ""
        flag = f"--{name}" if _values(self.argv, name) else f"The setting {name}"
        return f"{flag} is {value!r}; expected {expected(kind)}{near or '.'}"

    def _word(self, word: str) -> str:
        if self._commands and word == self.argv[0]:
            near = nearest(word, self._commands)
            return f"There is no command {word!r}{near or f'; the commands are {_listed(self._commands)}.'}"
        previous = dict(pairwise(reversed(self.argv))).get(word, "").removeprefix("--")
        if previous in self._modes:
            return f"--{previous} takes no value, but {word!r} follows it."
        return f"{word!r} is an argument too many; --help shows what is taken."


def expected(kind: Any) -> str:
    """Values of a setting's type, in words."""
    if get_origin(kind) is Literal:
        return "one of " + ", ".join(map(str, get_args(kind)))
    return _EXPECTED.get(kind, "a text")


def _listed(words: Collection[str]) -> str:
    return " and ".join(words)


def _check_flags(parser, argv: Sequence[str]) -> None:
    """Refuse what looks like a flag and is none, naming the one that was meant."""
    known = [flag for action in parser._actions for flag in action.option_strings]
    for argument in argv:
        if argument == "--":
            return
        flag = argument.partition("=")[0]
        if flag in known or not re.match(r"--?[A-Za-z]", flag):
            continue
        near = nearest("--" + flag.lstrip("-").replace("-", "_"), [name for name in known if len(name) > 2])
        parser.error(f"There is no flag {flag}{near or '; --help lists them all.'}")


def _check_file(parser, path: str, known: Collection[str]) -> None:
    """Refuse a file of settings with keys that are none."""
    for key in _content(path):
        if key not in known:
            near = nearest(str(key), known) or "."
            parser.error(f"{path} has the setting {key!r}, which does not exist{near}")


def _values(argv: Sequence[str], name: str) -> list[str]:
    """Values that the arguments give for a flag, in their order."""
    found = []
    for argument, following in pairwise([*argv, ""]):
        flag, equals, value = argument.partition("=")
        if flag == f"--{name}":
            found.append(value if equals else following)
    return found


def _with_underscores(argv: list[str], spaced: bool) -> list[str]:
    """`--learning-rate 1` and `--learning_rate 1` are the same flag; a bare boolean flag means true.

    With `spaced` whatever follows a boolean flag and is no flag is its value: there are no other words.
    """
    result = []
    for position, argument in enumerate(argv):
        if argument.startswith("--"):
            name, equals, value = argument[2:].partition("=")
            argument = "--" + name.replace("-", "_") + equals + value
            following = argv[position + 1] if position + 1 < len(argv) else "--"
            bare = following.startswith("-") or not (spaced or following.lower() in ("true", "false"))
            alone = (argument[2:] in _BOOLEANS and bare) or (
                argument[2:] in _OPTIONAL and following.startswith("--")
            )
            if not equals and alone:
                argument += "=true"
        result.append(argument)
    return result


def _preset_name(argv: Sequence[str]) -> str:
    """Value of --preset, or of the key `preset` in a --config file: needed before the flags are parsed."""
    if named := _values(argv, "preset"):
        return named[0] or "cpu"  # the parser itself refuses a missing one
    names = [_content(path).get("preset") for path in _values(argv, "config")]
    return next((str(name) for name in reversed(names) if name is not None), "cpu")


def _content(path: str) -> dict:
    """Settings in a YAML file; empty if they are no mapping, which the parser refuses.

    Raises
    ------
    SettingsError
        If it can't be read.
    """
    import yaml

    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as problem:
        raise SettingsError(f"{path} can't be read: {problem}", "a YAML file of settings") from problem
    return content if isinstance(content, dict) else {}


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
