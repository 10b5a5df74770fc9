import numpy as np

from benchmarks.receptive_field import images, last_of_blocks


def test_the_last_layer_of_each_block():
    names = ["stem_relu", "block0_conv", "block0_project_bn", "block10_expand", "block10_add", "pooling"]
    assert last_of_blocks(names) == ["block0_project_bn", "block10_add"]


def test_random_images_are_always_the_same():
    first, again = images("", 2, 32), images("", 2, 32)
    assert first.shape == (2, 32, 32, 1) and first.dtype == np.float32
    np.testing.assert_array_equal(first, again)
