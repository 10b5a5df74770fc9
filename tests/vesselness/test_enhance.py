import numpy as np
import pytest
from skimage import morphology

from stenoscope.vesselness.enhance import black_tophat, disk, enhance_contrast


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(3).integers(0, 256, (61, 83), dtype=np.uint8)


def test_disk_is_scikit_images():
    for radius in (0, 1, 3, 10):
        np.testing.assert_array_equal(disk(radius), morphology.disk(radius))


def test_enhancement_is_the_published_formula_without_the_wrap(image):
    footprint = morphology.disk(10)
    white = morphology.white_tophat(image, footprint).astype(int)
    black = morphology.black_tophat(image, footprint).astype(int)
    expected = image.astype(int) + white - np.minimum(black, image)
    result = enhance_contrast(image)
    np.testing.assert_array_equal(result, expected)
    assert result.dtype == np.int16
    assert result.max() > 255  # uint8 arithmetic would have wrapped here
    assert result.min() >= 0


def test_black_tophat_keeps_what_is_dark_and_thinner_than_the_disk():
    image = np.full((80, 120), 100, np.uint8)
    image[:, 20:26] = 60  # 6 px wide: a vessel
    image[:, 60:100] = 60  # 40 px wide: a shadow
    result = black_tophat(image, radius=10)
    assert (result[:, 20:26] == 40).all()
    assert not result[:, 26:].any()
    assert not enhance_contrast(np.zeros((30, 30), np.uint8)).any()


def test_other_types_are_refused():
    with pytest.raises(ValueError, match="uint8"):
        enhance_contrast(np.zeros((8, 8), np.float32))
    with pytest.raises(ValueError, match="uint8"):
        black_tophat(np.zeros((2, 8, 8), np.uint8))
