"""The key-frame methods that a run offers: those of `keyframes.registry` and the learned one."""

import functools

from stenoscope.keyframes import registry
from stenoscope.temporal.method import choose_temporal

METHODS = {
    "opacification": registry.METHODS["opacification"],
    "temporal": choose_temporal,
    **registry.METHODS,
}
"""As `keyframes.registry.METHODS`."""

choose = functools.partial(registry.choose, methods=METHODS)
"""`keyframes.registry.choose` among these methods."""
