"""Scenes and clips that several tests of the phantom look at."""

import pytest

from stenoscope.phantom.clip import simulate_clip
from stenoscope.phantom.scene import draw_scene


@pytest.fixture(scope="session")
def scenes():
    """One scene of each artery, full size, eight frames."""
    return {artery: draw_scene(7, 3, 0, artery, num_frames=8) for artery in ("RCA", "LCA")}


@pytest.fixture(scope="session")
def small_clip():
    """An abnormal clip of 96 x 96 pixels and four frames."""
    return simulate_clip(7, 3, 0, "LCA", 1, size=96, num_frames=4)
