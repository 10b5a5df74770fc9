"""Packages that only some outputs need (`requirements-extra.txt`), imported when one is asked for."""

import importlib
from types import ModuleType

from stenoscope.errors import SettingsError


def extra(module: str, requirements: str = "requirements-extra.txt") -> ModuleType:
    """Import an optional module by its full name; `requirements` is the file that names its package.

    A SettingsError if its package, or one that it needs, is not installed; the text has the command that
    installs it.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as problem:
        raise SettingsError(
            f"The package {problem.name!r} is not installed.",
            f"the packages of {requirements}, which this output needs",
            f"run `pip install -r {requirements} -c requirements.lock`.",
        ) from problem
