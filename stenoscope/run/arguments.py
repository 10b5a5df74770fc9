"""Command-line arguments of a step from its settings: flags, files, presets, subcommands, help, errors."""

import argparse
import inspect
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import yaml
from jsonargparse import ActionConfigFile, ArgumentParser, DefaultHelpFormatter

from stenoscope.errors import SettingsError, nearest
from stenoscope.presets import ABOUT, PRESETS, preset
from stenoscope.roles import groups_of, reasons_of
from stenoscope.run.cli import complain, run
from stenoscope.settings import TrainingSettings

# What to say of a flag that once took other values.
_NOW_ANOTHER = {"keyframes": "A file of key frames corrected by hand is given with --corrections."}
_EXPECTED = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}


@dataclass(frozen=True)
class Given:
    """What the arguments of a step say."""

    settings: Any
    mode: str | None = None  # the step's mode that was asked for
    words: list[str] = field(default_factory=list)
    config: str | None = None  # the YAML file that was read, the last one if there were several


@dataclass(frozen=True)
class Step:
    """A command of the program."""

    # Every field of this dataclass becomes a flag (dashes and underscores are the same); ``--config FILE``
    # reads YAML, ``--print_config`` writes it, unknown keys are refused. A preset's values are defaults that
    # the file and the flags override.
    settings: type
    # Does it, from what is `Given`; returns the exit status, None for 0
    run: Callable[[Given], int | None] = lambda given: None
    about: str = ""  # the first lines of ``--help``
    examples: tuple[str, ...] = ()  # arguments to show there
    # (name, help): take positional arguments: one or more, or, if the name is that of a setting, one instead
    # of its flag
    words: tuple[str, str] | None = None
    # (help, defaults) of flags without value, of which one may be given, with the defaults that it changes;
    # they are no settings and appear in no file
    modes: Mapping[str, tuple[str, Mapping[str, Any]]] = field(default_factory=dict)


def start(
    step: Step | None, others: Mapping[str, Step], program: str, argv: Sequence[str] | None = None
) -> int:
    """Parse the arguments of this process, or `argv`, and run the step that they ask for.

    `step` is what the program does without a subcommand, None if one must be named; `others` are its
    subcommands; `program` is what was typed before the arguments, for the user. The exit status is that of
    `cli.run`; 2 after one sentence if the arguments can't be understood.
    """

    def stage() -> int | None:
        chosen, given = parse(step, argv, others, program)
        return chosen.run(given)

    try:
        return run(stage)
    except SystemExit as ended:  # --help, --print_config, a slip
        return ended.code


def parse(
    step: Step | None,
    argv: Sequence[str] | None = None,
    others: Mapping[str, Step] | None = None,
    program: str = "python",
) -> tuple[Step, Given]:
    """The step that the arguments ask for, and what they say of it; parameters as of `start`."""
    top = _Parser(step, program, others or {})
    namespace = top.parse_args(argv)
    name = namespace.get("subcommand")
    if name and top.argv[0] != name:
        top.error(f"unrecognized arguments: {name}")
    if not (name or step):
        top.error(f"Name a command: {', '.join(top.others)}; --help tells what they do.")
    parser, namespace = (top.others[name], namespace[name]) if name else (top, namespace)
    settings = parser.step.settings(**{key: namespace[key] for key in parser.types})
    words = [] if parser.optional_word or not parser.step.words else list(namespace[parser.step.words[0]])
    config = parser.files[-1] if parser.files else None
    return parser.step, Given(settings, *(parser.modes or [None]), words, config)


def expected(kind: Any) -> str:
    """Values of a setting's type, in words."""
    if get_origin(kind) is Literal:
        return "one of " + ", ".join(map(str, get_args(kind)))
    return _EXPECTED.get(kind, "a text")


class _Help(argparse.RawDescriptionHelpFormatter, DefaultHelpFormatter):
    """Keeps the lines of the description and of the presets."""


class _Mode(argparse.Action):
    """A flag that leaves no trace among the settings."""

    def __init__(self, option_strings, dest, help=None, **_):
        super().__init__(option_strings, argparse.SUPPRESS, nargs=0, default=argparse.SUPPRESS, help=help)

    def __call__(self, parser, namespace, values, option_string=None):
        """Note it in the parser."""
        parser.modes = list(dict.fromkeys([*parser.modes, option_string[2:]]))
        if len(parser.modes) > 1:
            parser.error(f"--{' and --'.join(parser.modes)} are different runs: give one of them.")


