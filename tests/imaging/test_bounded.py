import io

import pytest

from stenoscope.imaging import bounded
from stenoscope.imaging.bounded import BoundedReader


@pytest.mark.parametrize(
    "size, expected", [(3, b"abc"), (10, b"abcdef"), (1 << 40, b"abcdef"), (-1, b"abcdef")]
)
def test_a_read_gives_what_is_there(size, expected):
    reader = BoundedReader(io.BytesIO(b"abcdef"))
    assert reader.read(size) == expected
    reader.seek(2)
    assert reader.read(2) == b"cd" and reader.tell() == 4
    reader.seek(100)
    assert reader.read(size) == b""


def test_no_more_is_set_aside_than_there_is():
    class Spy(io.BytesIO):
        asked = 0

        def read(self, size=-1):
            Spy.asked = max(Spy.asked, size)
            return super().read(size)

    BoundedReader(Spy(b"abc")).read(1 << 40)
    assert Spy.asked == 3


def test_a_header_has_an_end(monkeypatch):
    monkeypatch.setattr(bounded, "MAX_READS", 3)
    monkeypatch.setattr(bounded, "MAX_HEADER", 100)
    many, much, free = (BoundedReader(io.BytesIO(bytes(1000)), header) for header in (True, True, False))
    for _ in range(3):
        many.read(1)
    for reader, size in ((many, 1), (much, 101)):
        with pytest.raises(ValueError, match="larger than any header"):
            reader.read(size)
    assert sum(len(free.read(200)) for _ in range(5)) == 1000
