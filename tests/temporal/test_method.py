import subprocess
import sys

import numpy as np
import pytest

from stenoscope.app import check_worker, keyframe_worker, predict_worker
from stenoscope.app.keyframe_methods import choose
from tests.keyframes.clips import LEVELS, filling_clip


def test_the_passage_of_a_drawn_clip():
    choice = choose(filling_clip(LEVELS), "temporal")
    assert choice.contrast and choice.confidence > 0.3
    assert abs(choice.start - 6) <= 2 and 11 <= choice.apex <= 19
    assert choice.end is None or abs(choice.end - 23) <= 4
    assert choice.curve.max() == 1 and choice.curve.shape == LEVELS.shape
    assert choice.masked.shape == (192, 192)


def test_phases_that_the_clip_does_not_show():
    assert choose(filling_clip(LEVELS[15:]), "temporal").start is None
    assert choose(filling_clip(LEVELS[:19]), "temporal").end is None
    assert not choose(filling_clip(np.zeros(20)), "temporal").contrast


@pytest.mark.parametrize("num_frames", [5, 300])
def test_short_and_long_clips_get_an_answer(num_frames):
    levels = np.interp(np.linspace(0, len(LEVELS) - 1, num_frames), np.arange(len(LEVELS)), LEVELS)
    choice = choose(filling_clip(levels, size=64), "temporal")
    assert len(choice.curve) == num_frames and choice.apex in choice.keyframes


def test_no_other_method_loads_the_tensor_library(root):
    code = (
        "import sys, numpy as np\n"
        "from stenoscope.app.keyframe_methods import choose\n"
        "choose(np.zeros((6, 64, 64), np.uint8), 'opacification')\n"
        "sys.exit('loaded' if {'keras', 'tensorflow'} & set(sys.modules) else 0)"
    )
    assert not subprocess.run([sys.executable, "-c", code], cwd=root, timeout=120).returncode


@pytest.mark.parametrize("worker", [check_worker, keyframe_worker, predict_worker])
def test_workers_know_the_method(worker):
    assert worker.choose(np.zeros((2, 64, 64), np.uint8), "temporal").method == "temporal"
