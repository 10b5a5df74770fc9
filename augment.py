#!/usr/bin/env python3
"""Draw one key frame in all its 25 variants: results/augment/sheet.png."""

import sys

from stenoscope.cli import parse, run
from stenoscope.settings import AugmentSettings


def main() -> None:
    """Parse the flags and draw the sheet."""
    settings = parse(AugmentSettings, __doc__)
    from stenoscope.stages.augment import draw_variants

    draw_variants(settings)


if __name__ == "__main__":
    sys.exit(run(main))
