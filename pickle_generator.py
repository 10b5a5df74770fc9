#!/usr/bin/env python3
"""Step 1: read the clips, choose the key frames of each, write data/keyframes/.

The step is `stenoscope/app/keyframes.py` (`--check`: `check.py`), its settings `KeyframeSettings` in
`stenoscope/settings.py`.
"""

import sys

from stenoscope.app.start import script

if __name__ == "__main__":
    sys.exit(script("keyframes"))
