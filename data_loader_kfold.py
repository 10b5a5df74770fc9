#!/usr/bin/env python3
"""Step 2: split the clips into folds by patient, write data/folds/.

The step is `stenoscope/app/folds.py`, its settings `FoldSettings` in `stenoscope/settings.py`.
"""

import sys

from stenoscope.app.start import script

if __name__ == "__main__":
    sys.exit(script("folds"))
