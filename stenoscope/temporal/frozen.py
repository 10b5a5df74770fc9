"""What a frozen backbone sees of a frame: the alternative to vesselness.

EfficientNet-Lite0 with its ImageNet weights, cut at stride 8, on the frame at 256 x 256 less its local mean.
Of the 40 channels there, four are kept, each as the depth in grey levels of the drawn dark line that it
answers as much. Which ones, and their scales, were found on drawn lines alone (`calibrate`); nothing is
trained.
"""

import functools
import sys

import cv2
import numpy as np

SIDE, SIZE = 256, 32
"""Rows and columns of the frame that the backbone sees, and of its features."""
LAYER = "block4_add"
"""Where the backbone is cut."""
KEPT = ((39, -0.796), (29, 0.449), (18, 0.704), (9, 0.469))
"""Channel, and its answer to a line one grey level deep: what `calibrate` finds, best first. Their
separation is 1.4 to 2.5; that of the next ones is below 1.2, and noise alone fills some of them."""
STEPS = 4
"""Steps per grey level in which features are kept as uint8."""
_LOCAL = 33  # pixels: the mean over a square of this side is what the field looks like without vessels
_GAIN = 2.0  # vessels are fainter than what photographs show
_BATCH = 8
_DEPTH, _NOISE, _LINES = 20.0, 3.0, 16  # grey levels, grey levels (standard deviation), images


def measure(frames: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Features of frames, each by itself.

    Parameters
    ----------
    frames : ndarray, uint8, shape (num_frames, rows, cols)
        Vessels dark.
    seen : ndarray, uint8, shape (256, 256)
        0 where nothing is to be measured, 1 elsewhere.

    Returns
    -------
    ndarray, uint8, shape (num_frames, 32, 32, 4)
        In steps of 1/4 grey level; 0 where a channel answers like to a plain field, or the other way round.
    """
    channels, unit = [channel for channel, _ in KEPT], np.array([answer for _, answer in KEPT], np.float32)
    plain = _plain()[..., channels]
    weight = seen.astype(np.float32)
    area = np.maximum(cv2.blur(weight, (_LOCAL, _LOCAL)), 1e-3)
    values = np.empty((len(frames), SIZE, SIZE, len(KEPT)), np.uint8)
    for first in range(0, len(frames), _BATCH):
        reduced = [
            cv2.resize(frame.astype(np.float32), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
            for frame in frames[first : first + _BATCH]
        ]
        detail = np.stack([_detail(frame * weight, weight, area) for frame in reduced])
        answer = (_answers(detail)[..., channels] - plain) / unit
        values[first : first + _BATCH] = np.clip(np.rint(STEPS * answer), 0, 255)
    return values


def _detail(frame: np.ndarray, weight: np.ndarray, area: np.ndarray) -> np.ndarray:
    """Frame less its mean over the seen surroundings, float32; 0 where it is not seen."""
    return weight * (frame - cv2.blur(frame, (_LOCAL, _LOCAL)) / area)


def _answers(detail: np.ndarray) -> np.ndarray:
    """All channels at the cut, float32 (n, 32, 32, 40), of at most 8 images of grey levels around 0."""
    model, preprocessing = _backbone()
    images = np.zeros((_BATCH, SIDE, SIDE), np.float32)  # always as many: the network is traced once
    images[: len(detail)] = detail
    middle = np.float32(preprocessing.centre[0])
    colour = np.repeat((middle + _GAIN * images)[..., None], 3, axis=-1)
    return model.predict_on_batch(preprocessing(colour))[: len(detail)]


@functools.cache
def _plain() -> np.ndarray:
    """The answer to a field without anything, float32 (32, 32, 40)."""
    return _answers(np.zeros((1, SIDE, SIDE), np.float32))[0]


@functools.cache
def _backbone():
    """The network up to the cut and its preprocessing, read once.

    The tensor library, if this is its first use, gets one thread: processes are the parallelism.
    """
    if "keras" not in sys.modules:
        from stenoscope.training.machine import prepare

        prepare(threads=1, seed=0)
    import keras

    from stenoscope.models.backbones import build_backbone, cut_layer, get_backbone
    from stenoscope.models.weights import load_weights

    backbone = get_backbone("efficientnet_lite0")
    whole = build_backbone(backbone, keras.Input((SIDE, SIDE, 3)))
    model = keras.Model(whole.inputs, cut_layer(backbone, whole, LAYER).output)
    load_weights(backbone, whole, model.layers, "imagenet")
    model.trainable = False
    return model, backbone.preprocessing


def calibrate(count: int = len(KEPT)) -> list[tuple[int, float]]:
    """Channels that tell drawn lines best from noise, and their answer to a line one grey level deep.

    Lines 1 to 3 pixels wide cross noisy fields at all angles. A channel's separation is the difference of its
    means in the cells on lines and in the cells of fields without, over its larger standard deviation there.
    """
    rng = np.random.default_rng(0)
    without = _NOISE * rng.standard_normal((_LINES, SIDE, SIDE), np.float32)
    drawn, crossed = zip(*(_line(rng, k) for k in range(_LINES)), strict=True)
    on = np.stack(crossed)
    noise = np.concatenate([_answers(part) for part in np.split(without, _LINES // _BATCH)])
    lines = np.concatenate(
        [_answers(part) for part in np.split(without[::-1] - _DEPTH * np.stack(drawn), _LINES // _BATCH)]
    )
    gain = lines[on].mean(axis=0) - noise[on].mean(axis=0)
    spread = np.maximum(lines[on].std(axis=0), noise[on].std(axis=0))
    best = np.argsort(-np.abs(gain) / spread, kind="stable")[:count]
    return [(int(channel), float(gain[channel] / _DEPTH)) for channel in best]


def _line(rng: np.random.Generator, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Three parallel lines, 0 to 1, float32 (256, 256), and the cells that they cross, bool (32, 32)."""
    angle = np.pi * k / _LINES
    along, across = np.array([np.cos(angle), np.sin(angle)]), np.array([-np.sin(angle), np.cos(angle)])
    image = np.zeros((SIDE, SIDE), np.uint8)
    for offset, width in ((-70, 1), (0, 2), (70, 3)):
        middle = SIDE / 2 + (offset + rng.uniform(-8, 8)) * across
        ends = [tuple(np.rint(16 * (middle + 300 * side * along)).astype(int).tolist()) for side in (-1, 1)]
        cv2.line(image, *ends, 255, width, cv2.LINE_AA, 4)
    soft = cv2.GaussianBlur(image, (0, 0), 0.6).astype(np.float32) / 255
    return soft, cv2.resize(soft, (SIZE, SIZE), interpolation=cv2.INTER_AREA) > 0.12
