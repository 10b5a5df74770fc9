"""Training and fine-tuning of the temporal network."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import keras

from stenoscope.temporal import losses
from stenoscope.temporal.batches import Batches, Example
from stenoscope.temporal.network import Parts, build

BATCH = 16
"""Clips in a step."""
_CONTRAST_WEIGHT = 0.1
_WARMUP = 0.05  # share of the steps
_AVERAGED = 8  # the weights that are kept are a moving average over the last 1/8 of the steps, at most 100


def fit(
    examples: Sequence[Example],
    parts: Parts,
    epochs: int,
    learning_rate: float,
    seed: int,
    start: list | None = None,
    on_epoch: Callable[[int, dict], None] = lambda epoch, losses: None,
) -> keras.Model:
    """Train a network and return it, ready for use.

    `learning_rate` is the highest: it rises over the first steps and falls as a cosine. `seed` is of the
    weights, the order and the changes of the clips; `start` holds weights to begin with: fine-tuning.
    `on_epoch` is called after each epoch with its number, from 0, and the mean losses.
    """
    keras.utils.set_random_seed(seed)
    training, network = build(parts)
    if start is not None:
        network.set_weights(start)
    batches = Batches(examples, BATCH, seed, parts.contrast)
    steps = len(batches) * epochs
    warm = max(1, round(_WARMUP * steps))
    rate = keras.optimizers.schedules.CosineDecay(
        1e-2 * learning_rate, max(1, steps - warm), warmup_target=learning_rate, warmup_steps=warm
    )
    momentum = max(0.0, min(0.99, 1 - _AVERAGED / steps))
    optimizer = keras.optimizers.AdamW(
        rate, weight_decay=0.02, global_clipnorm=1.0, use_ema=True, ema_momentum=momentum
    )
    loss, weights = {"points": losses.action_loss}, {"points": 1.0}
    if parts.contrast:
        loss |= {"frames": losses.image_contrast, "responses": losses.patch_contrast}
        weights |= {"frames": _CONTRAST_WEIGHT, "responses": _CONTRAST_WEIGHT}
    training.compile(optimizer=optimizer, loss=loss, loss_weights=weights, jit_compile=False)
    with ThreadPoolExecutor(1) as ahead:
        following = ahead.submit(batches.batch, 0, 0)
        for epoch in range(epochs):
            total: dict[str, float] = {}
            for index in range(len(batches)):
                inputs, targets = following.result()
                after = (epoch, index + 1) if index + 1 < len(batches) else (epoch + 1, 0)
                following = ahead.submit(batches.batch, *after)
                found = training.train_on_batch(inputs, targets, return_dict=True)
                training.reset_metrics()
                for name, value in found.items():
                    total[name] = total.get(name, 0.0) + float(value) / len(batches)
            on_epoch(epoch, total)
    optimizer.finalize_variable_values(training.trainable_weights)
    return network
