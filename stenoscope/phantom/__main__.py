"""``python -m stenoscope.phantom``: write a cohort of simulated angiograms."""

import sys

from stenoscope.run import interrupts

if __name__ == "__main__":
    interrupts.install()  # before the imports that take time

from collections.abc import Sequence

from stenoscope.run.arguments import Given, Step, start
from stenoscope.run.cli import finish, progress
from stenoscope.run.commands import after_phantom, program
from stenoscope.settings import PhantomSettings


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, write the cohort, say what was made; returns the exit status."""
    return start(STEP, {}, program(PhantomSettings), arguments)


def _simulate(given: Given) -> None:
    from stenoscope.phantom.cohort import plan_cohort, write_cohort

    settings = given.settings
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


STEP = Step(
    PhantomSettings,
    _simulate,
    "Step 0: a simulated cohort with known truth.",
    ("--patients 30 --output data/small",),
)

if __name__ == "__main__":
    sys.exit(main())
