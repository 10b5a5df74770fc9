"""Small drawn clips with a known course of the contrast."""

import numpy as np

LEVELS = np.concatenate(
    [np.zeros(6), np.linspace(0, 1, 7)[1:], np.ones(8), np.linspace(1, 0, 9)[1:], np.zeros(4)]
)
"""Six empty frames, six of filling, a plateau in 11..19, eight of wash-out, four empty ones."""


def filling_clip(levels, size=192, seed=0, pan=None):
    """A catheter, ribs and five vessels whose darkness follows `levels` (0..1), in noise.

    `pan` moves everything to the right by so many pixels in each frame.
    """
    rng = np.random.default_rng(seed)
    wide = size + 160
    scene = np.full((size, wide), 130.0)
    scene += 12 * np.sin(np.arange(wide) / 9) * np.sin(np.arange(size) / 13)[:, None]
    scene[10:60, 96 + 80 : 100 + 80] -= 40
    scene[100:104] -= 20
    tree = np.zeros((size, wide))
    for column in range(30, 170, 28):
        tree[60:170, column + 80 : column + 85] = 35
    frames = np.empty((len(levels), size, size), np.uint8)
    for index, level in enumerate(levels):
        left = 80 - (0 if pan is None else int(pan[index]))
        picture = (scene - level * tree)[:, left : left + size]
        frames[index] = (picture + rng.normal(0, 3, picture.shape)).clip(0, 255)
    return frames
