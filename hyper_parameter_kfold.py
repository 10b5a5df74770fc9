#!/usr/bin/env python3
"""Search settings on inner folds and test the choice on outer ones; without --trials, print all as YAML.

The step is `stenoscope/app/tune.py`, its settings `TuningSettings` in `stenoscope/settings.py`.
"""

import sys

from stenoscope.app.start import script

if __name__ == "__main__":
    sys.exit(script("tune"))
