import numpy as np
import pytest

from stenoscope.report import plots
from stenoscope.report.panels import encode_png


@pytest.fixture
def unrendered(monkeypatch):
    """Figures are drawn, but their files are one pixel: for tests that look at the page's words."""
    pixel = encode_png(np.zeros((1, 1, 3), np.uint8))
    monkeypatch.setattr(plots, "file_of", lambda figure, kind: pixel)
