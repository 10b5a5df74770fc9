"""Images a second of training, against the bare forward and backward pass on random tensors, in turns.

    python benchmarks/train_speed.py
    KERAS_BACKEND=jax python benchmarks/train_speed.py --precision float32 mixed_bfloat16 --batch 64
    python benchmarks/train_speed.py --precision mixed_bfloat16 --jit on off

Training is `Trainer.fit` of the paper's setting: the uint8 frames lie on the device, where crop, intensity
and resizing are done too, then the network, its gradients, the optimizer and the metrics. The bare pass is
the same network, precision and compilation on one random batch that lies on the device, without optimizer.
After each epoch of the one comes a round of the other; medians with quartiles are given. Without an
accelerator everything runs small on the CPU.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

STUDY = 452 * 5 * 25 * 10 * 4
"""Image steps of the paper's experiment: clips, key frames, variants, epochs; a clip trains in four folds."""


def quartiles(values: list[float]) -> str:
    """Median with quartiles."""
    low, middle, high = np.percentile(values, [25, 50, 75])
    return f"{middle:.1f} ({low:.1f} to {high:.1f})"


def bare_pass(network, images: np.ndarray, labels: np.ndarray, jit: bool) -> Callable[[int], None]:
    """A function that runs so many forward and backward passes and waits for the last one."""
    import keras

    from stenoscope.training.losses import masked_binary_crossentropy

    backend = keras.backend.backend()
    images, labels = (keras.ops.convert_to_tensor(values) for values in (images, labels))

    def loss_of(logits):
        return keras.ops.mean(masked_binary_crossentropy(labels, keras.ops.cast(logits, "float32")))

    if backend == "tensorflow":
        import tensorflow as tf

        @tf.function(jit_compile=jit)
        def passed():
            with tf.GradientTape() as tape:
                loss = loss_of(network(images, training=True))
            return tape.gradient(loss, network.trainable_weights)

        def run(count: int) -> None:
            for _ in range(count):
                gradients = passed()
            gradients[-1].numpy()

    elif backend == "jax":
        import jax

        def stateless(trainable, others):
            logits, changed = network.stateless_call(trainable, others, images, training=True)
            return loss_of(logits), changed

        gradient = jax.grad(stateless, has_aux=True)
        if jit:
            gradient = jax.jit(gradient)

        def run(count: int) -> None:
            trainable = [variable.value for variable in network.trainable_variables]
            others = [variable.value for variable in network.non_trainable_variables]
            for _ in range(count):
                gradients, others = gradient(trainable, others)
            jax.block_until_ready(gradients)

    else:
        import torch

        compiled = torch.compile(network) if jit else network

        def run(count: int) -> None:
            for _ in range(count):
                network.zero_grad()
                loss_of(compiled(images, training=True)).backward()
            if torch.cuda.is_available():
                torch.cuda.synchronize()

    return run


def measure(given: argparse.Namespace, size: int, precision: str, jit: str, clips: int) -> dict:
    """Images a second of training and of the bare pass, a list of rounds each."""
    import keras

    from stenoscope.folds.part import TrainingPart
    from stenoscope.presets import training_settings
    from stenoscope.training.fold import Trainer

    keras.utils.clear_session()
    settings = training_settings(
        "paper",
        backbone=given.backbone,
        image_size=size,
        weights="none",
        batch_size=given.batch,
        epochs=given.rounds + 1,
        seed=7,
        precision=precision,
        jit=jit,
    )
    rng = np.random.default_rng(7)
    frames = rng.integers(0, 256, (5 * clips, 512, 512), dtype=np.uint8)
    labels = (np.arange(clips) % 2).astype(np.float32)[:, None]
    trainer = Trainer(settings, on_device=True)
    network = keras.Model(trainer.network.inputs, trainer.network.get_layer("logits").output)
    batch = rng.uniform(0, 255, (given.batch, size, size, 1)).astype(np.float32)
    targets = rng.integers(0, 2, (given.batch, 1)).astype(np.float32)
    steps = -(-125 * clips // given.batch)
    ours, bare, run = [], [], None

    def turn(row: dict) -> None:
        nonlocal run
        if run is None:
            run = bare_pass(network, batch, targets, bool(trainer.jit_compile))
            run(2)
        begin = time.perf_counter()
        run(steps)
        bare.append(steps * given.batch / (time.perf_counter() - begin))
        ours.append(steps * given.batch / row["seconds"])

    mean = np.full((500, 500), 120, np.float32)
    trainer.fit(TrainingPart(1, frames, np.arange(clips), labels, mean), turn)
    return {"ours": ours[1:], "bare": bare[1:]}  # the first epoch traces and compiles


def main() -> None:
    """Measure every combination asked for and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--backbone", default="inception_v3")
    parser.add_argument("--sizes", type=int, nargs="+", help="default 299 500; on a CPU 128")
    parser.add_argument("--batch", type=int, help="default 64; on a CPU 8")
    parser.add_argument(
        "--precision",
        nargs="+",
        default=["float32"],
        choices=("float32", "mixed_float16", "mixed_bfloat16"),
    )
    parser.add_argument("--jit", nargs="+", default=["auto"], choices=("auto", "on", "off"))
    parser.add_argument("--deterministic", action="store_true", help="kernels that repeat, as by default")
    parser.add_argument("--rounds", type=int, default=5, help="epochs that are timed")
    parser.add_argument("--steps", type=int, help="steps of an epoch, at least; default 200; on a CPU 15")
    parser.add_argument("--threads", type=int, default=0)
    given = parser.parse_args()

    from rich.console import Console
    from rich.table import Table

    from stenoscope.training.machine import prepare

    where = prepare(given.threads, 7, given.deterministic)  # before anything else loads the tensor library
    from stenoscope.training.devices import accelerated

    fast = accelerated()
    given.sizes = given.sizes or ([299, 500] if fast else [128])
    given.batch = given.batch or (64 if fast else 8)
    steps = given.steps or (200 if fast else 15)
    clips = max(2, round(steps * given.batch / 125))
    console = Console(width=120)
    table = Table(title=f"{given.backbone}, batches of {given.batch}, {where}", title_justify="left")
    for name in ("px", "precision", "jit", "training, images/s", "bare pass, images/s", "share", "study"):
        table.add_column(name)
    for size in given.sizes:
        for precision in given.precision:
            for jit in given.jit:
                found = measure(given, size, precision, jit, clips)
                rate = float(np.median(found["ours"]))
                share = float(np.median(np.divide(found["ours"], found["bare"])))
                table.add_row(
                    str(size), precision, jit, quartiles(found["ours"]), quartiles(found["bare"]),
                    f"{100 * share:.0f} %", f"{STUDY / rate / 60:.0f} min",
                )  # fmt: skip
    console.print(table)
    console.print(
        f"Share: median of the rounds' ratios; target 95 %. Study: {STUDY / 1e6:.2f} million image steps at "
        "this speed, without reading, heatmaps and report."
    )
    if not fast:
        console.print("No accelerator was found: a small run on the CPU, which shows that it works.")


if __name__ == "__main__":
    main()
