import io

import numpy as np
import pytest
from PIL import Image

from stenoscope.report.animation import encode_gif
from stenoscope.report.panels import Case

HEAD, SIZE = 30, 512


@pytest.fixture(scope="module")
def case():
    y, x = np.mgrid[:512, :512]
    heatmap = (2 * np.exp(-((x - 300) ** 2 + (y - 200) ** 2) / 800)).astype(np.float32)
    return Case("Patient_3/Coro_1", np.zeros((512, 512), np.uint8), heatmap, 0.93, 1)


def played(data: bytes) -> tuple[list[np.ndarray], list[int]]:
    movie, pictures, times = Image.open(io.BytesIO(data)), [], []
    for number in range(movie.n_frames):
        movie.seek(number)
        pictures.append(np.asarray(movie.convert("RGB")).astype(int))
        times.append(movie.info["duration"])
    assert movie.info["loop"] == 0
    return pictures, times


def test_it_holds_every_frame_under_the_map(case):
    frames = np.stack([np.full((512, 512), level, np.uint8) for level in (40, 120, 200)])
    data = encode_gif(frames, case, 2.0, "cam", [1], 1)
    pictures, times = played(data)
    assert times == [100] * 3 and pictures[0].shape[1] == SIZE
    for picture, level in zip(pictures, (40, 120, 200), strict=True):
        plain = picture[HEAD + 400 : HEAD + 480, 40:120]
        assert abs(plain.mean() - level) <= 3 and np.ptp(plain, axis=2).max() == 0
    red, _, blue = pictures[0][HEAD + 200, 300]  # the map's maximum
    assert red > 180 and red > blue + 60
    assert data == encode_gif(frames, case, 2.0, "cam", [1], 1)


def test_key_frames_the_shown_one_and_the_number_are_marked(case):
    frames = np.full((6, 512, 512), 90, np.uint8)
    pictures, _ = played(encode_gif(frames, case, 2.0, "cam", [2, 4], 4))
    borders = [picture[HEAD + 1, 200].mean() for picture in pictures]
    assert [number for number, level in enumerate(borders) if level > 200] == [2, 4]
    beside = [picture[HEAD + 200, 306].min() for picture in pictures]  # on the ring, 6 px from the maximum
    assert [number for number, level in enumerate(beside) if level > 200] == [4]
    heads = {picture[:HEAD, 256:].tobytes() for picture in pictures}
    assert len(heads) == 6, "each frame says its number"
    ticks = pictures[0][HEAD + SIZE + 4].mean(axis=1) > 200
    assert ticks[round(2.5 * SIZE / 6)] and ticks[round(4.5 * SIZE / 6)] and not ticks[round(3.5 * SIZE / 6)]


def test_a_map_without_evidence_leaves_the_frames_grey_and_says_why_there_is_no_ring(case):
    frames = np.random.default_rng(0).integers(0, 256, (2, 512, 512), dtype=np.uint8)
    bare = Case(case.clip_id, case.frame, case.heatmap * 0 - 1, 0.1, 0)
    without, _ = played(encode_gif(frames, bare, 2.0, "cam", [1], 1))
    assert np.ptp(without[0][HEAD : HEAD + SIZE], axis=2).max() == 0
    ringed, _ = played(encode_gif(frames, case, 2.0, "cam", [1], 1))
    legend = slice(HEAD + SIZE + 36, None)
    assert not np.array_equal(without[0][legend], ringed[0][legend])


@pytest.mark.parametrize("frame_time, total", [(33.0, 1980), (66.7, 4000), (None, 6000), (8.0, 1200)])
def test_it_plays_at_the_speed_of_the_clip(case, frame_time, total):
    frames = np.zeros((60, 512, 512), np.uint8)
    _, times = played(encode_gif(frames, case, 2.0, "cam", [1], 1, frame_time))
    assert len(times) == 60 and abs(sum(times) - total) <= 5 and min(times) >= 20
