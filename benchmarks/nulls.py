"""How often a lesion is hit by pointing without a network.

    python benchmarks/nulls.py --phantom data/phantom

Step 3 prints null baselines that need the image alone. Here they stand beside nulls that are told where the
vessels are: any pixel of the true mask, its centre-lines where they are wide enough for a lesion
(`MIN_DIAMETER_PX`), and its widest point. Frames: the true apex of each abnormal clip. Hit: box + 16 px.
"""

import argparse
import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from rich.console import Console
from rich.progress import track
from rich.table import Table
from scipy.ndimage import distance_transform_edt
from skimage.morphology import skeletonize

from stenoscope.evaluation.intervals import bootstrap_statistic
from stenoscope.evaluation.localisation import score_baselines, score_clip
from stenoscope.imaging.dicom import read_dicom
from stenoscope.phantom.lesions import MIN_DIAMETER_PX
from stenoscope.vesselness.combined import vessel_mask
from stenoscope.vesselness.hessian import vesselness


def null_hits(frame: np.ndarray, truth: np.ndarray, boxes: np.ndarray) -> dict[str, float]:
    """Hit of each null on one frame (uint8) with its true vessel mask (bool) and boxes, float (k, 4)."""
    found = {
        name.replace("_", " "): score.hit
        for name, score in score_baselines(vessel_mask(frame), vesselness(frame), boxes).items()
    }
    width = 2 * distance_transform_edt(truth)
    told = {
        "any pixel of the true mask": truth,
        f"true centre-lines, {MIN_DIAMETER_PX:g} px and wider": skeletonize(truth)
        & (width >= MIN_DIAMETER_PX),
        "widest point of the true mask": width,
    }
    return found | {name: score_clip(points.astype(float), boxes).hit for name, points in told.items()}


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--phantom", type=Path, default=Path("data/phantom"), help="a simulated cohort")
    folder = parser.parse_args().phantom
    cv2.setNumThreads(1)
    patients = pd.read_csv(folder / "labels.csv", dtype=str).set_index("clip_id")["patient_id"]
    rows = []
    for clip_id, known in track(
        json.loads((folder / "truth.json").read_text())["clips"].items(),
        description="null baselines",
        console=Console(stderr=True),
        transient=True,
    ):
        boxes = [lesion["boxes"][known["apex"]] for lesion in known["lesions"]]
        boxes = np.array([box for box in boxes if box], float)
        if len(boxes):
            frame = read_dicom(folder / f"{clip_id}.dcm", clip_id, str).frames[known["apex"]]
            truth = cv2.imread(str(folder / "truth_masks" / f"{clip_id}.png"), cv2.IMREAD_GRAYSCALE) > 0
            rows.append({"patient": patients[clip_id], **null_hits(frame, truth, boxes)})
    hits = pd.DataFrame(rows)
    table = Table("null", "hit", "95 % interval", title=f"{len(hits)} abnormal clips", title_justify="left")
    for name in hits.columns[1:]:
        low, high = bootstrap_statistic(hits[name].to_numpy(), hits["patient"].to_numpy(str)).bounds
        table.add_row(name, f"{hits[name].mean():.1%}", f"{low:.1%} to {high:.1%}")
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
