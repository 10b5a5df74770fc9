import numpy as np

from stenoscope.models.gradient import input_gradient


def test_gradient_of_a_sum_of_squares():
    values = np.array([[1.0, -2.0], [0.5, 3.0]], np.float32)
    np.testing.assert_allclose(input_gradient(lambda x: x * x, values), 2 * values, rtol=1e-6)


def test_what_does_not_count_has_no_gradient():
    values = np.ones((2, 3), np.float32)
    np.testing.assert_array_equal(input_gradient(lambda x: x[:, :1] * 4, values), [[4, 0, 0]] * 2)
