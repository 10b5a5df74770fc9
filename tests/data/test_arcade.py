import json

import cv2
import numpy as np
import pytest

from benchmarks.arcade.images import fill, read_grey, read_vessels
from stenoscope.data.arcade import read_lesions
from stenoscope.errors import DatasetError

CATEGORIES = [{"id": 1, "name": "1"}, {"id": 26, "name": "stenosis"}]


def annotation(number, image, category, polygon, box):
    return {
        "id": number,
        "image_id": image,
        "category_id": category,
        "segmentation": [polygon],
        "bbox": box,
    }


LESION = annotation(1, 5, 26, [10, 20, 30, 20, 30, 28, 10, 28], [10, 20, 20.5, 8])
SEGMENT = annotation(2, 5, 1, [40, 40, 43, 40, 43, 44, 40, 44], [40, 40, 3, 4])


def write_tree(root, task, annotations, published=True, files=("10.png", "2.png")):
    """Two frames, 5 = 10.png and 6 = 2.png."""
    folder = root / task / "train"
    (folder / "images").mkdir(parents=True)
    for name in files:
        cv2.imwrite(str(folder / "images" / name), np.full((64, 64), 90, np.uint8))
    images = [{"id": 5, "file_name": "10.png"}, {"id": 6, "file_name": "2.png"}]
    target = folder / "annotations" / "train.json" if published else folder / "train.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps({"images": images, "annotations": annotations, "categories": CATEGORIES}))
    return target


@pytest.mark.parametrize("published", [True, False])
def test_lesions_of_both_layouts(tmp_path, published):
    write_tree(tmp_path, "stenosis", [LESION, SEGMENT, {**LESION, "id": 3, "image_id": 6}], published)
    second, first = read_lesions(tmp_path, "train")  # 2.png before 10.png
    assert (second.name, first.name) == ("train/2.png", "train/10.png")
    assert first.boxes.tolist() == [[10, 20, 30.5, 28]] and first.boxes.dtype == np.float32
    assert first.polygons[0][0].tolist() == [[10, 20], [30, 20], [30, 28], [10, 28]]
    assert read_grey(first.path).shape == (64, 64)


def test_a_frame_without_a_lesion_is_left_out(tmp_path):
    write_tree(tmp_path, "stenosis", [LESION, {**SEGMENT, "image_id": 6}])
    assert [item.name for item in read_lesions(tmp_path, "train")] == ["train/10.png"]


def test_vessels_from_polygons_and_from_masks_are_the_same(tmp_path):
    write_tree(tmp_path, "syntax", [LESION, SEGMENT])
    empty, drawn = read_vessels(tmp_path, "train")
    assert not empty.mask.any()
    assert drawn.mask.sum() == 4 * 5 and drawn.mask[40:45, 40:44].all()  # outlines count; the lesion does not
    masks = tmp_path / "syntax" / "train" / "masks"
    masks.mkdir()
    cv2.imwrite(str(masks / "10.png"), drawn.mask.astype(np.uint8) * 255)
    (kept,) = read_vessels(tmp_path, "train")
    assert kept.name == "train/10.png" and (kept.mask == drawn.mask).all()


def test_fill_rounds_to_pixels():
    mask = np.zeros((8, 8), np.uint8)
    fill(mask, (np.array([[1.4, 1.4], [3.4, 1.4], [3.4, 2.6], [1.4, 2.6]], np.float32),))
    assert mask[1:4, 1:4].all() and mask.sum() == 9


def test_a_missing_folder_names_the_layout(tmp_path):
    with pytest.raises(DatasetError, match="stenosis/val") as problem:
        read_lesions(tmp_path, "val")
    assert "stenosis/ and syntax/" in problem.value.expected


def test_a_missing_image_is_named(tmp_path):
    write_tree(tmp_path, "stenosis", [LESION], files=("10.png",))
    with pytest.raises(DatasetError, match=r"2\.png is missing"):
        read_lesions(tmp_path, "train")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"segmentation": {"counts": "abc"}}, "polygon"),
        ({"segmentation": [[1, 2, 3, 4]]}, "fewer than three points"),
        ({"bbox": [1, 2, 0, 4]}, "box"),
        ({"image_id": 77}, "image 77"),
    ],
)
def test_damaged_annotations_are_refused(tmp_path, change, says):
    write_tree(tmp_path, "stenosis", [{**LESION, **change}])
    with pytest.raises(DatasetError, match=says):
        read_lesions(tmp_path, "train")


@pytest.mark.parametrize("text", ["{", "[]", '{"images": []}'])
def test_a_file_that_is_no_coco_is_refused(tmp_path, text):
    write_tree(tmp_path, "stenosis", [LESION]).write_text(text)
    with pytest.raises(DatasetError, match="can't be read"):
        read_lesions(tmp_path, "train")


def test_no_stenosis_category(tmp_path):
    target = write_tree(tmp_path, "stenosis", [LESION])
    target.write_text(target.read_text().replace('"stenosis"', '"narrowing"'))
    with pytest.raises(DatasetError, match="no category 'stenosis'"):
        read_lesions(tmp_path, "train")
