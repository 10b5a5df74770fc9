"""Learners by name."""

from stenoscope.errors import unknown_name
from stenoscope.learners.cnn import Cnn
from stenoscope.learners.protocol import Learner

LEARNERS: dict[str, type[Learner]] = {"cnn": Cnn}
"""What ``--learner`` takes."""


def get_learner(name: str) -> type[Learner]:
    """The learner of this name; SettingsError if there is none."""
    if name not in LEARNERS:
        raise unknown_name("learner", name, LEARNERS)
    return LEARNERS[name]
