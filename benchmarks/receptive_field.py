"""What one cell of the backbone's map can see of the image, and what it does see, at every place to cut it.

    python benchmarks/receptive_field.py
    python benchmarks/receptive_field.py --input data/keyframes --model results/demo/fold_1/model.keras

A network that classifies well may point anywhere if its cells see the whole image. Theoretical: side of the
square that a cell can see, by the layers (enhancement included). Effective: 4 standard deviations of where
the image moves the cell (Luo et al. 2016), from gradients on random images, or on key frames with `--input`.
By default the network is the backbone with its pretrained weights, uncut.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from stenoscope.augmentation.grid import CROP_SIZE
from stenoscope.data.clipset import ClipSet
from stenoscope.settings import TrainingSettings
from stenoscope.training.machine import prepare

_CONSOLE = Console(width=110)
_FOUR_SIGMA = 4 / np.sqrt(2)  # a radius in the plane is sqrt(2) standard deviations along an axis


def images(folder: str, count: int, size: int) -> np.ndarray:
    """Key frames of different clips, or without a folder noise of 10 grey levels; float32 (n, S, S, 1)."""
    if not folder:
        return np.random.default_rng(0).normal(128, 10, (count, size, size, 1)).astype(np.float32)
    from stenoscope.training.centre import centre_images

    clips = ClipSet.open(folder)
    some = np.linspace(0, len(clips) - 1, min(count, len(clips))).round().astype(int)
    return centre_images(np.stack([clips.frames[clip, clips.num_keyframes // 2] for clip in some]), size)


def last_of_blocks(names: list[str]) -> list[str]:
    """The last layer of each ``block<i>``."""
    return list({name.split("_")[0]: name for name in names if name.startswith("block")}.values())


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--input", default="", help="folder of key frames from step 1; empty = random images")
    parser.add_argument("--model", default="", help="model.keras of an experiment; empty = the backbone")
    parser.add_argument("--images", type=int, default=16, help="images to average over (16)")
    parser.add_argument("--image_size", type=int, default=256, help="rows and columns without --model (256)")
    parser.add_argument("--layers", nargs="*", help="layers by name; default: the last one of each block")
    arguments = parser.parse_args()
    prepare(0, 0)
    from benchmarks.fields import effective_field, field_radius, theoretical_field
    from stenoscope.models.classifier import build_classifier, load_classifier

    settings = TrainingSettings(image_size=arguments.image_size, cut="top", attention="none")
    model = load_classifier(arguments.model) if arguments.model else build_classifier(settings)
    size = model.input.shape[1]
    shown = images(arguments.input, arguments.images, size)
    _CONSOLE.print(
        f"{arguments.model or settings.backbone}, {len(shown)} "
        f"{'key frames' if arguments.input else 'random images'} of {size} x {size}.\n"
        f"Stride and fields in pixels of the input (times {CROP_SIZE / size:.2f}: of the frame)."
    )
    table = Table()
    for name in ("layer", "stride", "theoretical", "effective"):
        table.add_column(name, justify="left" if name == "layer" else "right")
    layers = arguments.layers or last_of_blocks([layer.name for layer in model.layers])
    if arguments.model and not arguments.layers:
        layers.append("class_map")  # zero before training
    for layer in track(layers, "layers", console=_CONSOLE, transient=True):
        stride, theoretical = theoretical_field(model, layer)
        effective = _FOUR_SIGMA * field_radius(effective_field(model, layer, shown))
        table.add_row(layer, f"{stride:.0f}", f"{theoretical:.0f}", f"{effective:.0f}")
    _CONSOLE.print(table)


if __name__ == "__main__":
    main()
