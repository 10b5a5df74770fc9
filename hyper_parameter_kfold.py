#!/usr/bin/env python3
"""Search settings on inner folds and test the choice on outer ones; without --trials, print all as YAML."""

import sys

from stenoscope.cli import parse, run
from stenoscope.settings import TuningSettings


def main() -> None:
    """Parse the flags and print the settings or run the study."""
    settings = parse(TuningSettings, __doc__)
    from stenoscope.stages.tune import print_settings, tune

    if settings.trials:
        tune(settings)
    else:
        print_settings()


if __name__ == "__main__":
    sys.exit(run(main))
