import csv
import io
import os
import pickle
import shutil
import warnings

import numpy as np
import pytest
from pydicom import DataElement, dcmread
from pydicom.fileset import FileSet
from pydicom.uid import RLELossless

from stenoscope.errors import DatasetError, DicomError
from stenoscope.imaging import dicomdir, intake
from stenoscope.imaging.find import find_clips
from stenoscope.imaging.pseudonyms import Pseudonymizer
from stenoscope.imaging.readers import READERS
from stenoscope.records import Clip
from tests.imaging.make_dicom import make_dicom, ramp
from tests.imaging.test_sequences import noise, write_images, write_video
from tests.privileges import permissions_hold


@pytest.fixture
def cohort(tmp_path):
    """One of everything."""
    root = tmp_path / "cohort"
    (root / "p1").mkdir(parents=True)
    make_dicom(root / "p1" / "c1.dcm", ramp())
    shutil.copy(root / "p1" / "c1.dcm", root / "p1" / "1.2.840.77")  # no suffix, but DICM inside
    write_images(root / "p2" / "run.a", noise(3, 16, 16))
    write_video(root / "p2" / "film.avi", noise(3, 64, 64))
    write_images(root / "truth_masks", noise(3, 16, 16))
    write_images(root / ".hidden", noise(3, 16, 16))
    (root / "labels.csv").write_text("clip_id,patient_id,label\n")
    (root / "manifest.json").write_text("{}")
    (root / "notes.txt").write_text("notes")
    (root / "DICOMDIR").write_bytes(b"\0" * 128 + b"DICM")
    write_images(root / "single", noise(1, 16, 16))
    (root / "broken.dcm").write_text("no DICOM")
    return root


def test_every_clip_is_found_once_in_order(cohort):
    found = find_clips(cohort)
    assert [(source.clip_id, source.reader) for source in found.sources] == [
        ("broken", "dicom"),
        ("p1/1.2.840.77", "dicom"),
        ("p1/c1", "dicom"),
        ("p2/film", "video"),
        ("p2/run.a", "images"),
    ]
    assert [source.relative for source in found.sources][3:] == ["p2/film.avi", "p2/run.a"]


def test_what_is_ignored_says_why(cohort):
    rows = find_clips(cohort).rows
    assert [(row.path, row.status) for row in rows] == [
        (".hidden", "ignored"),
        ("DICOMDIR", "ignored"),
        ("notes.txt", "ignored"),
        ("single/frame_00000.png", "ignored"),
    ]
    assert "index" in rows[1].reason and ".txt" in rows[2].reason and "single image" in rows[3].reason


def test_admit_reads_or_says_why(cohort, tmp_path):
    pseudonym = Pseudonymizer(tmp_path / "key")
    results = [intake.admit(source, pseudonym) for source in find_clips(cohort).sources]
    clips = [clip for clip, _ in results]
    rows = [row for _, row in results]
    assert clips[0] is None and all(isinstance(clip, Clip) for clip in clips[1:])
    assert all(clip.frames.shape[1:] == (512, 512) and clip.frames.dtype == np.uint8 for clip in clips[1:])
    assert [row.status for row in rows] == ["quarantined", "ok", "ok", "ok", "ok"]
    assert rows[0].reason.startswith(
        "broken.dcm is not a DICOM file. Expected: the letters DICM at byte 128."
    )
    assert str(cohort) not in rows[0].reason
    assert (rows[2].num_frames, rows[2].rows, rows[2].modality, rows[2].frame_time_ms) == (4, 16, "XA", 66.7)
    assert rows[2].transfer_syntax == "Explicit VR Little Endian" and rows[2].sha256 == clips[2].source_sha256
    assert rows[3].num_frames == 3 and rows[4].num_frames == 3
    assert clips[2].patient_id == pseudonym("sentinel-id") and clips[3].patient_id is None


