#!/usr/bin/env python3
"""Draw one key frame in its 25 variants and as training sees it: results/augment/*.png.

example:
  python augment.py --input data/keyframes --clip p001_c1
"""

import sys

from stenoscope.run import interrupts

if __name__ == "__main__":
    interrupts.install()  # before the imports that take time

from stenoscope.run.arguments import parse
from stenoscope.run.cli import run
from stenoscope.settings import AugmentSettings


def main() -> None:
    """Parse the flags and draw the sheet."""
    settings = parse(AugmentSettings, __doc__)
    from stenoscope.app.augment import draw_variants

    draw_variants(settings)


if __name__ == "__main__":
    sys.exit(run(main))
