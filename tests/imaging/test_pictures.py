import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageOps

from stenoscope.errors import DicomError
from stenoscope.imaging import pictures

GREY = np.arange(6 * 9, dtype=np.uint8).reshape(6, 9) * 4
DEEP = np.random.default_rng(0).integers(0, 0x10000, (6, 9, 3), np.uint16)


def luma(colour):
    return np.rint(colour[..., :3].astype(float) @ [0.299, 0.587, 0.114])


def save(path, image, **options):
    image.save(path, **options)
    return path


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["png", "tif", "bmp"])
def test_orientation_is_applied(tmp_path, orientation, suffix):
    exif = Image.Exif()
    exif[274] = orientation
    path = save(tmp_path / f"1.{suffix}", Image.fromarray(GREY), exif=exif)
    if suffix == "bmp":  # which has none
        orientation = 1
    turned = Image.new("L", (9, 6))
    turned.putdata(GREY.ravel().tolist())
    turned.getexif()[274] = orientation
    grey, look, transparent = pictures.load_image(path)
    np.testing.assert_array_equal(grey, np.asarray(ImageOps.exif_transpose(turned)))
    assert (look.orientation, look.size, transparent) == (orientation, grey.shape, False)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_of_sixteen_bit_colour(tmp_path, orientation):
    tifffile.imwrite(
        tmp_path / "1.tif", DEEP, photometric="rgb", extratags=[(274, "H", 1, orientation, True)]
    )
    exif = Image.Exif()
    exif[274] = orientation
    png = cv2.imencode(".png", DEEP[..., ::-1])[1].tobytes()
    small = save(tmp_path / "small.png", Image.fromarray(GREY), exif=exif).read_bytes()
    start = small.index(b"eXIf") - 4
    chunk = small[start : start + 12 + int.from_bytes(small[start : start + 4], "big")]
    (tmp_path / "1.png").write_bytes(png[:33] + chunk + png[33:])
    upright = Image.fromarray(luma(DEEP).astype(np.int32))
    upright.getexif()[274] = orientation
    expected = np.asarray(ImageOps.exif_transpose(upright))
    for name in ("1.tif", "1.png"):
        grey, look, _ = pictures.load_image(tmp_path / name)
        assert grey.dtype == np.uint16 and look.mode == "RGB16" and look.size == grey.shape
        np.testing.assert_array_equal(grey, expected)


def test_sixteen_bits_stay_sixteen(tmp_path):
    alpha = np.full((6, 9, 1), 0xFFFF, np.uint16)
    alpha[0, 0], alpha[0, 1] = 0, 0x8000
    cv2.imwrite(str(tmp_path / "1.png"), np.concatenate([DEEP[..., ::-1], alpha], 2))
    grey, _, transparent = pictures.load_image(tmp_path / "1.png")
    np.testing.assert_allclose(grey, luma(DEEP) * alpha[..., 0] / 0xFFFF, atol=1)
    assert grey[0, 0] == 0 and transparent
    grey, _, transparent = pictures.load_image(save(tmp_path / "2.png", Image.fromarray(DEEP[..., 0])))
    np.testing.assert_array_equal(grey, DEEP[..., 0])
    assert not transparent
    tifffile.imwrite(tmp_path / "3.tif", DEEP[..., 0], photometric="miniswhite")
    np.testing.assert_array_equal(pictures.load_image(tmp_path / "3.tif")[0], 0xFFFF - DEEP[..., 0])


def test_transparent_parts_lie_on_black(tmp_path):
    alpha = np.full((6, 9), 255, np.uint8)
    opaque = Image.merge("LA", [Image.fromarray(GREY), Image.fromarray(alpha)])
    alpha[0], alpha[1] = 0, 128
    for number, mode in enumerate(("LA", "RGBA")):
        image = Image.merge("LA", [Image.fromarray(GREY), Image.fromarray(alpha)]).convert(mode)
        grey, _, transparent = pictures.load_image(save(tmp_path / f"{number}.png", image))
        np.testing.assert_allclose(grey, GREY * (alpha / 255.0), atol=1)
        assert transparent and not grey[0].any()
    grey, _, transparent = pictures.load_image(save(tmp_path / "8.png", opaque))
    assert not transparent and np.array_equal(grey, GREY)
    palette = Image.fromarray(GREY).convert("P")
    grey, _, transparent = pictures.load_image(save(tmp_path / "9.png", palette, transparency=8))
    np.testing.assert_array_equal(grey, np.where(GREY == 8, 0, GREY))
    assert transparent


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif"])
def test_one_bit_is_black_and_white(tmp_path, suffix):
    grey, _, _ = pictures.load_image(save(tmp_path / f"1.{suffix}", Image.fromarray(GREY > 100)))
    np.testing.assert_array_equal(grey, np.where(GREY > 100, 255, 0))


def test_a_palette_and_cmyk_become_their_colours(tmp_path):
    reversed_palette = Image.fromarray(255 - GREY).convert("P")
    reversed_palette.putpalette([level for level in range(255, -1, -1) for _ in range(3)])
    np.testing.assert_array_equal(pictures.load_image(save(tmp_path / "1.png", reversed_palette))[0], GREY)
    cmyk = save(tmp_path / "1.tif", Image.fromarray(GREY).convert("RGB").convert("CMYK"))
    np.testing.assert_allclose(pictures.load_image(cmyk)[0], GREY, atol=1)


@pytest.mark.parametrize(
    "values, said",
    [
        (GREY.astype(np.float32), "pixels of a kind"),
        (GREY.astype(np.int32) - 9, "values from -9 to 203"),
        (GREY.astype(np.int32) * 400, "values from 0 to 84800"),
    ],
)
def test_what_eight_or_sixteen_bits_can_not_hold_is_refused(tmp_path, values, said):
    path = save(tmp_path / "1.tif", Image.fromarray(values))
    with pytest.raises(DicomError, match=rf"1\.tif .*{said}") as caught:
        pictures.load_image(path)
    assert "convert it to PNG" in caught.value.fix


def test_an_animation_is_no_frame(tmp_path):
    images = [Image.fromarray(GREY), Image.fromarray(255 - GREY)]
    images[0].save(tmp_path / "1.png", save_all=True, append_images=images[1:])
    with pytest.raises(DicomError, match=r"1\.png holds 2 images"):
        pictures.load_image(tmp_path / "1.png")


def test_real_modes(real_data):
    folder = real_data / "cases/27-image-modes/in"
    grey, reference = (np.asarray(Image.open(folder / name)) for name in ("grey/f03.png", "jpg_ref/f03.jpg"))
    for name in ("rgba_opaque", "palette_rev"):
        np.testing.assert_array_equal(pictures.load_image(folder / name / "f03.png")[0], grey)
    np.testing.assert_array_equal(pictures.load_image(folder / "sixteen/f03.png")[0] // 257, grey)
    for name in ("exif3", "exif6", "cmyk"):
        found = pictures.load_image(folder / name / "f03.jpg")[0]
        assert np.abs(found.astype(int) - reference).mean() < 0.1
    found, _, transparent = pictures.load_image(folder / "rgba_transparent_corners/f03.png")
    alpha = np.asarray(Image.open(folder / "rgba_transparent_corners/f03.png"))[..., 3]
    np.testing.assert_array_equal(found, np.where(alpha, grey, 0))
    assert transparent
