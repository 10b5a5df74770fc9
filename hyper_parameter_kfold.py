#!/usr/bin/env python3
"""Search settings on inner folds and test the choice on outer ones; without --trials, print all as YAML.

example:
  python hyper_parameter_kfold.py --trials 20 --study results/tuning/study
"""

import sys

from stenoscope.run import interrupts

if __name__ == "__main__":
    interrupts.install()  # before the imports that take time

from stenoscope.run.arguments import parse
from stenoscope.run.cli import run
from stenoscope.settings import TuningSettings


def main() -> None:
    """Parse the flags and print the settings or run the study."""
    settings = parse(TuningSettings, __doc__)
    from stenoscope.app.tune import print_settings, tune

    if settings.trials:
        tune(settings)
    else:
        print_settings()


if __name__ == "__main__":
    sys.exit(run(main))
