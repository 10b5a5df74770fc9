#!/usr/bin/env python3
"""Step 2: split the clips into folds by patient, write data/folds/.

example:
  python data_loader_kfold.py --input data/mine/keyframes --output data/mine/folds
"""

import sys

from stenoscope.run import interrupts

if __name__ == "__main__":
    interrupts.install()  # before the imports that take time

from stenoscope.run.arguments import parse
from stenoscope.run.cli import run
from stenoscope.settings import FoldSettings


def main() -> None:
    """Parse the flags and make the folds."""
    settings = parse(FoldSettings, __doc__)
    from stenoscope.app.folds import make_folds

    make_folds(settings)


if __name__ == "__main__":
    sys.exit(run(main))
