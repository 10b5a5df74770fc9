"""Learning-rate schedules: the rate over the epochs and over the depth of the network."""

import math
import re

import keras
from keras import ops

from stenoscope.settings import TrainingSettings

_BLOCK = re.compile(r"(?:conv\d+_block|block_?)\d+|conv\d+(?=_)|mixed\d+$")
"""How the backbones' layers name their block; a layer without a block belongs to the one that follows it."""


def learning_rate_at(epoch, settings: TrainingSettings):
    """Learning rate at a (fractional) epoch: a linear rise from zero, then constant or half a cosine to zero.

    A float32 tensor. The cosine is that of Loshchilov and Hutter 2017, equation 5, over the epochs after the
    rise.
    """
    epoch = ops.cast(epoch, "float32")
    rate = settings.learning_rate
    if settings.schedule == "cosine":
        left = max(settings.epochs - settings.warmup, 1e-6)
        progress = ops.clip((epoch - settings.warmup) / left, 0.0, 1.0)
        rate = rate * 0.5 * (1.0 + ops.cos(math.pi * progress))
    if settings.warmup:
        rate = rate * ops.clip(epoch / settings.warmup, 0.0, 1.0)
    return ops.convert_to_tensor(rate, "float32")


@keras.saving.register_keras_serializable(package="stenoscope")
class EpochSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """`learning_rate_at` as a function of the optimizer's step.

    `steps_per_epoch` is a variable, so that folds of different sizes share one traced step.
    """

    def __init__(self, settings: TrainingSettings):
        self.settings = settings
        self.steps_per_epoch = keras.Variable(
            1.0, trainable=False, name="steps_per_epoch", aggregation="only_first_replica"
        )

    def __call__(self, step):
        """Learning rate of a step, from 0."""
        return learning_rate_at(ops.cast(step, "float32") / self.steps_per_epoch, self.settings)

    def get_config(self):
        """Nothing: it is made from settings and never saved."""
        return {}


class _LayerRates:
    """Multiplies the learning rate of some variables; goes before an optimizer's class.

    Keras' `update_step` sees one variable at a time with every backend, unlike the optimizers' own fused
    forms, so this costs a little with torch.
    """

    factors: dict[str, float]

    def build(self, variables):
        """Create the state; note each variable's factor, as Keras hands out variables without their path."""
        super().build(variables)
        self.factor_of = tuple(self.factors.get(variable.path, 1.0) for variable in variables)

    def update_step(self, gradient, variable, learning_rate):
        """Update one variable."""
        factor = self.factor_of[self._get_variable_index(variable)]
        super().update_step(gradient, variable, learning_rate * factor)


def make_optimizer(
    settings: TrainingSettings, factors: dict[str, float] | None = None
) -> keras.optimizers.Optimizer:
    """The optimizer that the settings name, on their schedule.

    `factors` on the learning rate are by variable path (`layer_factors`); 1 where there is none. Its
    attribute `steps_per_epoch` is a variable to set before each fold.
    """
    kind = {"adam": keras.optimizers.Adam, "adamw": keras.optimizers.AdamW, "sgd": keras.optimizers.SGD}
    kind = kind[settings.optimizer]
    if factors:
        kind = type(kind.__name__, (_LayerRates, kind), {"factors": factors})
    schedule = EpochSchedule(settings)
    more = {"momentum": 0.9} if settings.optimizer == "sgd" else {}
    optimizer = kind(learning_rate=schedule, **more)
    optimizer.steps_per_epoch = schedule.steps_per_epoch  # becomes part of the optimizer's state
    return optimizer


def backbone_layers(model: keras.Model) -> list[keras.layers.Layer]:
    """Layers of a classifier's backbone, from the image to the last features."""
    names = [layer.name for layer in model.layers]
    end = names.index("attention") if "attention" in names else names.index("class_map")
    return model.layers[names.index("standardize") + 1 : end]


def layer_factors(model: keras.Model, decay: float) -> dict[str, float]:
    """Factor on the learning rate of each variable of the backbone: ``decay ** (blocks after its own)``.

    By variable path; `decay` is 0 to 1, and those with factor 1 are left out. Discriminative learning rates
    (Howard and Ruder 2018, section 3.1): early blocks hold what photographs and angiograms share, and need to
    change less. The attention, the class map and the last block have 1.
    """
    factors, block, after = {}, None, -1
    for layer in reversed(backbone_layers(model)):
        found = _BLOCK.match(layer.name)
        if (found and found[0] != block) or after < 0:
            block, after = found and found[0], after + 1
        factors.update({variable.path: decay**after for variable in layer.trainable_variables})
    return {path: factor for path, factor in factors.items() if factor != 1.0}
