"""Step 2: split the clips into five folds and write the fold files."""

import os
from pathlib import Path

from stenoscope import claims, locks, provenance
from stenoscope.cli import finish, progress, say
from stenoscope.dataset.clipset import ClipSet
from stenoscope.errors import DatasetError
from stenoscope.folds import files, split
from stenoscope.records import NUM_FOLDS
from stenoscope.settings import FoldSettings


@locks.released()
def make_folds(settings: FoldSettings) -> None:
    """Draw the folds, write the 15 files, `folds.csv` and `manifest.json`.

    Raises
    ------
    DatasetError
        If step 1 has not finished, the clips carry no labels, or a class has fewer than 5 patients.
    """
    source, output = Path(settings.input), Path(settings.output)
    provenance.read_manifest(source, "keyframes", "python pickle_generator.py")
    clips = ClipSet.open(source)
    if not clips.label_names:
        raise DatasetError(
            f"{source} holds key frames without labels.",
            "a label for every clip",
            "run `python pickle_generator.py --labels FILE` with a CSV file clip_id,patient_id,label.",
        )
    inputs = {"clips.pickle": clips.sha256}
    if claims.claim(output, "folds", settings, inputs, settings.overwrite):
        say(f"{output} is up to date; the saved split is kept.")
        counts = provenance.read_manifest(output, "folds", files.MADE_BY)["counts"]
    else:
        clips.verify()
        folds = split.make_folds(clips.labels, clips.patient_ids, settings.seed)
        counts = files.write_folds(output, clips, folds, settings.seed)
        if settings.materialize:
            with progress("augmented training frames", NUM_FOLDS * 25) as step:
                for fold in folds:
                    files.write_materialized(output, clips, fold, on_variant=step)
        names = sorted(path.name for path in output.glob("fold*") if path.is_file())
        provenance.write_manifest(
            output,
            "folds",
            settings,
            inputs,
            counts,
            seed=settings.seed,
            clips_folder=Path(os.path.relpath(source, output)).as_posix(),
            outputs={name: provenance.sha256_file(output / name) for name in names},
        )
    rows = [("folds", f"{output}: {NUM_FOLDS} x train, valid (test part), mean; folds.csv")]
    rows += [
        (
            f"fold {row['fold']}",
            f"{row['patients']} test patients, {row['normal']} normal and {row['abnormal']} abnormal clips",
        )
        for row in counts["folds"]
    ]
    if counts["unlabelled"]:
        rows.append(("left out", f"{counts['unlabelled']} clips with an empty label"))
    finish(f"Step 2: {counts['clips']} clips of {counts['patients']} patients", rows, "python main.py")
