"""What the search may vary, and how far: one entry per setting."""

from dataclasses import replace

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution

from stenoscope.settings import TrainingSettings

SPACE: dict[str, BaseDistribution] = {
    "learning_rate": FloatDistribution(1e-5, 3e-3, log=True),
    "epochs": CategoricalDistribution((5, 10, 15, 20)),
    "batch_size": CategoricalDistribution((8, 16, 32)),
    "variants_per_epoch": CategoricalDistribution((1, 2, 5)),
    "frozen_layers": CategoricalDistribution((0.0, 0.08, 0.3, 0.6)),
    "enhance": CategoricalDistribution(("none", "black_tophat")),
    "attention": CategoricalDistribution(("none", "self_attention")),
    "pooling": CategoricalDistribution(("average", "log_sum_exp")),
}
"""Settings of `TrainingSettings` by name. A study keeps the space it began with."""


def with_parameters(base: TrainingSettings, parameters: dict) -> TrainingSettings:
    """Settings of a trial: `base` with the trial's parameters, checked like any others."""
    return replace(base, **parameters)
