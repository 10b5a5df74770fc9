"""Step 2: split the clips into folds and write the fold files."""

import os
from dataclasses import replace
from pathlib import Path

from stenoscope.app.inputs import say_if_labels_changed
from stenoscope.data.clipset import ClipSet
from stenoscope.errors import DatasetError, SettingsError
from stenoscope.folds import files, split
from stenoscope.folds.keep import keep_folds, read_kept
from stenoscope.run import claims, locks, provenance
from stenoscope.run.cli import finish, progress, say
from stenoscope.run.commands import after_folds, again, typed
from stenoscope.settings import FoldSettings, KeyframeSettings


@locks.released()
def make_folds(settings: FoldSettings) -> None:
    """Draw the folds, or keep those there are; write three files each, `folds.csv` and `manifest.json`.

    A DatasetError if step 1 has not finished, the clips carry no labels, a class has too few patients for the
    folds, or folds that are to be kept do not fit the clips; a SettingsError if another number of folds is
    asked for than there is to keep.
    """
    source, output = Path(settings.input), Path(settings.output)
    clips = ClipSet.open(source)
    if not clips.label_names:
        raise DatasetError(
            f"{source} holds key frames without labels.",
            "a label for every clip",
            f"run `{again(KeyframeSettings, source, labels='FILE', overwrite=True)}` with a CSV file "
            "clip_id,patient_id,label.",
        )
    say_if_labels_changed(source)
    inputs = {"clips.pickle": clips.sha256}
    kept, replaces = {}, settings.overwrite
    if settings.keep_folds:
        origin = output if settings.keep_folds is True else Path(settings.keep_folds)
        kept = read_kept(origin)
        if settings.folds not in (FoldSettings.folds, max(kept.values())):
            raise SettingsError(
                f"folds is {settings.folds}, and {origin} has {max(kept.values())} to keep.",
                "the same number",
                "leave --folds out, or --keep_folds.",
            )
        settings = replace(settings, folds=max(kept.values()))
        if origin.resolve() == output.resolve():
            replaces = True  # by the same folds: nothing is lost
        else:
            inputs["folds kept"] = provenance.sha256_json(kept)
    # The old folds.csv stays until the new one takes its place: a run that is killed can go on.
    spare = (files.FOLDS_CSV,) if settings.keep_folds is True else ()
    if claims.claim(output, "folds", settings, inputs, replaces, spare):
        say(f"{output} is up to date; the saved split is kept.")
        counts = provenance.read_manifest(output, "folds", again(FoldSettings, output))["counts"]
    else:
        clips.verify()
        if kept:
            folds = keep_folds(clips.labels, clips.patient_ids, clips.clip_ids, kept)
            same = sum(clips.clip_ids[clip] in kept for fold in folds for clip in fold.valid)
            say(f"{same} clips keep their fold; {sum(len(fold.valid) for fold in folds) - same} are new.")
        else:
            folds = split.make_folds(clips.labels, clips.patient_ids, settings.seed, settings.folds)
        counts = files.write_folds(output, clips, folds, settings.seed)
        if settings.materialize:
            with progress("augmented training frames", len(folds) * 25) as step:
                for fold in folds:
                    files.write_materialized(output, clips, fold, on_variant=step)
        names = [path.name for path in output.glob("fold*") if path.is_file()]
        provenance.write_manifest(
            output,
            "folds",
            settings,
            inputs,
            counts,
            typed(),
            seed=settings.seed,
            simulated=provenance.heading(source)["simulated"],
            clips_folder=Path(os.path.relpath(source, output)).as_posix(),
            outputs=provenance.hash_files(output, names),
        )
    rows = [("folds", f"{output}: {len(counts['folds'])} x train, valid (test part), mean; folds.csv")]
    rows += [
        (
            f"fold {row['fold']}",
            f"{row['patients']} test patients, {row['normal']} normal and {row['abnormal']} abnormal clips",
        )
        for row in counts["folds"]
    ]
    if counts["unlabelled"]:
        rows.append(("left out", f"{counts['unlabelled']} clips with an empty label"))
    finish(f"Step 2: {counts['clips']} clips of {counts['patients']} patients", rows, after_folds(output))
