import io

import numpy as np
import pytest
from PIL import Image

from stenoscope.imaging.jpeg import check_segments


@pytest.fixture
def jpeg():
    stream = io.BytesIO()
    Image.fromarray(np.zeros((24, 16), np.uint8)).save(stream, format="JPEG")
    return stream.getvalue()


def test_a_valid_frame_passes(jpeg):
    check_segments(jpeg, 24, 16, 1)
    header = jpeg.index(b"\xff\xc0")
    check_segments(jpeg[:header] + b"\xff\xff" + jpeg[header:], 24, 16, 1)  # fill bytes


@pytest.mark.parametrize("size", [(16, 24, 1), (24, 17, 1), (24, 16, 3)])
def test_another_size_is_refused(jpeg, size):
    with pytest.raises(ValueError, match="another size"):
        check_segments(jpeg, *size)


def test_damaged_segments_are_refused(jpeg):
    for mark in (b"\xff\xc0", b"\xff\xc4", b"\xff\xda"):
        at = jpeg.index(mark)
        with pytest.raises(ValueError, match="between"):
            check_segments(jpeg[:at] + b"\x00" + jpeg[at:], 24, 16, 1)
        with pytest.raises(ValueError, match=r"between|out of place|no scan"):
            check_segments(jpeg[:at] + b"\xfe" + jpeg[at + 1 :], 24, 16, 1)
    with pytest.raises(ValueError, match="no start"):
        check_segments(jpeg[1:], 24, 16, 1)
    frame = jpeg.index(b"\xff\xc0")
    with pytest.raises(ValueError, match="out of place"):  # a scan without a frame
        check_segments(jpeg[:2] + jpeg[jpeg.index(b"\xff\xda") :], 24, 16, 1)
    for end in range(2, frame + 4):
        with pytest.raises(ValueError, match=r"between|no scan"):
            check_segments(jpeg[:end], 24, 16, 1)
