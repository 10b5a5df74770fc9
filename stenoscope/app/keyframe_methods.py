"""The key-frame methods that a run offers: those of `keyframes.registry`, the learned one, published ones."""

from collections.abc import Sequence

import numpy as np

from stenoscope.keyframes import registry
from stenoscope.keyframes.published import PUBLISHED, choose_published
from stenoscope.records import KeyframeChoice
from stenoscope.settings import KeyframeSettings
from stenoscope.temporal.method import choose_temporal

METHODS = {
    "opacification": registry.METHODS["opacification"],
    "temporal": choose_temporal,
    **registry.METHODS,
}
"""As `keyframes.registry.METHODS`."""


def choose(
    frames: np.ndarray,
    method: str,
    spread: bool = False,
    published: Sequence[int] = (),
    count: int = KeyframeSettings.keyframes,
) -> KeyframeChoice:
    """`keyframes.registry.choose` among these methods; for `PUBLISHED`, of the frames that are given."""
    if method == PUBLISHED:
        return choose_published(published, len(frames), count)
    return registry.choose(frames, method, spread, count, METHODS)