class _Word(argparse.Action):
    """An argument that gives a setting without its flag."""

    def __init__(self, option_strings, dest, setting, help=None, **_):
        super().__init__([], argparse.SUPPRESS, "?", default=argparse.SUPPRESS, help=help, metavar="FOLDER")
        self.setting = setting

    def __call__(self, parser, namespace, values, option_string=None):
        """Set it, unless its flag says something else."""
        if values is None or values == argparse.SUPPRESS:
            return
        if any(value != values for value in _values(parser.argv, self.setting)):
            parser.error(f"{values} and --{self.setting} name different things: give one of them.")
        setattr(namespace, self.setting, values)


class _File(ActionConfigFile):
    """A YAML file of settings, refused if it can't be read or has other keys."""

    def __call__(self, parser, cfg, values, option_string=None):
        """Read it, and note it in the parser."""
        try:
            content = yaml.safe_load(Path(values).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as problem:
            raise SettingsError(f"{values} can't be read: {problem}", "a YAML file of settings") from problem
        known = [*parser.types, *(parser.step.words or ())[:1]]
        for key in content if isinstance(content, dict) else ():
            if key not in known:
                near = nearest(str(key), known) or "."
                parser.error(f"{values} has the setting {key!r}, which does not exist{near}")
        parser.files.append(values)
        super().__call__(parser, cfg, values, option_string)


class _Parser(ArgumentParser):
    """Reads the arguments of a step, and tells of a slip in one sentence, without the page of usage."""

    def __init__(self, step: Step | None, program: str, others: Mapping[str, Step]):
        words = step.words if step else None
        self.step = step
        self.types = {item.name: item.type for item in fields(step.settings)} if step else {}
        self.optional_word = bool(words) and words[0] in self.types
        self.training = bool(step) and step.settings is TrainingSettings
        self.argv: list[str] = []
        self.modes: list[str] = []
        self.files: list[str] = []
        shown = "[FOLDER] " if self.optional_word else f"{_shown(words)}... " if words else ""
        taken = shown if step else f"{{{','.join(others)}}} "
        super().__init__(
            prog=program,
            usage=f"{program} {taken}[--flag value ...]",
            description=_description(step, program) if step else None,
            epilog="\n".join(["presets:", *(f"  {n:10}{ABOUT[n]}" for n in ABOUT)])
            if self.training
            else None,
            formatter_class=_Help,
            allow_abbrev=False,
        )
        if step:
            self._add(step)
        self.others = {name: _Parser(other, f"{program} {name}", {}) for name, other in others.items()}
        if others:
            commands = self.add_subcommands(required=False, metavar="COMMAND")
            for name, parser in self.others.items():
                about = others[name].about.splitlines()[0]
                commands.add_subcommand(name, parser, help=about).prog = f"{program} {name}"

    def parse_args(self, args=None, namespace=None, **how):
        """Parse the arguments, those of a preset or mode twice: its values are the defaults of the rest."""
        self.argv = args = list(sys.argv[1:] if args is None else args)
        if not self.step or (args[:1] and args[0] in self.others):
            return super().parse_args(args, namespace, **how)
        self.argv = args = self._with_underscores(args)
        self._check_flags(args)
        if self.training:
            self.modes, self.files = [], []
            shown = ("-h", "--help", "--print_config")
            quiet = [argument for argument in args if argument.partition("=")[0] not in shown]
            chosen = super().parse_args(quiet, namespace, **how).preset
            if chosen not in PRESETS:
                self.error(self._value("preset", chosen))
            changed = [self.step.modes[mode][1] for mode in self.modes]
            self.set_defaults({**preset(chosen), **(changed[0] if changed else {})})
        self.modes, self.files = [], []
        return super().parse_args(args, namespace, **how)

    def error(self, message, ex=None):
        """End with status 2."""
        complain(self._sentence(str(message)))
        raise SystemExit(2)

    def _add(self, step: Step) -> None:
        """The flags, in the groups that the settings' comments make."""
        self.add_argument("--config", action=_File, help="YAML file with settings; flags override it.")
        if self.optional_word:
            self.add_argument("folder", action=_Word, setting=step.words[0], help=step.words[1])
        elif step.words:
            self.add_argument(step.words[0], nargs="+", metavar=_shown(step.words), help=step.words[1])
        for mode, (text, _) in step.modes.items():
            self.add_argument(f"--{mode}", action=_Mode, help=text)
        titles, reasons = groups_of(step.settings), reasons_of(step.settings)
        groups = {
            title: self.add_argument_group(title or "Settings") for title in dict.fromkeys(titles.values())
        }
        for item in fields(step.settings):
            group = groups[titles[item.name]]
            group.add_argument(
                f"--{item.name}", type=item.type, default=item.default, help=reasons[item.name]
            )

    def _with_underscores(self, argv: list[str]) -> list[str]:
        """`--learning-rate 1` and `--learning_rate 1` are the same flag; a bare boolean flag means true.

        Where a step takes no words, whatever follows a boolean flag and is no flag is its value.
        """
        result = []
        for argument, following in pairwise([*argv, "--"]):
            if argument.startswith("--"):
                name, equals, value = argument[2:].partition("=")
                name = name.replace("-", "_")
                kind = self.types.get(name)
                bare = following.startswith("-") or (
                    self.step.words and following.lower() not in ("true", "false")
                )
                alone = (kind is bool and bare) or (kind == bool | str and following.startswith("--"))
                argument = f"--{name}{'=true' if alone and not equals else equals + value}"
            result.append(argument)
        return result

    def _check_flags(self, argv: Sequence[str]) -> None:
        """Refuse what looks like a flag and is none, naming the one that was meant."""
        known = [flag for action in self._actions for flag in action.option_strings]
        for argument in argv:
            if argument == "--":
                return
            flag = argument.partition("=")[0]
            if flag in known or not re.match(r"--?[A-Za-z]", flag):
                continue
            near = nearest(
                "--" + flag.lstrip("-").replace("-", "_"), [name for name in known if len(name) > 2]
            )
            self.error(f"There is no flag {flag}{near or '; --help lists them all.'}")

    def _sentence(self, message: str) -> str:
        """What to print; `message` itself where nothing better is known."""
        if found := re.match(r'Parser key "(\w+)":.*Got value: (.*)', message, re.DOTALL):
            return self._value(found[1], found[2])
        if found := re.match(r"argument --(\w+): expected one argument", message):
            return f"--{found[1]} needs a value: {expected(self.types.get(found[1], str))}."
        if found := re.match(r"argument --(\w+): ignored explicit argument", message):
            return f"--{found[1]} takes no value."
        if found := re.match(r"argument COMMAND: invalid choice: '(.*)' \(", message, re.DOTALL):
            return self._word(found[1])
        if message.startswith("unrecognized arguments: "):
            return self._word(message.removeprefix("unrecognized arguments: ").split(" ")[0])
        if message.startswith("the following arguments are required"):
            return "Name at least one clip or folder of clips; --help shows an example."
        return message.splitlines()[0]

    def _value(self, name: str, value: Any) -> str:
        kind = Literal[tuple(PRESETS)] if name == "preset" else self.types.get(name, str)
        near = nearest(value, get_args(kind)) if get_origin(kind) is Literal else ""
        flag = f"--{name}" if _values(self.argv, name) else f"The setting {name}"
        hint = _NOW_ANOTHER.get(name, "")
        return f"{flag} is {value!r}; expected {expected(kind)}{near or '.'}{hint and ' ' + hint}"

    def _word(self, word: str) -> str:
        if self.others and word == self.argv[0]:
            *most, last = self.others
            known = f"; the commands are {', '.join(most)} and {last}."
            return f"There is no command {word!r}{nearest(word, self.others) or known}"
        previous = dict(pairwise(reversed(self.argv))).get(word, "").removeprefix("--")
        if self.step and previous in self.step.modes:
            return f"--{previous} takes no value, but {word!r} follows it."
        return f"{word!r} is an argument too many; --help shows what is taken."


def _shown(words: tuple[str, str]) -> str:
    return words[0].upper().rstrip("S")


def _description(step: Step, program: str) -> str:
    lines = [f"  {program} {example}" for example in step.examples]
    heading = ["", f"example{'s' * (len(lines) > 1)}:"] if lines else []
    return "\n".join([inspect.cleandoc(step.about), *heading, *lines])


def _values(argv: Sequence[str], name: str) -> list[str]:
    """Values that the arguments give for a flag, in their order."""
    found = []
    for argument, following in pairwise([*argv, ""]):
        flag, equals, value = argument.partition("=")
        if flag == f"--{name}":
            found.append(value if equals else following)
    return found
