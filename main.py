#!/usr/bin/env python3
"""Step 3: train, test and explain one experiment over the folds, write results/<experiment>/.

examples:
  python main.py --input data/folds --preset quick --experiment results/quick
  python main.py predict PATH... --experiment results/quick    apply it to new clips
  python main.py export --experiment results/quick             write its models as one ONNX file
"""

import sys

from stenoscope.run import interrupts

if __name__ == "__main__":
    interrupts.install()  # before the imports that take time

from stenoscope.run.arguments import config_file, parse
from stenoscope.run.cli import run
from stenoscope.settings import ExportSettings, PredictSettings, TrainingSettings

PREDICT = """Apply a finished experiment to new clips.

example:
  python main.py predict new/clip1.dcm new/clip2.dcm --experiment results/demo
"""
EXPORT = """Write the models of a finished experiment as one ONNX file.

example:
  python main.py export --experiment results/demo
"""
MODES = {
    "study": (
        "Train the four arms of the paper (original, original + attention, augmentation, augmentation + "
        "attention) on the same folds and compare them; EXPERIMENT is then results/study by default.",
        {"experiment": "results/study"},
    ),
    "audit": (
        "Train the same arm under patient-wise, clip-wise and frame-wise folds and with shuffled labels, to "
        "measure what leaks are worth; written to EXPERIMENT/audit. --inner_share does not apply.",
        {},
    ),
}
"""Runs of several experiments, and the defaults they change."""


def main() -> None:
    """Parse the flags and train, compare, audit, predict, or export."""
    if sys.argv[1:2] == ["predict"]:
        settings, paths = parse(
            PredictSettings,
            PREDICT,
            sys.argv[2:],
            positional=("paths", "Clips, or folders of clips, in any layout that step 1 takes."),
            prog="main.py predict",
        )
        from stenoscope.app.predict import predict

        predict(paths, settings)
        return
    if sys.argv[1:2] == ["export"]:
        settings = parse(
            ExportSettings,
            EXPORT,
            sys.argv[2:],
            prog="main.py export",
        )
        from stenoscope.app.export import export

        export(settings)
        return
    settings, mode = parse(TrainingSettings, __doc__, modes=MODES, commands=("predict", "export"))
    if mode == "study":
        from stenoscope.app.study import study

        study(settings)
    elif mode == "audit":
        from stenoscope.app.audit import audit

        audit(settings)
    else:
        from stenoscope.app.train import train

        train(settings, config_file())


if __name__ == "__main__":
    sys.exit(run(main))