def test_intake_csv_has_a_line_for_every_input(cohort):
    found = find_clips(cohort)
    rows = found.rows + [intake.admit(source, str)[1] for source in found.sources]
    rows.append(intake.missing_clip("p9/c9"))
    table = list(csv.DictReader(io.StringIO(intake.to_csv(rows))))
    assert intake.to_csv(rows).splitlines()[0] == (
        "path,clip_id,status,reason,reader,num_frames,rows,cols,frame_time_ms,transfer_syntax,modality,sop_class,"
        "bits_allocated,bits_stored,photometric,voi,primary_angle,secondary_angle,collimator,shutter,overlays,"
        "burned_in,simulated,scale,pixel_sha256,sha256,same_pixels_as"
    )
    assert [row["path"] for row in table] == sorted(row["path"] for row in table)
    assert len(table) == 10 and table[0]["clip_id"] == "p9/c9"
    assert not any("entinel" in value for row in table for value in row.values())


def test_two_clips_with_one_id_are_both_quarantined(cohort):
    write_video(cohort / "p1" / "c1.avi", noise(3, 64, 64))
    found = find_clips(cohort)
    assert "p1/c1" not in [source.clip_id for source in found.sources]
    rows = [row for row in found.rows if row.clip_id == "p1/c1"]
    assert [row.path for row in rows] == ["p1/c1.avi", "p1/c1.dcm"]
    assert all(
        "p1/c1.avi and p1/c1.dcm have the same id, p1/c1. To fix: remove" in row.reason for row in rows
    )
    assert all("Not read" in row.reason and row.status == "quarantined" for row in rows)


LATIN = os.fsdecode(b"Gr\xfc\xdfe")  # as an old disc has it


def test_names_that_are_not_utf8_are_left_out_and_spelled(cohort):
    for name in (f"{LATIN}.dcm", f"{LATIN}.ima", f"{LATIN}.txt"):
        shutil.copy(cohort / "p1" / "c1.dcm", cohort / name)
    (cohort / f"{LATIN}.txt").write_text("notes")
    (cohort / "p2").rename(cohort / LATIN)
    found = find_clips(cohort)
    assert [source.clip_id for source in found.sources] == ["broken", "p1/1.2.840.77", "p1/c1"]
    rows = {row.path: row for row in found.rows}
    spelled = r"Gr\xfc\xdfe"
    assert {name: row.status for name, row in rows.items() if spelled in name} == {
        f"{spelled}.dcm": "quarantined",
        f"{spelled}.ima": "quarantined",
        f"{spelled}.txt": "ignored",
        f"{spelled}/film.avi": "quarantined",
        f"{spelled}/run.a": "quarantined",
    }
    assert "To fix: rename it." in rows[f"{spelled}/run.a"].reason
    assert rows[f"{spelled}/run.a"].clip_id == f"{spelled}/run.a"
    assert intake.to_csv(found.rows).encode()
    for path in (cohort / LATIN, cohort / f"{LATIN}.dcm", cohort / f"no{LATIN}"):
        with pytest.raises(DatasetError, match=r"Gr\\xfc\\xdfe.* not UTF-8"):
            find_clips(path)


def test_frames_whose_names_are_not_utf8_are_read(tmp_path):
    write_images(tmp_path / "run", noise(3, 16, 16))
    for path in list((tmp_path / "run").iterdir()):
        path.rename(path.with_name(LATIN + path.name))
    clip, row = intake.admit(find_clips(tmp_path).sources[0], str)
    assert len(clip.frames) == 3 and row.sha256
    (tmp_path / "run" / f"{LATIN}frame_00001.png").write_text("no PNG")
    assert (
        r"run/Gr\xfc\xdfeframe_00001.png can't be decoded"
        in intake.admit(find_clips(tmp_path).sources[0], str)[1].reason
    )


