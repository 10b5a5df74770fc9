import numpy as np
import pytest
from PIL import Image

from stenoscope.imaging import intake
from stenoscope.imaging.find import find_clips
from tests.imaging.make_dicom import make_dicom, ramp
from tests.imaging.test_sequences import noise, save_stack, write_images, write_video


def found_in(root):
    found = find_clips(root)
    return [source.clip_id for source in found.sources], {row.path: row for row in found.rows}


def picture(path):
    Image.fromarray(noise(1, 8, 8)[0]).save(path)


@pytest.mark.parametrize(
    "names",
    [
        ["run1.png", "run2.png"], ["RUN1.JPG", "run2.jpg"], ["run1.dcm.png", "run2.dcm.png"],
        ["run1_thumb.png", "preview-run2.bmp"], ["run1.gif", "run2.tif"], ["cover7.png"],
    ],
)  # fmt: skip
def test_previews_beside_dicom_files_are_no_clip(tmp_path, names):
    for number in (1, 2):
        make_dicom(tmp_path / f"run{number}.dcm", ramp())
    for name in names:
        picture(tmp_path / name)
    clips, rows = found_in(tmp_path)
    assert clips == ["run1", "run2"]
    assert {path: (row.status, row.reason) for path, row in rows.items()} == dict.fromkeys(
        names, ("ignored", "A preview of a clip beside it.")
    )


def test_previews_beside_other_clips(tmp_path):
    make_dicom(tmp_path / "IM0001", ramp())  # known by its content
    make_dicom(tmp_path / "1.2.840.7", ramp())
    write_video(tmp_path / "film3.avi", noise(2, 64, 64))
    names = ["IM0001.png", "1.2.840.7.jpg", "film3.jpg"]
    for name in names:
        picture(tmp_path / name)
    save_stack(tmp_path / "IM0001.gif", noise(3, 8, 8))  # an animated one
    clips, rows = found_in(tmp_path)
    assert clips == ["1.2.840.7", "IM0001", "film3"]
    assert sorted(rows) == sorted([*names, "IM0001.gif"])


def test_frames_beside_dicom_files_are_a_clip(tmp_path):
    write_images(tmp_path / "all", noise(3, 8, 8))
    make_dicom(tmp_path / "all" / "run.dcm", ramp())
    picture(tmp_path / "all" / "plain.png")
    picture(tmp_path / "all" / "legend.png")
    clips, rows = found_in(tmp_path)
    assert clips == ["all", "all/run"]
    assert "its name has no number" in rows["all/legend.png"].reason


def test_files_of_several_images_are_clips_of_their_own(tmp_path):
    for name in ("run_1.tif", "run_2.TIFF", "run_3.gif"):
        save_stack(tmp_path / name, np.stack([np.full((8, 8), value, np.uint8) for value in (0, 90, 200)]))
    picture(tmp_path / "single.tif")
    (tmp_path / "bad.tif").write_bytes(b"II*\0 and nothing more")
    clips, rows = found_in(tmp_path)
    assert clips == ["bad", "run_1", "run_2", "run_3"]
    assert "A single image" in rows["single.tif"].reason
    admitted = [intake.admit(source, str)[1] for source in find_clips(tmp_path).sources]
    assert [(row.status, row.num_frames) for row in admitted[1:]] == [("ok", 3)] * 3
    assert admitted[0].status == "quarantined" and "bad.tif can't be decoded" in admitted[0].reason


def test_a_second_way_to_a_folder_is_told(tmp_path):
    write_images(tmp_path / "in" / "zebra", noise(2, 8, 8))
    write_images(tmp_path / "outside" / "inner", noise(2, 8, 8))
    for name, target in (
        ("a_link", "zebra"), ("zebra/up", ".."), ("near", "../outside/inner"), ("over", "../outside"),
        ("sly", ".."),
    ):  # fmt: skip
        (tmp_path / "in" / name).symlink_to(target)
    clips, rows = found_in(tmp_path / "in")
    assert clips == ["near", "zebra"]
    assert {path: row.reason for path, row in rows.items()} == {
        "a_link": "The same folder as zebra.",
        "zebra/up": "The same folder as the input itself.",
        "over/inner": "The same folder as near.",
        "sly/in": "The same folder as the input itself.",
        "sly/outside": "The same folder as over.",
    }
    assert {row.status for row in rows.values()} == {"ignored"}


def test_links_to_nothing_name_their_target(tmp_path):
    make_dicom(tmp_path / "good.dcm", ramp())
    for name in ("patient7", "notes.txt", "run.dcm"):
        (tmp_path / name).symlink_to(f"../archive/{name}")
    (tmp_path / "ring").symlink_to("ring")
    found = find_clips(tmp_path)
    rows = [*found.rows, *(intake.admit(source, str)[1] for source in found.sources)]
    said = {row.path: (row.status, row.reason) for row in rows}
    for name in ("patient7", "notes.txt", "run.dcm"):
        status, reason = said[name]
        assert status == "quarantined"
        assert reason.startswith(f"{name} is a link to ../archive/{name}, which is not there.")
    assert said["ring"][0] == "quarantined" and said["good.dcm"][0] == "ok"


def test_hidden_entries_have_a_row(tmp_path):
    make_dicom(tmp_path / "good.dcm", ramp())
    make_dicom(tmp_path / "._good.dcm", ramp())
    write_images(tmp_path / ".trash", noise(2, 8, 8))
    clips, rows = found_in(tmp_path)
    assert clips == ["good"] and sorted(rows) == ["._good.dcm", ".trash"]
    assert all(row.status == "ignored" and "Hidden" in row.reason for row in rows.values())


@pytest.mark.parametrize(
    "name, said",
    [
        ("run.mpg", "ffmpeg -i IN"), ("run.WEBP", "magick IN OUT.png"), ("run.npy", "numbered PNG"),
        ("runs.zip", "unpack it"), ("run.xyz", "No reader for .xyz"),
    ],
)  # fmt: skip
def test_what_is_not_read_says_how_to_convert_it(tmp_path, name, said):
    make_dicom(tmp_path / "good.dcm", ramp())
    (tmp_path / name).write_bytes(b"something")
    _, rows = found_in(tmp_path)
    assert said in rows[name].reason
