#!/usr/bin/env python3
"""Step 1: read the clips, choose five key frames of each, write data/keyframes/.

examples:
  python pickle_generator.py --check FOLDER
  python pickle_generator.py FOLDER --labels FOLDER/labels.csv --output data/mine/keyframes
"""

import sys

from stenoscope.run import interrupts

if __name__ == "__main__":
    interrupts.install()  # before the imports that take time

from stenoscope.run.arguments import parse
from stenoscope.run.cli import run
from stenoscope.settings import KeyframeSettings

INPUT = ("input", "Folder of clips, or one clip; the same as --input.")
MODES = {
    "check": (
        "Only verify the folder: every file, label and patient. Writes OUTPUT/check/intake.csv and "
        "intake.html there and ends with status 1 if something would stop step 1 or invalidate a test.",
        {},
    ),
}
"""Runs that make no key frames."""


def main() -> int | None:
    """Parse the flags and make the key frames, or check what they would be made of."""
    settings, mode = parse(KeyframeSettings, __doc__, positional=INPUT, modes=MODES)
    if mode == "check":
        from stenoscope.app.check import check

        return check(settings)
    from stenoscope.app.keyframes import make_keyframes

    return make_keyframes(settings)


if __name__ == "__main__":
    sys.exit(run(main))