def test_an_input_that_cannot_be_read_says_why(cohort):
    os.mkfifo(cohort / "pipe")
    shutil.copy(cohort / "p1" / "1.2.840.77", cohort / "p1" / "suffixless")
    for name in ("c1.dcm", "suffixless"):
        (cohort / "p1" / name).chmod(0)
    with permissions_hold():
        (source,) = find_clips(cohort / "p1" / "c1.dcm").sources
        reason = intake.admit(source, str)[1].reason
        with pytest.raises(DicomError, match="suffixless can't be read: Permission denied"):
            find_clips(cohort / "p1" / "suffixless")
    assert reason.startswith("c1.dcm can't be read: Permission denied. ")
    with pytest.raises(DicomError, match="it is a named pipe"):
        find_clips(cohort / "pipe")


@pytest.mark.parametrize("mode", [0o000, 0o444])
def test_an_index_takes_no_image_for_lost_that_it_may_not_look_at(tmp_path, mode):
    disc, names = make_disc(tmp_path)
    folder = (disc / names[0]).parent
    folder.chmod(mode)
    try:
        with permissions_hold():
            found = find_clips(disc / "DICOMDIR")
            rows = [intake.admit(source, str)[1] for source in found.sources]
    finally:
        folder.chmod(0o755)
    hidden = [row for row in rows if "can't be read: Permission denied" in row.reason]
    assert {row.path.lower() for row in hidden} >= {names[0].lower()}
    assert not {row.path.lower() for row in found.rows} & {row.path.lower() for row in hidden}


def test_a_single_clip_is_an_input_too(cohort):
    for path, clip_id, relative in [
        (cohort / "p1" / "c1.dcm", "c1", "c1.dcm"),
        (cohort / "p2" / "run.a", "run.a", "."),
    ]:
        (source,) = find_clips(path).sources
        assert (source.clip_id, source.relative) == (clip_id, relative)
        assert intake.admit(source, str)[0].clip_id == clip_id


@pytest.mark.parametrize("name", ["nothing", "empty", "notes.txt", "single"])
def test_no_clip_names_what_was_looked_for(tmp_path, name):
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("notes")
    write_images(tmp_path / "single", noise(1, 8, 8))
    with pytest.raises(DatasetError) as caught:
        find_clips(tmp_path / name)
    assert (
        ".dcm" in caught.value.expected
        and ".png" in caught.value.expected
        and ".mp4" in caught.value.expected
    )


def test_the_pixel_hash_is_that_of_what_is_seen(tmp_path):
    def hash_of(name, frames, **how):
        make_dicom(tmp_path / name, frames, **how)
        (source,) = find_clips(tmp_path / name).sources
        return intake.admit(source, str)[1]

    raw = hash_of("raw.dcm", ramp(rows=32, cols=32))
    packed = hash_of("rle.dcm", ramp(rows=32, cols=32), compress=RLELossless, PatientID="another")
    other = hash_of("other.dcm", ramp(rows=32, cols=32)[::-1])
    assert raw.pixel_sha256 == packed.pixel_sha256 != other.pixel_sha256
    assert raw.sha256 != packed.sha256 and (raw.transfer_syntax, packed.transfer_syntax) == (
        "Explicit VR Little Endian",
        "RLE Lossless",
    )
    assert raw.scale == 16.0


def make_disc(folder):
    """A disc as PS3.10 wants it, copied to lower case; its second image is lost."""
    (folder / "dicom").mkdir(parents=True)
    disc = FileSet()
    for number in range(3):
        path = make_dicom(folder / f"{number}.dcm", ramp(rows=8 + number))
        dataset = dcmread(path)
        path.unlink()
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "1.2.3", "1.2.3.4"
        dataset.StudyDate, dataset.StudyTime, dataset.StudyID = "20190307", "113757", "ID"
        dataset.SeriesNumber = dataset.InstanceNumber = str(number + 1)
        disc.add(dataset)
    disc.write(folder / "disc")
    images = sorted(
        path for path in (folder / "disc").rglob("*") if path.is_file() and path.name != "DICOMDIR"
    )
    for path in images:
        path.rename(path.with_name(path.name.lower()))
    images[1].with_name(images[1].name.lower()).unlink()
    return folder / "disc", [path.relative_to(folder / "disc").as_posix() for path in images]


