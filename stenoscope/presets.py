"""Named sets of training settings: each lists what differs from the defaults of `TrainingSettings`."""

from dataclasses import fields
from typing import Any

from stenoscope.errors import unknown_name
from stenoscope.settings import TrainingSettings

PRESETS: dict[str, dict[str, Any]] = {
    "cpu": {},  # the defaults
    "paper": {
        "backbone": "inception_v3",
        "cut": "top",
        "image_size": 500,
        "enhance": "none",
        "pooling": "average",
        "frozen_layers": 0.0,
        "freeze_batch_norm": False,
        "epochs": 10,
        "optimizer": "adam",
        "learning_rate": 1e-5,
        "schedule": "constant",
        "variants_per_epoch": 25,
        "frames_per_epoch": 5,
        "flip": False,
        "shift": 0,
        "narrowings": False,
        "class_weights": False,
        "mirrored_test": False,
        "heatmap": "cam",
    },
    # The baseline of CADICA's authors (Jimenez-Partinen et al. 2024, doi 10.1111/exsy.13708; preprint
    # arXiv 2402.00570, section 4.2, Tables 7 and 8): MobileNet-V2 on 224 px, batch 64, Adam 1e-5, 10 epochs,
    # no layer frozen, shifts of 25 px, classes balanced, 2.8 views of a frame an epoch. It goes with
    # `pickle_generator.py --method published`. Not here: rotation by 25 degrees and scaling by 0.8 to 1.7.
    "cadica": {
        "backbone": "mobilenet_v2",
        "cut": "top",
        "image_size": 224,
        "enhance": "none",
        "subtract_mean": False,
        "attention": "none",
        "pooling": "average",
        "frozen_layers": 0.0,
        "freeze_batch_norm": False,
        "epochs": 10,
        "batch_size": 64,
        "learning_rate": 1e-5,
        "schedule": "constant",
        "variants_per_epoch": 3,
        "frames_per_epoch": 5,
        "flip": False,
        "shift": 25,
        "narrowings": False,
        "mirrored_test": False,
    },
    # What `make demo` trains: `cpu` in little more than half of its time, somewhat below its AUC.
    "quick": {"epochs": 10},
    # Seconds instead of minutes, to see that an installation works; its accuracy means nothing.
    "smoke": {"image_size": 64, "epochs": 1, "frames_per_epoch": 1},
}
"""Settings that differ from the defaults, by preset."""

ABOUT = {
    "cpu": "the defaults: EfficientNet-Lite0 on 256 px with synthetic narrowings, 18 epochs; for 2 CPU cores",
    "quick": "the same with 10 epochs, as `make demo` trains",
    "smoke": "64 px and one epoch: shows in a minute that everything runs; its accuracy means nothing",
    "paper": "Moon et al. 2021: Inception-v3 on 500 px, 25 variants, Adam 1e-5; needs a GPU",
    "cadica": "the baseline of CADICA's authors: MobileNet-V2 on 224 px, Adam 1e-5",
}
"""What each preset is for, in a line of ``--help``, in the order to read them."""


def preset(name: str) -> dict[str, Any]:
    """Settings of the preset `name` that differ from the defaults of `TrainingSettings`.

    Raises
    ------
    SettingsError
        If there is no such preset.
    """
    if name not in PRESETS:
        raise unknown_name("preset", name, PRESETS)
    return dict(PRESETS[name])


def training_settings(preset_name: str = "cpu", **changes) -> TrainingSettings:
    """`TrainingSettings` of a preset with some changes; unknown names are refused."""
    known = {item.name for item in fields(TrainingSettings)}
    for name in changes:
        if name not in known:
            raise unknown_name("setting", name, known)
    return TrainingSettings(**{**preset(preset_name), **changes})
