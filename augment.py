#!/usr/bin/env python3
"""Draw one key frame in its 25 variants and as training sees it: results/augment/*.png.

The step is `stenoscope/app/augment.py`, its settings `AugmentSettings` in `stenoscope/settings.py`.
"""

import sys

from stenoscope.app.start import script

if __name__ == "__main__":
    sys.exit(script("augment"))
