"""How the metrics of simulated cohorts grow with the number of patients.

    python benchmarks/learning_curve.py --patients 50 100 200
    python benchmarks/learning_curve.py --patients 50 100 200 400 --scratch /some/disk -- --preset quick

The largest cohort is simulated once; a smaller one is its first patients, so that the curve is of one series.
Each goes through steps 1 to 3 as a user runs them (what follows `--` are flags of main.py). All of it is kept
in --scratch, where the same command goes on after an interrupt.
"""

import argparse
import csv
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parent.parent
COLUMNS = ("patients", "clips", "clip AUC", "clip accuracy", "CAM hits", "epochs, min")


def run(*command: str | Path) -> None:
    """Run a script with what it prints shown; ends this program if it fails."""
    script, *flags = map(str, command)
    what = [str(ROOT / script)] if script.endswith(".py") else ["-m", script]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, *what, *flags], env=environment)
    if done.returncode:
        sys.exit(f"{' '.join([*what, *flags])} ended with {done.returncode}.")


def first_patients(cohort: Path, folder: Path, count: int) -> int:
    """Make a cohort of the first `count` patients of another; returns its number of clips.

    Files are hard links where the disk has them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (cohort / "labels.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    chosen = set(list(dict.fromkeys(row["patient_id"] for row in rows))[:count])
    if len(chosen) < count:
        sys.exit(f"{cohort} has {len(chosen)} patients, {count} were asked for: delete it or ask for fewer.")
    rows = [row for row in rows if row["patient_id"] in chosen]
    for row in rows:
        name = f"{row['clip_id']}.dcm"
        if not (folder / name).exists():
            try:
                os.link(cohort / name, folder / name)
            except OSError:
                shutil.copy2(cohort / name, folder / name)
    shutil.copy2(cohort / "truth.json", folder / "truth.json")
    with (folder / "labels.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    return len(rows)


def figures(experiment: Path, patients: int) -> tuple[str, ...]:
    """A row of the table, in the order of `COLUMNS`."""
    summary = json.loads((experiment / "summary.json").read_text())
    auc, cam = summary["clip_auc"], summary["localisation"]["cam"]
    minutes = sum(pd.read_csv(path)["seconds"].sum() for path in experiment.glob("fold_*/history.csv")) / 60
    low, high = auc["ci95"]
    hit_low, hit_high = cam["hit"]["ci95"]
    return (
        str(patients),
        str(len(pd.read_csv(experiment / "predictions.csv")["clip_id"].unique())),
        f"{auc['pooled']:.3f} ({low:.3f} to {high:.3f})",
        f"{summary['clip_accuracy']['pooled']:.3f}",
        f"{cam['hit']['mean']:.0%} ({hit_low:.0%} to {hit_high:.0%}) of {cam['clips']}",
        f"{minutes:.0f}",
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Make every cohort, train on it and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--patients", type=int, nargs="+", default=[50, 100, 200])
    parser.add_argument("--seed", type=int, default=7, help="of the simulation")
    parser.add_argument("--scratch", type=Path, default=Path("results/learning_curve"))
    parser.add_argument("flags", nargs="*", help="of main.py, after --")
    given = parser.parse_args(arguments)

    scratch = given.scratch.resolve()
    cohort = scratch / f"phantom_{max(given.patients)}"
    run(
        "stenoscope.phantom",
        "--patients",
        str(max(given.patients)),
        "--seed",
        str(given.seed),
        "--output",
        cohort,
    )
    table = Table(title=" ".join(["main.py", *given.flags]), title_justify="left")
    for name in COLUMNS:
        table.add_column(name)
    for patients in sorted(given.patients):
        folder = scratch / str(patients)
        clips, keyframes, folds = (folder / name for name in ("phantom", "keyframes", "folds"))
        first_patients(cohort, clips, patients)
        run("pickle_generator.py", "--input", clips, "--output", keyframes)
        run("data_loader_kfold.py", "--input", keyframes, "--output", folds)
        run("main.py", "--input", folds, "--experiment", folder / "experiment", *given.flags)
        table.add_row(*figures(folder / "experiment", patients))
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
