"""Clips changed in time and in exposure, so that training meets more kinds than there are clips."""

import numpy as np

from stenoscope.temporal.labels import clipped

_SHORTEST = 5


def vary(
    values: np.ndarray, actions: np.ndarray, rng: np.random.Generator, longest: int
) -> tuple[np.ndarray, np.ndarray]:
    """One clip, changed at random, of at most `longest` frames.

    In time: frame rates from half to four times as high, either end cut off, static frames before, frames of
    the wash-out repeated at the end, and the frames before the contrast alone. In space: mirrored and turned.
    In exposure: gain, its drift, noise, a blade across one side.

    `values` is uint8 (num_frames, size, size, channels), as of `features.extract`, `actions` float32 (2, 2).
    Returned are values, float32 (n, size, size, channels), and actions in frames of the changed clip.
    """
    if rng.random() < 0.06 and actions[0, 0] >= 4:
        time, actions = _before(int(actions[0, 0]) - 1, rng), np.full((2, 2), np.nan, np.float32)
    else:
        time, actions = _course(len(values), actions, rng, longest)
    return _expose(_at(values, time), rng), clipped(actions, len(time))


def _before(last: int, rng) -> np.ndarray:
    """Frames 0 to `last` to and fro: a catheter, and no contrast."""
    there_and_back = np.abs(np.arange(rng.integers(_SHORTEST, 41)) % (2 * last) - last)
    return (last - there_and_back).astype(float)


def _course(num_frames: int, actions: np.ndarray, rng, longest: int) -> tuple[np.ndarray, np.ndarray]:
    """Times of the changed clip's frames, in frames of the clip, and its actions."""
    first, last = 0.0, num_frames - 1.0
    cut = rng.random()
    if cut < 0.15:
        first = np.floor(rng.uniform(0.1, 0.5) * num_frames)
    elif cut < 0.35:
        last = np.ceil(rng.uniform(0.4, 0.95) * num_frames)
    elif cut < 0.45:
        first = np.floor(rng.uniform(0.0, 0.6) * num_frames)
        last = min(last, np.ceil(first + rng.uniform(0.15, 0.6) * num_frames))
    last = max(last, min(first + _SHORTEST - 1, num_frames - 1))
    pace = 1.0 if rng.random() < 0.5 else float(np.exp(rng.uniform(np.log(0.25), np.log(2.0))))
    pace = max(pace, (last - first) / (longest - 1))
    if (last - first) / pace < _SHORTEST - 1:
        pace = 1.0
    time = np.minimum(np.arange(first, last + 1e-6, pace), last)
    if pace > 1:
        time = np.round(time)  # frames are left out, not blended
    changed = np.interp(actions, time, np.arange(len(time)), left=-1e-3, right=len(time) - 1 + 1e-3)
    changed[np.isnan(actions)] = np.nan
    if rng.random() < 0.15:
        tail = time[time > np.nan_to_num(actions[1].mean(), nan=np.inf)]
        time = np.concatenate([time, tail])[:longest]
    if rng.random() < 0.15:
        still = min(int(rng.integers(1, 16)), longest - len(time))
        begun = changed <= 0  # what has begun in the first frame has begun in its copies
        time = np.concatenate([np.full(still, time[0]), time])
        changed = np.where(begun, changed, changed + still)
    return time, changed.astype(np.float32)


def _at(values: np.ndarray, time: np.ndarray) -> np.ndarray:
    """Frames at these times, blended from the two on either side."""
    low = np.clip(np.floor(time).astype(int), 0, len(values) - 1)
    high = np.minimum(low + 1, len(values) - 1)
    share = (time - low).astype(np.float32)[:, None, None, None]
    blended = values[low].astype(np.float32)
    if share.any():
        blended += share * (values[high] - blended)
    return blended


def _expose(values: np.ndarray, rng) -> np.ndarray:
    if rng.random() < 0.5:
        values = values.transpose(0, 2, 1, 3)
    values = values[:, :: rng.choice([-1, 1]), :: rng.choice([-1, 1])]
    values = np.roll(values, rng.integers(-6, 7, 2), axis=(1, 2))
    drift = np.linspace(-1, 1, len(values)) * rng.normal(0, 0.08) + rng.normal(0, 0.02, len(values))
    gain = rng.uniform(0.6, 1.4) * (1 + drift)
    noise = rng.uniform(0, 1.5) * np.abs(rng.standard_normal(values.shape, np.float32))
    values = values * gain[:, None, None, None].astype(np.float32) + noise
    if rng.random() < 0.2:
        width, side = int(rng.integers(3, 16)), rng.integers(4)
        blade = [values[:, :width], values[:, -width:], values[:, :, :width], values[:, :, -width:]][side]
        blade[...] = 0
    return np.clip(values, 0, 255, out=values)
