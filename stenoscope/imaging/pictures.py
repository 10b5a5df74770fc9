"""Grey levels of one image file, or of one page of it, whatever its mode, depth and orientation."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageOps

from stenoscope.errors import DicomError
from stenoscope.imaging.facts import MAX_SIDE
from stenoscope.run import access

FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "GIF")

_GREY = ("1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L")
_COLOUR = ("P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr")
_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as Pillow weighs 8-bit colour
_ORIENTATION, _BITS, _PHOTOMETRIC = 274, 258, 262  # tags of EXIF and TIFF


@dataclass(frozen=True)
class Look:
    """What frames of one run should share."""

    mode: str  # as Pillow calls it: L, RGB, P; with 16 after it for 16-bit colour
    orientation: int  # of EXIF or TIFF, 1 to 8; 1 is upright
    size: tuple[int, int]  # rows and columns when upright
    kind: str  # format, such as PNG
    pages: int  # images in the file

    @property
    def is_colour(self) -> bool:
        """Whether it has to be converted to grey."""
        return self.mode not in _GREY and self.mode != "LA16"


def look(image: Image.Image) -> Look:
    """What the header of an open image, or of its current page, says."""
    mode = image.mode + ("16" if _is_deep_colour(image) else "")  # before PNG is read for its orientation
    orientation = image.getexif().get(_ORIENTATION, 1)
    orientation = orientation if orientation in range(1, 9) else 1
    cols, rows = image.size
    if orientation >= 5 and image.format != "TIFF":  # which Pillow gives as it will be turned
        rows, cols = cols, rows
    return Look(mode, orientation, (rows, cols), image.format or "", getattr(image, "n_frames", 1))


@contextlib.contextmanager
def open_image(path: Path) -> Iterator[Image.Image]:
    """Open an image of a known format; to be used within `reading`."""
    # not by its name: Pillow maps such files into memory, and garbles TIFF that lies on its side
    with access.open_file(path) as stream, Image.open(stream, formats=FORMATS) as image:
        if max(image.size) > MAX_SIDE:
            raise ValueError("frame size out of range")
        yield image


def load_image(path: Path) -> tuple[np.ndarray, Look, bool]:
    """Grey levels of a file of one image, as `grey_levels` gives them, and how it looks.

    Raises DicomError if it is damaged, of a kind that is not read, or has several pages.
    """
    with reading(path), open_image(path) as image:
        seen = look(image)
        if seen.pages > 1 and seen.kind != "MPO":  # a JPEG with a preview
            raise DicomError(
                f"{path} holds {seen.pages} images.", "one frame a file", "save each of them as a file."
            )
        grey, transparent = grey_levels(image, seen, path)
        return grey, seen, transparent


def grey_levels(image: Image.Image, seen: Look, path: Path) -> tuple[np.ndarray, bool]:
    """Grey levels of the current page of an image, upright, and whether parts of it are transparent.

    They are uint8 or uint16 (rows, cols): colour becomes grey by its luma, transparent parts lie on black,
    and 16 bits a sample stay 16. Raises DicomError for floating point, 32 bits and CIELAB.
    """
    if image.mode not in (*_GREY, *_COLOUR):
        raise _unread(path, f"has pixels of a kind ({image.mode}) that is not read")
    if seen.mode.endswith("16") and seen.mode != "I;16":
        return _deep_colour(image, seen, path)
    inverted = image.format == "TIFF" and image.tag_v2.get(_PHOTOMETRIC) == 0
    image.load()  # turns TIFF
    image = ImageOps.exif_transpose(image)
    clear = image.info.get("transparency")
    if image.mode in ("I", "I;16", "I;16B", "I;16L"):
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 0xFFFF:
            raise _unread(path, f"holds values from {values.min()} to {values.max()}")
        grey = values.astype(np.uint16)
        if inverted:  # Pillow inverts 8 bits and fewer itself
            grey = 0xFFFF - grey
        gone = np.zeros(grey.shape, bool) if not isinstance(clear, int) else grey == clear
        grey[gone] = 0
        return grey, bool(gone.any())
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or clear is not None:
        image = image.convert("RGBA")
        lowest = image.getextrema()[3][0]
        if lowest < 255:
            image = Image.alpha_composite(Image.new("RGBA", image.size, (0, 0, 0, 255)), image)
        return np.asarray(image.convert("RGB").convert("L")), lowest < 255
    return np.asarray(image.convert("L")), False


def _is_deep_colour(image: Image.Image) -> bool:
    """Whether an image has more than one sample a pixel, of 16 bits, of which Pillow would keep 8."""
    if image.format == "TIFF":
        bits = image.tag_v2.get(_BITS, (8,))
        return len(bits) > 1 and max(bits) > 8
    tile = image.tile[0] if image.format == "PNG" and image.tile else None
    return tile is not None and str(tile[3]).startswith(("RGB;16", "RGBA;16", "LA;16"))


def _deep_colour(image: Image.Image, seen: Look, path: Path) -> tuple[np.ndarray, bool]:
    """`grey_levels` of 16-bit colour, decoded by OpenCV, which turns TIFF and no PNG."""
    orientation = 1 if image.format == "TIFF" else seen.orientation
    page = image.tell() if image.format == "TIFF" else 0
    done, pages = cv2.imreadmulti(str(path), start=page, count=1, flags=cv2.IMREAD_UNCHANGED)
    samples = pages[0] if done and pages else None
    if samples is None or samples.dtype != np.uint16 or samples.ndim != 3:
        raise _unread(path, "has more than 8 bits a colour in a form that is not read")
    grey = samples[..., 2::-1].astype(np.float64) @ np.array(_LUMA)
    alpha = samples[..., 3] if samples.shape[2] == 4 else np.full(grey.shape, 0xFFFF, np.uint16)
    transparent = bool((alpha < 0xFFFF).any())
    if transparent:
        grey *= alpha / 0xFFFF
    turned = {
        2: np.fliplr, 3: lambda grey: np.rot90(grey, 2), 4: np.flipud, 5: np.transpose,
        6: lambda grey: np.rot90(grey, -1), 7: lambda grey: np.rot90(grey, 2).T, 8: np.rot90,
    }.get(orientation, np.asarray)  # fmt: skip
    return np.ascontiguousarray(turned(np.rint(grey).astype(np.uint16))), transparent


def _unread(path: Path, what: str) -> DicomError:
    return DicomError(
        f"{path} {what}.",
        "grey or colour of 8 or 16 bits a sample",
        "convert it to PNG with 8 or 16 bits, with the same grey scale for the whole run.",
    )


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what Pillow and OpenCV raise on damaged files into a DicomError."""
    try:
        yield
    except DicomError:
        raise
    except (
        OSError, ValueError, SyntaxError, RuntimeError, LookupError, AssertionError, TypeError, EOFError,
        AttributeError, ArithmeticError, MemoryError, Image.DecompressionBombError, cv2.error,
    ) as problem:  # fmt: skip
        raise DicomError(
            f"{path} can't be decoded ({type(problem).__name__}).",
            "a whole PNG, JPEG, BMP, TIFF or GIF file",
            "copy or export it again.",
        ) from None
