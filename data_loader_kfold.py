#!/usr/bin/env python3
"""Step 2: split the clips into folds by patient, write data/folds/."""

import sys

from stenoscope.cli import parse, run
from stenoscope.settings import FoldSettings


def main() -> None:
    """Parse the flags and make the folds."""
    settings = parse(FoldSettings, __doc__)
    from stenoscope.stages.folds import make_folds

    make_folds(settings)


if __name__ == "__main__":
    sys.exit(run(main))