def test_an_index_tells_which_images_to_read_and_which_are_lost(tmp_path):
    disc, names = make_disc(tmp_path)
    kept = [name[: name.rindex("/") + 1] + name[name.rindex("/") + 1 :].lower() for name in names]
    for found in (find_clips(disc), find_clips(disc / "DICOMDIR")):
        assert [source.relative for source in found.sources] == [kept[0], kept[2]]
        assert all(intake.admit(source, str)[1].status == "ok" for source in found.sources)
        lost = [row for row in found.rows if row.status == "quarantined"]
        assert [row.path for row in lost] == [names[1]] and "DICOMDIR names this image" in lost[0].reason
    assert [row.reason for row in find_clips(disc).rows if row.path == "DICOMDIR"] == [
        "An index of 3 images; missing: 1."
    ]


def test_an_index_leads_nowhere_else_and_may_be_damaged(tmp_path):
    disc, _ = make_disc(tmp_path)
    index = dcmread(disc / "DICOMDIR")
    for record in index.DirectoryRecordSequence:
        if record.DirectoryRecordType == "IMAGE":
            record["ReferencedFileID"] = DataElement(0x00041500, "CS", ["..", "SECRET"], validation_mode=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # ".." is no valid name
        index.save_as(disc / "DICOMDIR")
    make_dicom(tmp_path / "SECRET", ramp())
    assert dicomdir.indexed_images(disc / "DICOMDIR") == ([], [])
    (disc / "DICOMDIR").write_bytes(bytes(range(256)))
    assert "damaged index" in next(row.reason for row in find_clips(disc).rows if row.path == "DICOMDIR")
    with pytest.raises(DicomError):
        find_clips(disc / "DICOMDIR")


@pytest.mark.parametrize(
    "start, said", [(b"\x08\0\x16\0UI\x1c\0", True), (b"\0\x08\0\x05CS", True), (b"PK\3\4", False)]
)
def test_a_data_set_without_its_preamble_is_told_apart(tmp_path, start, said):
    make_dicom(tmp_path / "good.dcm", ramp())
    (tmp_path / "IM0001").write_bytes(start + bytes(20))
    (row,) = find_clips(tmp_path).rows
    assert row.status == "ignored" and ("gdcmconv" in row.reason) == said


def test_links_back_up_do_not_loop(cohort):
    (cohort / "p1" / "loop").symlink_to(cohort, target_is_directory=True)
    assert len(find_clips(cohort).sources) == 5


def test_patient_of_header(cohort):
    sources = {source.clip_id: source for source in find_clips(cohort).sources}
    assert intake.patient_of(sources["p1/c1"], str.upper) == "SENTINEL-ID"
    (cohort / "p2" / "film.avi").write_bytes(b"no video")
    assert intake.patient_of(sources["p2/film"], str) is None, "it is not even opened"
    with pytest.raises(DicomError):
        intake.patient_of(sources["broken"], str)


def test_sources_and_results_travel_between_processes(cohort, tmp_path):
    found = find_clips(cohort)
    task = (found.sources[0], Pseudonymizer(tmp_path / "key"), intake.admit)
    source, pseudonym, function = pickle.loads(pickle.dumps(task))
    assert function(source, pseudonym)[1] == intake.admit(*task[:2])[1]


def test_every_reader_is_complete():
    for name, reader in READERS.items():
        assert name and all(suffix.startswith(".") and suffix == suffix.lower() for suffix in reader.suffixes)
        for function in (reader.open, reader.detect, reader.takes, reader.files):
            assert pickle.loads(pickle.dumps(function)) is function


def test_real_folders(real_data):
    assert len(find_clips(real_data / "angiodata").sources) == 23
    rows = [intake.admit(source, str)[1] for source in find_clips(real_data / "rubo").sources]
    assert [(row.clip_id, row.status) for row in rows] == [("0002", "ok"), ("0015", "quarantined")]
