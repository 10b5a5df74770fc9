#!/usr/bin/env python3
"""Step 3: train, test and explain one experiment over the five folds, write results/<experiment>/.

``main.py predict PATH... --experiment results/demo`` applies a finished experiment to new clips.
"""

import sys

from stenoscope.cli import parse, run
from stenoscope.settings import PredictSettings, TrainingSettings


def main() -> None:
    """Parse the flags and train, or predict."""
    if sys.argv[1:2] == ["predict"]:
        settings, paths = parse(
            PredictSettings,
            "Apply a finished experiment to new clips.",
            sys.argv[2:],
            positional=("paths", "Clips, or folders of clips."),
            prog="main.py predict",
        )
        from stenoscope.stages.predict import predict

        predict(paths, settings)
    else:
        settings = parse(TrainingSettings, __doc__)
        from stenoscope.stages.train import train

        train(settings)


if __name__ == "__main__":
    sys.exit(run(main))
