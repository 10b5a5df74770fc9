import os
from dataclasses import replace
from pathlib import Path

import pytest

from stenoscope.app.named_paths import below, common_names, distinct
from stenoscope.errors import DatasetError
from stenoscope.imaging.intake import IntakeRow, Source


def source(path: str, clip_id: str, relative: str) -> Source:
    return Source(Path(path), clip_id, "dicom", relative)


@pytest.mark.parametrize(
    "paths, names",
    [
        (["d/ward"], [""]),
        (["d/ward/a.dcm"], [""]),
        (["d/ward/a.dcm", "d/ward/b.dcm"], ["", ""]),
        (["d/ward", "d/lab"], ["ward", "lab"]),
        (["d/ward/june/data", "d/lab/data"], ["ward/june/data", "lab/data"]),
        (["d/ward", "d/ward/june/a.dcm"], ["", "june"]),
        (["d/ward/../ward", "./d/lab/"], ["ward", "lab"]),
    ],
)
def test_paths_are_named_below_their_common_folder(tmp_path, monkeypatch, paths, names):
    for folder in ("d/ward/june/data", "d/lab/data"):
        (tmp_path / folder).mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert common_names(paths) == names
    assert common_names([tmp_path / path for path in paths]) == names, "from wherever it is called"


def test_paths_with_only_the_root_in_common_keep_their_last_parts():
    assert common_names([os.sep + "bin", os.sep + "usr"]) == ["bin", "usr"]
    assert common_names(["/no/such/a/x.dcm", "/none/a/x.dcm", "/none/a/y.dcm"]) == [
        "such/a",
        "none/a",
        "none/a",
    ]


def test_ids_and_paths_get_the_name_in_front():
    found = below(source("w/s/a.dcm", "s/a", "s/a.dcm"), "ward")
    assert (found.clip_id, found.relative, found.path) == ("ward/s/a", "ward/s/a.dcm", Path("w/s/a.dcm"))
    images = below(source("w/run1", "run1", "."), "ward/run1")
    assert (images.clip_id, images.relative) == ("ward/run1", "ward/run1")
    row = below(IntakeRow("x.txt", "", "ignored"), "ward")
    assert (row.path, row.clip_id) == ("ward/x.txt", "")
    assert below(row, "") is row


def test_clips_that_differ_in_their_suffix_alone_keep_it(tmp_path):
    files = [tmp_path / name for name in ("a.dcm", "a.avi", "b.dcm")]
    jobs = [(source(str(path), path.stem, path.name), "opacification", ()) for path in files]
    assert [job[0].clip_id for job in distinct(jobs)] == ["a.dcm", "a.avi", "b"]
    link = tmp_path / "c.dcm"
    files[2].touch()
    link.symlink_to(files[2])
    again = (replace(jobs[2][0], path=link, clip_id="c", relative="c.dcm"), "opacification", ())
    with pytest.raises(DatasetError, match=r"b\.dcm, c\.dcm"):
        distinct([*jobs, again])
