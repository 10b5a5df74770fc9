"""The leakage audit: the same training under folds that leak, and with nothing to learn."""

from dataclasses import replace
from pathlib import Path

from stenoscope.app.fold_inputs import open_folds
from stenoscope.app.leaks import CLIP, FRAME, PATIENT
from stenoscope.app.study import compare
from stenoscope.app.train import begin_experiment, end_experiment, fold_tasks, gather, undone
from stenoscope.app.train_worker import FoldJob
from stenoscope.data.clipset import ClipSet
from stenoscope.results.files import PREDICTIONS, read_json
from stenoscope.run import claims, locks, provenance
from stenoscope.run.cli import finish, say
from stenoscope.run.cluster import Run
from stenoscope.settings import TrainingSettings

LEAKING = (CLIP, FRAME)
ARMS = (PATIENT, *LEAKING, "shuffled")
"""Folders of the arms in `EXPERIMENT/audit/`, the honest one first."""

_OWN = (
    ("inner_share", 0.0,
     "frame-wise folds leave no patients to hold out, and all arms train on equal shares"),
    ("shuffle_labels", False, "one of its arms has shuffled labels, the others need the true ones"),
)  # fmt: skip
"""Settings that an audit has its own values of, and why."""


@locks.released()
def audit(settings: TrainingSettings) -> None:
    """Train under honest and under leaking folds, and with shuffled labels; write `EXPERIMENT/audit/`.

    ``patient``: the folds of step 2. ``clip``: clips are split without regard to patients. ``frame``: key
    frames are split without regard to clips. ``shuffled``: the folds of step 2, labels as with
    `shuffle_labels`. The arms `patient` and `shuffled` are complete experiments. Nothing is held out to
    calibrate on, so that all arms train on equal shares: other settings are reported and not followed.
    Resumes after an interrupt. A DatasetError if the folds or key frames are missing or damaged, or the
    folder holds another audit.
    """
    clips, folds, inputs = open_folds(settings.input)
    folder = Path(settings.experiment) / "audit"
    for name, own, why in _OWN:
        if (value := getattr(settings, name)) != own:
            say(f"{name} is {value}; the audit takes {own}: {why}.")
    settings = replace(settings, **{name: own for name, own, _ in _OWN})
    if claims.claim(folder, "audit", settings, inputs, settings.overwrite):
        say(f"{folder} is finished already; nothing to do.")
    else:
        with fold_tasks(settings) as tasks:
            arms = {
                arm: replace(settings, experiment=(folder / arm).as_posix(), shuffle_labels=arm == "shuffled")
                for arm in ARMS
            }
            jobs = {arm: _begin(arm, own, clips, inputs, folder) for arm, own in arms.items()}
            tasks.expect(job for some in jobs.values() for job in some or ())
            for number, (arm, own) in enumerate(arms.items(), start=1):
                say(f"Arm {number} of {len(ARMS)}: {arm}", "bold")
                if arm not in LEAKING:
                    end_experiment(own, clips, folds, inputs, jobs[arm], tasks)
                elif jobs[arm] is not None:
                    tasks.finish(jobs[arm])
                    gather(folder / arm, clips.label_names)
                    provenance.seal(folder / arm, [PREDICTIONS])

        folders = {arm: folder / arm for arm in ARMS}
        compare(folder, "audit", folders, settings, inputs, mixed=("frame",), unpaired=("shuffled",))

    from stenoscope.report.comparison_page import AUDIT, AUDIT_ARMS, audit_finding, write_audit_report
    from stenoscope.report.tables import print_comparison

    report = write_audit_report(folder)
    found = read_json(folder / AUDIT)["arms"]
    print_comparison("The same training under four splits", found, AUDIT_ARMS)
    finish(
        "What it means",
        [(AUDIT_ARMS[arm], audit_finding(arm, found[arm])) for arm in ARMS]
        + [("report", str(report)), ("table", str(folder / "audit.csv"))],
        None,
    )


def _begin(
    arm: str, settings: TrainingSettings, clips: ClipSet, inputs: dict[str, str], folder: Path
) -> list[FoldJob] | None:
    """The folds of an arm that are still to be trained; None if the arm is finished."""
    if arm not in LEAKING:
        return begin_experiment(settings, clips, inputs)
    if provenance.check_seal(folder / arm):
        return None
    return undone(settings, inputs, Run.of(folder), arm, maps=False)
