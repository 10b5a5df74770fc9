#!/usr/bin/env python3
"""Step 3: train, test and explain one experiment over the folds, write results/<experiment>/.

The step is `stenoscope/app/train.py` (`--study`: `study.py`, `--audit`: `audit.py`), its settings are in
`stenoscope/training_settings.py`. `main.py predict` and `main.py export` are `predict.py` and `export.py`.
"""

import sys

from stenoscope.app.start import script

if __name__ == "__main__":
    sys.exit(script("train", "predict", "export"))
