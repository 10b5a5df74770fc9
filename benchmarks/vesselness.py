"""How well vessel filters separate vessel from background on real key frames with expert masks.

    python benchmarks/vesselness.py --arcade ../shared/data/arcade/syntax/val

Area under the ROC curve and average precision of the pixels of each image, averaged over the images, with
95 % intervals from a bootstrap over images. The masks leave out the catheter and thin branches, so no filter
can come near 1 in precision: the comparison is what counts.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import SimpleITK
from rich.console import Console
from rich.progress import track
from rich.table import Table
from skimage.feature import hessian_matrix, hessian_matrix_eigvals
from skimage.filters import frangi, sato
from sklearn.metrics import average_precision_score, roc_auc_score

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from stenoscope.evaluation.intervals import percentile_interval
from stenoscope.vesselness.combined import vessel_map
from stenoscope.vesselness.enhance import black_tophat
from stenoscope.vesselness.hessian import vesselness

SIGMAS = (2, 3, 4, 5, 6)
RESAMPLES = 2000
PIXELS = 60_000


def itk_objectness(image: np.ndarray) -> np.ndarray:
    """ITK's objectness of dark lines, each scale normalised by sigma^2, gamma 5 grey levels."""
    itk, responses = SimpleITK.GetImageFromArray(image.astype(np.float32)), []
    for sigma in SIGMAS:
        blurred = SimpleITK.SmoothingRecursiveGaussian(itk, float(sigma)) * float(sigma**2)
        found = SimpleITK.ObjectnessMeasure(
            blurred, alpha=0.5, beta=0.5, gamma=5.0, scaleObjectnessMeasure=False, objectDimension=1,
            brightObject=False,
        )  # fmt: skip
        responses.append(SimpleITK.GetArrayFromImage(found))
    return np.maximum.reduce(responses)


def jerman(image: np.ndarray, tau: float = 0.5) -> np.ndarray:
    """Jerman et al., IEEE TMI 35 (2016) 2107, eq. 13, in two dimensions."""
    responses = []
    for sigma in SIGMAS:
        large = sigma**2 * hessian_matrix_eigvals(
            hessian_matrix(image.astype(np.float32), sigma, use_gaussian_derivatives=False)
        )[0]  # fmt: skip
        large = np.maximum(large, 0)
        regular = np.where((large > 0) & (large <= tau * large.max()), tau * large.max(), large)
        with np.errstate(divide="ignore", invalid="ignore"):
            value = large**2 * (regular - large) * 27 / (large + regular) ** 3
        value = np.where(large >= regular / 2, 1.0, value)
        responses.append(np.where(large <= 0, 0.0, value))
    return np.nan_to_num(np.maximum.reduce(responses))


def multi_radius_tophat(image: np.ndarray) -> np.ndarray:
    """Black top-hat averaged over disks of radius 3, 6, 10 and 15 px."""
    return np.mean([black_tophat(image, radius) for radius in (3, 6, 10, 15)], axis=0)


FILTERS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "ours: vessel_map (frangi x black top-hat)": vessel_map,
    "ours: frangi, gamma 10": lambda image: vesselness(image, measure="frangi", gamma=10.0),
    "ours: ridge": vesselness,
    "scikit-image frangi": lambda image: frangi(image, sigmas=SIGMAS),
    "scikit-image sato": lambda image: sato(image.astype(np.float32), sigmas=SIGMAS),
    "ITK objectness x sigma^2": itk_objectness,
    "Jerman, tau 0.5": jerman,
    "black top-hat, multi-radius": multi_radius_tophat,
}


def measure(images: list[Path]) -> dict[str, np.ndarray]:
    """AUC, average precision and CPU seconds of every filter on every image: name to (num_images, 3)."""
    found: dict[str, list] = {name: [] for name in FILTERS}
    for path in track(images, description="images", console=Console(stderr=True), transient=True):
        image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        mask = cv2.imread(str(path.parent.parent / "masks" / path.name), cv2.IMREAD_GRAYSCALE) > 0
        if not mask.any():
            continue
        chosen = np.random.default_rng(0).choice(mask.size, min(PIXELS, mask.size), replace=False)
        truth = mask.ravel()[chosen]
        for name, apply in FILTERS.items():
            begin = time.process_time()
            response = apply(image)
            seconds = time.process_time() - begin
            value = response.ravel()[chosen]
            found[name].append((roc_auc_score(truth, value), average_precision_score(truth, value), seconds))
    return {name: np.array(rows) for name, rows in found.items()}


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--arcade", type=Path, required=True, help="folder with images/ and masks/")
    parser.add_argument("--every", type=int, default=1, help="take every n-th image (default: all)")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    SimpleITK.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    images = sorted((arguments.arcade / "images").glob("*.png"))[:: arguments.every]
    if not images:
        parser.error(f"no images/*.png in {arguments.arcade}")
    found = measure(images)
    count = len(next(iter(found.values())))
    draws = np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), RESAMPLES) / count
    table = Table(title=f"{count} key frames with vessel masks", title_justify="left")
    for name in ("filter", "AUC", "average precision", "CPU ms"):
        table.add_column(name, justify="left" if name == "filter" else "right", no_wrap=True)
    for name, rows in found.items():
        cells = []
        for column in (0, 1):
            interval = percentile_interval(draws @ rows[:, column])
            cells.append(f"{rows[:, column].mean():.4f} ({interval.low:.4f} to {interval.high:.4f})")
        table.add_row(name, *cells, f"{1000 * np.median(rows[:, 2]):.1f}")
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
