"""Where an experiment's heatmaps point in clips that it never saw and whose lesions are known.

    python pickle_generator.py --input ../shared/data/arcade --output data/arcade
    python benchmarks/pointing.py --keyframes data/arcade --experiment results/demo --limit 40

The key frames may be of any data set with lesion boxes (ARCADE, Kemerovo, CADICA, a simulated cohort). The
folds' models vote as in `main.py predict`; a clip's maps are taken at the key frame of the highest mean
probability among those with a box, and measured as in step 3, beside the same null baselines. Nothing is
trained or chosen on these clips. Intervals: 95 %, bootstrap over patients (over clips where none are named).
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from rich.console import Console
from rich.progress import track

from stenoscope.app.ensemble import ensemble_maps, ensemble_probabilities, load_learners
from stenoscope.app.explain import lesion_boxes
from stenoscope.data.clipset import ClipSet
from stenoscope.errors import DatasetError
from stenoscope.evaluation.localisation import score_baselines, score_clip, summarise_localisation
from stenoscope.learners.protocol import Learner
from stenoscope.report.tables import localisation_table
from stenoscope.results.experiment import read_experiment
from stenoscope.vesselness.combined import vessel_mask
from stenoscope.vesselness.hessian import vesselness
from stenoscope.vesselness.overlays import clear_field


def annotated(clips: ClipSet, limit: int) -> list[int]:
    """Clips with a box in at least one key frame; with a limit, so many, evenly spread over them.

    Raises
    ------
    DatasetError
        If there are none.
    """
    found = [clip for clip in range(len(clips)) if any(len(lesion_boxes(clips, clip, k)) for k in range(5))]
    if not found:
        raise DatasetError(f"{clips.path} has no lesion box in a key frame.", "clips of known lesions")
    if not limit or limit >= len(found):
        return found
    return [found[i] for i in np.linspace(0, len(found) - 1, limit).round().astype(int)]


def measure(learners: list[Learner], clips: ClipSet, chosen: list[int]) -> pd.DataFrame:
    """Scores of every map and baseline of the chosen clips, in the columns of `summarise_localisation`."""
    rows = []
    for clip in track(chosen, description="pointing", console=Console(stderr=True), transient=True):
        frames = clips.frames[clip]
        probabilities = ensemble_probabilities(learners, frames).mean(axis=0)
        known = [k for k in range(len(frames)) if len(lesion_boxes(clips, clip, k))]
        keyframe = max(known, key=lambda k: probabilities[k])
        boxes = lesion_boxes(clips, clip, keyframe)
        clip_id = clips.clip_ids[clip]
        inside = clear_field(frames)
        ids = {"patient_id": clips.patient_ids[clip] or clip_id, "clip_id": clip_id}
        for method in learners[0].methods(learners[0].settings):
            heatmap = ensemble_maps(learners, frames[keyframe : keyframe + 1], method)[0]
            rows.append({**ids, "method": method, **score_clip(heatmap, boxes, inside=inside)._asdict()})
        frame = frames[keyframe]
        found = score_baselines(vessel_mask(frame), vesselness(frame), boxes, inside=inside)
        for name, score in found.items():
            rows.append({**ids, "method": name, **score._asdict()})
    return pd.DataFrame(rows)


def main() -> None:
    """Parse the command line, apply the experiment, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--keyframes", type=Path, required=True, help="folder that pickle_generator.py wrote")
    parser.add_argument("--experiment", type=Path, required=True, help="a finished experiment")
    parser.add_argument("--limit", type=int, default=0, help="at most so many clips; 0 = all")
    parser.add_argument("--threads", type=int, default=2, help="of the tensor library (default: 2)")
    options = parser.parse_args()
    trained = read_experiment(options.experiment).trained
    clips = ClipSet.open(options.keyframes)
    chosen = annotated(clips, options.limit)
    learners = load_learners(options.experiment, trained, options.threads)
    table = measure(learners, clips, chosen)
    console = Console(highlight=False)
    console.print(localisation_table(summarise_localisation(table)))


if __name__ == "__main__":
    main()
