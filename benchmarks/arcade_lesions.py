"""Real lesions from labels of crops: ARCADE's key frames, with negatives that no shortcut gives away.

    python benchmarks/arcade_lesions.py --arcade ../shared/data/arcade
    python benchmarks/arcade_lesions.py --arcade ../shared/data/arcade --arm both --phantom data/keyframes

Every frame of ARCADE's stenosis task has a lesion, so whole frames have nothing to compare. The task here is
crops of 128 px on coronary arteries, with a lesion or without.

- Crops are centred on points of vessel centre-lines. A positive's lesion lies anywhere in its central 64 px;
  a negative shares no pixel with a lesion's box. Points on ribs, catheters and noise are left out by a filter
  that was fitted to the vessel masks of the syntax task, on frames that look like no validation frame.
- Every positive has a negative that matches it in position, width of the vessel, vesselness and brightness.
  The first table says what classifiers make of those covariates alone.
- Networks learn the labels of training crops and are tested on the validation frames. The AUC of a
  cross-validation inside the training frames is printed beside, unless `--no-cross_validate`. Training frames
  that look like a validation frame's patient are left out.
- Arms: `frozen` (logistic regression on ImageNet features), `real` (real crops alone), `simulated` (crops of
  the simulated cohort, never a real one), `both` (the simulated arm's network, trained on with real crops).
  `--arm both` runs all of them. Each has a recipe of its own: `real` adds narrowings that the program
  makes in negatives (learning rate 1e-3), `both` has none (3e-4), so their difference is that of two ways to
  train, not of pre-training alone.
- Pointing: windows of 256 px around the validation lesions, scored by the maximum of the network's maps.

Intervals: 95 %, bootstrap over frames (look-alikes together). Finished parts are kept in `--results` and used
again, so an interrupted run goes on where it was.
"""

import argparse
import os
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from rich.console import Console
from rich.table import Table

from benchmarks.arcade.crops import make_cohort
from benchmarks.arcade.matching import Matcher
from benchmarks.arcade.task import SEED, Keeper, covariate_table, make_task, simulated_sources, tables_of
from stenoscope.run import cli, csv_files, provenance

ARMS = ("frozen", "real", "simulated", "both")


def show(result: dict) -> None:
    """Print the tables."""
    console = Console(width=140)
    table = Table("cohort", "what", "number", title="Crops", title_justify="left")
    for split, items in result["counts"].items():
        for name, number in items.items() if isinstance(items, dict) else [("frames", items)]:
            table.add_row(split, name, str(number))
    console.print(table)
    columns = list(next(iter(result["covariates"]["matched"].values())))
    table = Table(
        "negatives", "classifier", *columns, title="Covariates alone, AUC on val", title_justify="left"
    )
    for kind, found in result["covariates"].items():
        for name, values in found.items():
            table.add_row(kind, name, *(f"{values[column]:.3f}" for column in columns))
    console.print(table)
    table = Table(
        "arm", "AUC on val", "cross-validated in train", title="Crops, matched", title_justify="left"
    )
    for arm, found in result["arms"].items():
        crossed = found["cross-validated"]
        table.add_row(
            arm, _with(found["auc"], found["ci95"], 3), "-" if crossed is None else f"{crossed:.3f}"
        )
    console.print(table)
    if "pointing" in result:
        title = f"Pointing in windows of 256 px, networks of `{result['pointing arm']}`, %"
        table = Table("map", "windows", "hit", "hit, box + 16 px", title=title, title_justify="left")
        for method, found in result["pointing"].items():
            cells = [
                _with(100 * item["mean"], [100 * bound for bound in item["ci95"]], 0)
                for item in (found["hit"], found["hit_near"])
            ]
            table.add_row(method, str(found["windows"]), *cells)
        console.print(table)


def _with(value: float, bounds, digits: int) -> str:
    return f"{value:.{digits}f} ({bounds[0]:.{digits}f} to {bounds[1]:.{digits}f})"


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--arcade", type=Path, required=True, help="folder with stenosis/ and syntax/")
    parser.add_argument("--arm", choices=ARMS, default="real", help="see above; default: real")
    parser.add_argument(
        "--phantom", type=Path, nargs="+", default=[Path("data/keyframes")],
        help="key-frame folders of simulated cohorts (default: data/keyframes)",
    )  # fmt: skip
    parser.add_argument(
        "--results", type=Path, default=Path("results/arcade_lesions"), help="folder to write to"
    )
    parser.add_argument("--seeds", type=int, default=3, help="networks an arm averages (default: 3)")
    parser.add_argument(
        "--epochs", type=int, default=24, help="passes over the real lesions after simulated ones"
    )
    parser.add_argument(
        "--epochs_alone", type=int, default=24, help="passes of the real arm, from ImageNet's weights"
    )
    parser.add_argument("--simulated_epochs", type=int, default=7)
    parser.add_argument("--simulated_positives", type=int, default=1000, help="simulated lesions an epoch")
    parser.add_argument(
        "--cross_validate", action=argparse.BooleanOptionalAction, default=True,
        help="also cross-validate inside the training frames, which takes half of the time",
    )  # fmt: skip
    parser.add_argument("--limit", type=int, default=0, help="use so many frames of each split; 0 = all")
    parser.add_argument("--threads", type=int, default=2, help="of the tensor library (default: 2)")
    return parser.parse_args()


def main() -> None:
    """Build the task, train, measure, print."""
    options = parse()
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", str(options.threads))
    os.environ.setdefault("OMP_NUM_THREADS", str(options.threads))
    keep = Keeper(options.results)
    task, coronary, counts = make_task(keep, options.arcade, options.limit)
    result = {"counts": counts, "covariates": covariate_table(task)}
    simulated = None
    if options.arm in ("simulated", "both"):
        sources = simulated_sources(options.phantom)
        cohort = make_cohort(sources, tables_of(keep, "phantom", [item.frame for item in sources]), coronary)
        simulated = cohort, Matcher(cohort, np.random.default_rng(SEED))
        counts["simulated"] = {"frames": len(sources), "lesions that crops can show": len(cohort.lesions)}
    from benchmarks.arcade.arms import Arms, measure, point  # the tensor library reads the threads above

    which = list(ARMS) if options.arm == "both" else [options.arm]
    arms = Arms(keep, task, simulated, options)
    result["arms"], table = measure(arms, task, which)
    if which[-1] != "frozen":
        result["pointing arm"] = which[-1]
        result["pointing"] = point(arms, task, which[-1])
    provenance.write_json(options.results / "figures.json", result)
    provenance.write_text(options.results / "crops.csv", csv_files.to_csv(table))
    show(result)


if __name__ == "__main__":
    sys.exit(cli.run(main))
