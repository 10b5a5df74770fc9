import cv2
import pytest

from stenoscope.data.kemerovo import is_kemerovo, read_kemerovo
from stenoscope.data.layouts import open_layout
from stenoscope.imaging.intake import admit
from tests.data.trees import voc, write_kemerovo


@pytest.fixture
def tree(tmp_path):
    return write_kemerovo(tmp_path)


def test_the_frames_of_a_series_are_a_clip_of_their_patient(tree):
    data = read_kemerovo(tree)
    assert data.labels.clip_ids == ["14_002_5", "14_002_6", "14_003_5"]
    assert data.labels.patient_ids == ["14_002", "14_002", "14_003"]
    assert data.labels.labels.tolist() == [[1], [1], [1]] and data.stills
    assert [source.reader for source in data.sources] == ["series", "still", "series"]
    assert data.keyframes == {"14_002_5": (0, 2), "14_002_6": (0,), "14_003_5": (0, 1)}
    clip, row = admit(data.sources[0], str)
    assert len(clip.frames) == 3 and row.transfer_syntax == "BMP" and "not its whole course" in row.reason


def test_boxes_follow_the_padding_and_the_scale(tree):
    (lesion,) = read_kemerovo(tree).truth["14_002_5"]["lesions"]
    box = [64, 192, 192, 243.2]  # 60 x 80 is padded by 10 rows above and below, then enlarged 6.4 times
    assert lesion == {"kind": "stenosis", "boxes": [box, None, box]}


def test_frames_may_lie_in_the_folder_itself_with_capital_suffixes(tree):
    for path in sorted((tree / "dataset").iterdir()):
        path.rename(path.with_suffix(path.suffix.upper()))
    assert read_kemerovo(tree / "dataset").labels.clip_ids == ["14_002_5", "14_002_6", "14_003_5"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<annotation>", "ParseError"),
        ("<annotation><object><bndbox/></object></annotation>", "Pascal VOC"),
        (voc((30, 20, 10, 28)), "the box is"),
        (voc((1, 2, "inf", 4)), "the box is"),
        ('<!DOCTYPE a [<!ENTITY b "c">]>' + voc((10, 20, 30, 28), name="&b;"), "document type"),
        (voc(), "has a box"),
    ],
)
def test_a_damaged_annotation_costs_its_series(tree, text, said):
    (tree / "dataset" / "14_002_6_0003.xml").write_text(text)
    data = read_kemerovo(tree)
    assert data.labels.clip_ids == ["14_002_5", "14_003_5"]
    (row,) = data.rows
    assert row.status == "quarantined" and said in row.reason and str(tree) not in row.reason


def test_other_folders_of_bitmaps_are_not_taken_for_it(tree):
    for path in (tree / "dataset").glob("*.xml"):
        path.unlink()
    assert not is_kemerovo(tree) and not is_kemerovo(tree / "nowhere")


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".JPEG"])
def test_public_copies_in_other_formats_are_the_same_set(tree, suffix):
    for path in (tree / "dataset").glob("*.bmp"):
        cv2.imwrite(str(path.with_suffix(suffix)), cv2.imread(str(path)))
        path.unlink()
    assert is_kemerovo(tree)
    assert read_kemerovo(tree).keyframes == {"14_002_5": (0, 2), "14_002_6": (0,), "14_003_5": (0, 1)}


def test_a_real_copy_has_boxes_in_every_frame(real_data):
    name, data = open_layout(real_data / "kemerovo")
    assert name == "kemerovo" and data.labels.clip_ids == ["14_088_2", "14_092_2"]
    assert data.keyframes == {clip: tuple(range(26)) for clip in data.labels.clip_ids}
    for clip, entry in data.truth.items():
        assert all(any(lesion["boxes"][frame] for lesion in entry["lesions"]) for frame in range(26)), clip
