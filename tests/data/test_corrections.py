import pytest

from stenoscope.data.corrections import read_corrections
from stenoscope.errors import DatasetError
from stenoscope.imaging.find import find_clips
from tests.imaging.make_dicom import make_dicom, ramp


@pytest.fixture
def sources(tmp_path):
    """A clip of 8 frames and one of 3."""
    (tmp_path / "in").mkdir()
    make_dicom(tmp_path / "in/café.dcm", ramp(8))
    make_dicom(tmp_path / "in/short.dcm", ramp(3))
    return find_clips(tmp_path / "in").sources


def corrections(tmp_path, text, sources, published=(), count=5):
    (tmp_path / "hand.csv").write_text(text, encoding="utf-8")
    return read_corrections(tmp_path / "hand.csv", sources, dict(published), count)


@pytest.mark.parametrize(
    "text",
    [
        "clip_id,keyframes\ncafé,0 2 4 6 7\n",
        "\ufeffclip_id;label;Frames\n café ;1; 0  2 4,6 7 \n\n",
        'clip_id,keyframes\ncafe\u0301,"0,2,4,6,7"\n',
    ],
)
def test_it_is_read_in_every_form(tmp_path, sources, text):
    assert corrections(tmp_path, text, sources) == {"café": (0, 2, 4, 6, 7)}


def test_all_faults_are_told_with_their_lines(tmp_path, sources):
    lines = [
        "clip_id,keyframes",
        "ghost,0 1 2 3 4",
        "café,0 1 2 3 8",
        "café,0 1 2 3 4",
        "short,0 1 2 2",
    ]
    with pytest.raises(DatasetError) as problem:
        corrections(tmp_path, "\n".join(lines), sources)
    assert problem.value.received.endswith(
        "hand.csv has 4 faults: line 2: there is no clip 'ghost'; "
        "line 3, clip café: frame 8 is outside the clip, which has frames 0 to 7; "
        "line 4: clip café again, first in line 3; "
        "line 5, clip short: 4 frames (0 1 2 2) instead of 5."
    )


@pytest.mark.parametrize(
    ("cell", "fault"),
    [
        ("0 1 2 4 3", "do not ascend"),
        ("0 1 1 2 3", "a frame more than once"),
        ("-1 0 1 2 3", "frame -1 is outside"),
        ("0 1 2 3 x", "no list of frame numbers"),
        ("1.5 2 3 4 5", "no list of frame numbers"),
        ("", "0 frames"),
    ],
)
def test_a_cell_with_a_fault(tmp_path, sources, cell, fault):
    with pytest.raises(DatasetError, match=fault):
        corrections(tmp_path, f"clip_id,keyframes\ncafé,{cell}\n", sources)


def test_frames_repeat_where_there_are_fewer_than_five(tmp_path, sources):
    text = "clip_id,keyframes\nshort,0 0 1 2 2\n"
    assert corrections(tmp_path, text, sources) == {"short": (0, 0, 1, 2, 2)}
    text = "clip_id,keyframes\ncafé,3 3 3 7 7\n"
    assert corrections(tmp_path, text, sources, {"café": (3, 7)}) == {"café": (3, 3, 3, 7, 7)}
    with pytest.raises(DatasetError, match="more than once"):
        corrections(tmp_path, text, sources, {"café": (3, 5, 7)})


def test_as_many_frames_as_each_clip_has_key_frames(tmp_path, sources):
    text = "clip_id,keyframes\ncafé,{}\n"
    for count, cell in ((1, "4"), (7, "0 1 2 3 4 5 6")):
        found = corrections(tmp_path, text.format(cell), sources, count=count)
        assert found == {"café": tuple(map(int, cell.split()))}
    with pytest.raises(DatasetError, match=r"5 frames \(0 1 2 3 4\) instead of 7") as problem:
        corrections(tmp_path, text.format("0 1 2 3 4"), sources, count=7)
    assert "7 ascending frame numbers" in problem.value.expected


def test_a_table_without_the_column_is_refused(tmp_path, sources):
    with pytest.raises(DatasetError, match="no column keyframes"):
        corrections(tmp_path, "clip_id,label\ncafé,1\n", sources)
