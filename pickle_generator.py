#!/usr/bin/env python3
"""Step 1: read the clips, choose five key frames of each, write data/keyframes/."""

import sys

from stenoscope.cli import parse, run
from stenoscope.settings import KeyframeSettings


def main() -> None:
    """Parse the flags and make the key frames."""
    settings = parse(KeyframeSettings, __doc__)
    from stenoscope.stages.keyframes import make_keyframes

    make_keyframes(settings)


if __name__ == "__main__":
    sys.exit(run(main))
