import json

import numpy as np
import pytest

from stenoscope.data.truth import (
    boxes_text,
    fit_boxes,
    keyframe_lesions,
    read_truth,
    truth_text,
    unknown_ids,
)
from stenoscope.errors import DatasetError
from stenoscope.imaging.intake import Source

BOX, OTHER = [1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]


def test_a_frame_without_a_mark_has_no_box(tmp_path):
    seen = {"kind": "p99", "severity": 0.99, "boxes": [None, BOX, OTHER, None]}
    clips = {"a": {"lesions": [seen, {"boxes": [BOX, None, None, None]}, {"box": OTHER}]}}
    (tmp_path / "truth.json").write_text(truth_text(clips))
    assert read_truth(tmp_path / "truth.json") == clips
    first, second = keyframe_lesions(
        clips["a"]["lesions"], (1, 2, 2, 3, 3)
    )  # the second is marked in none of them
    np.testing.assert_array_equal(first["boxes"], [BOX, OTHER, OTHER, [np.nan] * 4, [np.nan] * 4])
    assert first["boxes"].dtype == np.float32 and first["severity"] == 0.99
    np.testing.assert_array_equal(second["boxes"], [OTHER] * 5)


def test_boxes_that_are_wrong_are_refused(tmp_path):
    path = tmp_path / "truth.json"
    path.write_text(truth_text({"a": {"lesions": [{"boxes": [None, [3, 2, 1, 4]]}]}}))
    with pytest.raises(DatasetError, match="clip 'a'"):
        read_truth(path)
    path.write_text(
        json.dumps({"schema": "stenoscope/truth", "version": 1, "clips": {"a": {"lesions": [{}]}}})
    )
    with pytest.raises(DatasetError, match="None"):
        read_truth(path)


def test_what_does_not_fit_a_clip_is_counted():
    wide = {"boxes": {"0": [500.0, 0.0, 600.0, 9.0], "7": BOX}}
    entry = {"lesions": [wide, {"boxes": [BOX]}, {"box": [600.0, 0.0, 700.0, 9.0]}, {"box": BOX}]}
    lesions, faults = fit_boxes("a", entry, 3, (512, 512))
    assert lesions == [{"boxes": {"0": [500.0, 0.0, 512, 9.0]}}, {"box": BOX}]
    faults += unknown_ids({"a": entry, "b": entry, "c": entry}, ["a"])
    assert boxes_text(1, faults) == (
        "boxes for 1 clip; 2 ids unknown; 2 boxes outside; 1 box of a frame that its clip does not have; "
        "1 lesion with a wrong number of boxes"
    )


def test_source_pixels_are_brought_into_the_frame():
    # 1024 x 768: padded to a square by 128 columns a side, then halved
    lesions, faults = fit_boxes(
        "a", {"pixels": "source", "lesions": [{"box": [0, 0, 768, 1024]}]}, 3, (1024, 768)
    )
    assert lesions == [{"box": [64.0, 0.0, 448.0, 512.0]}] and not faults


SOURCES = [Source(None, "p1/c1", "dicom", "p1/c1.dcm")]


@pytest.mark.parametrize(
    "name,text",
    [
        ("boxes.csv", "clip_id,frame,x0,y0,x1,y1,kind\np1/c1,12,10,20,30,40,focal\n"),
        (
            "coco.json",
            json.dumps(
                {
                    "images": [{"id": 1, "file_name": "p1_c1_frame_0012.png", "width": 512, "height": 512}],
                    "categories": [{"id": 3, "name": "focal"}],
                    "annotations": [{"id": 1, "image_id": 1, "category_id": 3, "bbox": [10, 20, 20, 20]}],
                }
            ),
        ),
        (
            "images.xml",
            '<annotations><image id="0" name="p1/c1/12.png" width="512" height="512">'
            '<box label="focal" xtl="10" ytl="20" xbr="30" ybr="40"/></image></annotations>',
        ),
        (
            "video.xml",
            "<annotations><meta><task><id>5</id><name>x</name><source>p1_c1.mp4</source><start_frame>10"
            "</start_frame><frame_filter>step=2</frame_filter><original_size><width>512</width>"
            '<height>512</height></original_size></task></meta><track id="0" label="focal">'
            '<box frame="1" outside="0" xtl="10" ytl="20" xbr="30" ybr="40"/>'
            '<box frame="2" outside="1" xtl="10" ytl="20" xbr="30" ybr="40"/></track></annotations>',
        ),
    ],
)
def test_other_programs_boxes_are_read(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    truth = read_truth(tmp_path / name, SOURCES)
    assert truth == {
        "p1/c1": {"pixels": "frame", "lesions": [{"kind": "focal", "boxes": {"12": [10, 20, 30, 40]}}]}
    }


@pytest.mark.parametrize("suffix", ["json", "csv"])
def test_ids_are_compared_in_one_unicode_form(tmp_path, suffix):
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    path = tmp_path / f"truth.{suffix}"
    lines = f"clip_id,frame,x0,y0,x1,y1\n{composed},,1,2,3,4\n"
    path.write_text(lines if suffix == "csv" else truth_text({composed: {"lesions": [{"box": BOX}]}}))
    source = Source(tmp_path / decomposed, decomposed, "dicom", decomposed)
    found = read_truth(path, [source])
    assert list(found) == [decomposed] and found[decomposed]["lesions"][0]["box"] == BOX


def test_a_clip_under_two_forms_of_its_name_is_refused(tmp_path):
    entry = {"lesions": [{"box": BOX}]}
    (tmp_path / "truth.json").write_text(truth_text({"caf\u00e9 ": entry, "cafe\u0301": entry}))
    source = Source(tmp_path / "a", "caf\u00e9", "dicom", "a")
    with pytest.raises(DatasetError, match="in two ways"):
        read_truth(tmp_path / "truth.json", [source])
