"""Settings as YAML that explains itself, for `main.py --config`."""

import textwrap
from dataclasses import fields

import yaml

from stenoscope.roles import reasons_of
from stenoscope.settings import TrainingSettings


def settings_yaml(settings: TrainingSettings, heading: str = "") -> str:
    """All settings as YAML in the order of their class, each under its reason; `heading` on top."""
    reasons = reasons_of(type(settings))
    lines = _comment(heading) if heading else []
    for field in fields(settings):
        value = yaml.safe_dump({field.name: getattr(settings, field.name)}, allow_unicode=True).rstrip()
        lines += ["", *_comment(reasons.get(field.name, "")), value]
    return "\n".join(lines).lstrip("\n") + "\n"


def _comment(text: str) -> list[str]:
    return textwrap.wrap(text, width=100, initial_indent="# ", subsequent_indent="# ")
