"""``python -m stenoscope.phantom``: write a cohort of simulated angiograms."""

import sys

from stenoscope.run import interrupts

if __name__ == "__main__":
    interrupts.install()  # before the imports that take time

from collections.abc import Sequence

from stenoscope.phantom.cohort import plan_cohort, write_cohort
from stenoscope.run.arguments import parse
from stenoscope.run.cli import finish, progress, run
from stenoscope.run.commands import after_phantom
from stenoscope.settings import PhantomSettings

_EXAMPLE = "example:\n  python -m stenoscope.phantom --patients 30 --output data/small"


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, write the cohort, say what was made; returns the exit status."""
    return run(lambda: _simulate(arguments))


def _simulate(arguments: Sequence[str] | None) -> None:
    prog = "python -m stenoscope.phantom"
    settings = parse(PhantomSettings, f"{PhantomSettings.__doc__}\n\n{_EXAMPLE}", arguments, prog=prog)
    with progress("simulating clips", len(plan_cohort(settings.patients, settings.seed))) as step:
        counts = write_cohort(settings, step)
    rows = [
        ("clips", f"{settings.output}/*.dcm ({counts['clips']} clips of {counts['patients']} patients)"),
        (
            "labels",
            f"{settings.output}/labels.csv ({counts['normal']} normal, {counts['abnormal']} abnormal)",
        ),
        ("truth", f"{settings.output}/truth.json, truth_masks/ (lesion boxes, phases of contrast, vessels)"),
    ]
    finish(f"Step 0: {counts['frames']} simulated frames", rows, after_phantom(settings.output))


if __name__ == "__main__":
    sys.exit(main())
