import cv2
import numpy as np
import pytest

from stenoscope.vesselness.combined import vessel_map, vessel_mask, widest_points
from stenoscope.vesselness.hessian import vesselness


def test_a_vessel_answers_and_an_edge_does_not():
    image = np.full((128, 128), 140, np.uint8)
    image[:, 30:38] -= 40
    image[:, 90:] -= 60  # the edge of a shadow
    response = vessel_map(image)
    assert response[64, 34] > 5
    assert response[64, 80:110].max() < 0.05 * response[64, 34]
    assert vesselness(image)[64, 80:110].max() > 0.3 * vesselness(image)[64, 34]  # what it is good for


def test_nothing_in_nothing_out():
    assert vessel_map(np.full((40, 30), 99, np.uint8)).max() < 1e-2


def test_masks_of_real_frames_are_found(real_data):
    from sklearn.metrics import average_precision_score

    folder = real_data / "arcade" / "syntax" / "val"
    path = sorted((folder / "images").glob("*.png"))[0]
    image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    mask = cv2.imread(str(folder / "masks" / path.name), cv2.IMREAD_GRAYSCALE) > 0
    ours = average_precision_score(mask.ravel(), vessel_map(image).ravel())
    assert ours > 3 * mask.mean()


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float64])
def test_types(dtype):
    response = vessel_map(np.arange(60 * 50).reshape(60, 50).astype(dtype))
    assert response.dtype == np.float32 and np.isfinite(response).all()


def test_the_mask_holds_long_vessels_alone():
    image = np.full((200, 200), 140, np.uint8)
    image[:, 60:68] -= 40
    image[100:110, 150:160] -= 40  # as dark, but short
    mask = vessel_mask(image)
    assert mask[100, 61:67].all() and not mask[:, 140:].any() and mask.mean() < 0.08
    assert not vessel_mask(np.full((40, 30), 99, np.uint8)).any()


def test_the_mask_of_a_real_frame_covers_more_of_its_vessels_than_of_the_rest(real_data):
    folder = real_data / "arcade" / "syntax" / "val"
    path = sorted((folder / "images").glob("*.png"))[0]
    found = vessel_mask(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE))
    truth = cv2.imread(str(folder / "masks" / path.name), cv2.IMREAD_GRAYSCALE) > 0
    assert found[truth].mean() > 0.5 > 5 * found[~truth].mean()


def test_the_widest_points_lie_on_the_centre_line_of_the_widest_vessel():
    mask = np.zeros((100, 200), bool)
    mask[20:25, 5:195] = True
    mask[60:81, 80:180] = True
    rows, cols = np.nonzero(widest_points(mask))
    assert len(rows) and (np.abs(rows - 70) <= 1).all() and ((cols >= 80) & (cols < 180)).all()
    assert not widest_points(np.zeros((10, 10), bool)).any()


def test_mask_and_widest_points_do_not_depend_on_the_number_of_threads(real_data):
    path = sorted((real_data / "arcade" / "syntax" / "val" / "images").glob("*.png"))[3]
    image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    threads, found = cv2.getNumThreads(), []
    try:
        for count in (1, 2, 3):
            cv2.setNumThreads(count)
            mask = vessel_mask(image)
            found.append((mask.tobytes(), widest_points(mask).tobytes()))
    finally:
        cv2.setNumThreads(threads)
    assert found[0] == found[1] == found[2]
