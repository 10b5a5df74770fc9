"""Settings as YAML that explains itself, for `main.py --config`."""

import ast
import inspect
import textwrap
from dataclasses import fields

import yaml

from stenoscope.settings import TrainingSettings


def settings_yaml(settings: TrainingSettings, heading: str = "") -> str:
    """Write settings as YAML, each under a comment with its reason.

    Parameters
    ----------
    settings : TrainingSettings
    heading : str
        Comment at the top.

    Returns
    -------
    str
        All fields, in the order of the class.
    """
    reasons = field_reasons(type(settings))
    lines = _comment(heading) if heading else []
    for field in fields(settings):
        value = yaml.safe_dump({field.name: getattr(settings, field.name)}, allow_unicode=True).rstrip()
        lines += ["", *_comment(reasons.get(field.name, "")), value]
    return "\n".join(lines).lstrip("\n") + "\n"


def field_reasons(settings_class: type) -> dict[str, str]:
    """The text that stands under each field of a settings class, on one line."""
    (body,) = ast.parse(textwrap.dedent(inspect.getsource(settings_class))).body
    reasons = {}
    for statement, following in zip(body.body, body.body[1:], strict=False):
        if isinstance(statement, ast.AnnAssign) and isinstance(following, ast.Expr):
            reasons[statement.target.id] = " ".join(str(following.value.value).split())
    return reasons


def _comment(text: str) -> list[str]:
    return textwrap.wrap(text, width=100, initial_indent="# ", subsequent_indent="# ")
