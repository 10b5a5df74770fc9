import numpy as np
import pytest

from stenoscope.data.label_form import LabelForm
from stenoscope.data.labels import LabelsError, labels_from_folders, match_labels, read_labels, template
from stenoscope.errors import DatasetError, DicomError


def write(tmp_path, text, encoding="utf-8"):
    path = tmp_path / "labels.csv"
    path.write_bytes(text.encode(encoding))
    return path


def test_ids_are_text_and_labels_numbers(tmp_path):
    table = read_labels(write(tmp_path, "clip_id,patient_id,label\n001, 007,1\na/b,NA,0\nc,x,\n"))
    assert table.clip_ids == ["001", "a/b", "c"] and table.patient_ids == ["007", "NA", "x"]
    assert table.label_names == ["label"] and len(table) == 3
    assert table.labels.dtype == np.float32 and table.labels.shape == (3, 1)
    np.testing.assert_array_equal(table.labels, [[1], [0], [np.nan]])


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_what_spreadsheets_write(tmp_path, separator, encoding, end):
    text = "Clip_ID,patient_id,label,rca\nä\\1,p,1,0.0\n,,,\nb,p,0,\n\n"
    table = read_labels(write(tmp_path, text.replace(",", separator).replace("\n", end), encoding))
    assert table.clip_ids == ["ä/1", "b"] and table.label_names == ["label"]
    assert "Ignored columns of labels.csv: rca." in table.notes[0]
    table = read_labels(tmp_path / "labels.csv", LabelForm(labels=("label", "RCA")))
    assert table.label_names == ["label", "RCA"] and table.notes == ()
    np.testing.assert_array_equal(table.labels, [[1, 0], [0, np.nan]])


def test_columns_may_come_in_any_order(tmp_path):
    form = LabelForm(labels=("label", "lca"))
    table = read_labels(write(tmp_path, "lca,label,patient_id,clip_id\n1,0,p,a\n"), form)
    assert (table.clip_ids, table.patient_ids, table.label_names) == (["a"], ["p"], ["label", "lca"])
    np.testing.assert_array_equal(table.labels, [[0, 1]])


def test_a_template_with_names_that_a_spreadsheet_would_run_is_read(tmp_path):
    form = LabelForm(clip="+clip", patient="=who", labels=("=1+1", "@b"))
    text = template([("-x", "@p", [1.0, 0.0]), ("=1+1", "=p", [0.0, 1.0])], form)
    assert text == "\ufeff'+clip,'=who,'=1+1,'@b\n'-x,'@p,1,0\n'=1+1,'=p,0,1\n"
    table = read_labels(write(tmp_path, text), form)
    assert (table.clip_ids, table.patient_ids) == (["-x", "=1+1"], ["@p", "=p"])
    assert table.label_names == ["=1+1", "@b"]
    with pytest.raises(LabelsError, match="line 3: =who '=' is a formula without its value"):
        read_labels(write(tmp_path, text.replace("'=p", "=A1")), form)


def test_all_faults_at_once(tmp_path):
    text = 'clip_id,patient_id,label,rca\na,,2,0\n\na,p,yes,0\n,p,1,x\n"b, c",p,1,\n'
    with pytest.raises(DatasetError) as caught:
        read_labels(write(tmp_path, text), LabelForm(labels=("label", "rca")))
    for fault in (
        "6 faults", "line 2: no patient_id", "line 5: no clip_id", "lines 2, 4: clip_id a more than once",
        "line 2: label is '2'", "line 4: label is 'yes'", "line 5: rca is 'x'",
    ):  # fmt: skip
        assert fault in caught.value.received
    assert "labels.csv" in caught.value.received


def test_long_lists_of_faults_are_cut(tmp_path):
    rows = "".join(f"c{number},p,7\n" for number in range(500))
    with pytest.raises(DatasetError, match=r"500 faults.*and 480 more"):
        read_labels(write(tmp_path, "clip_id,patient_id,label\n" + rows))


@pytest.mark.parametrize(
    "text, match",
    [
        ("clip_id,label\na,1\n", "no column patient_id"),
        ("a,b\n1,2\n", "no column clip_id; no column patient_id; no column label"),
        ("clip_id,patient_id,label,label\na,p,1,1\n", "two columns label"),
        ("clip_id,patient_id,label\n", "no clips"),
        ("", "not a readable CSV"),
        ("clip_id,patient_id,label\na,p,1,1\n", "line 2"),
        ('clip_id,patient_id,label\na,"p,1\n', "not a readable CSV"),
    ],
)
def test_files_that_are_no_label_table(tmp_path, text, match):
    with pytest.raises(DatasetError, match=match):
        read_labels(write(tmp_path, text))


def test_other_encodings_and_missing_files(tmp_path):
    with pytest.raises(DatasetError, match=r"UTF-8|utf-8"):
        read_labels(write(tmp_path, "clip_id,patient_id,label\nä,p,1\n", "latin-1"))
    with pytest.raises(DatasetError, match="can't be read"):
        read_labels(tmp_path / "missing.csv")


def test_folders_give_label_and_patient():
    table = labels_from_folders(["A/p1/c1", "N/p1/c1", "N/p2/left/c1", "other/c1", "A"])
    assert table.clip_ids == ["A/p1/c1", "N/p1/c1", "N/p2/left/c1"]
    assert table.patient_ids == ["p1", "p1", "p2"]  # one name, one patient, on either side
    np.testing.assert_array_equal(table.labels, [[1], [0], [0]])


def test_clip_directly_below_asks_its_header():
    def header(clip_id):
        if clip_id == "N/broken":
            raise DicomError("broken")
        return f"p-{clip_id[2]}"

    table = labels_from_folders(["A/x1", "N/broken", "N/y1", "N/q/z"], header)
    assert dict(zip(table.clip_ids, table.patient_ids, strict=True)) == {
        "A/x1": "p-x", "N/y1": "p-y", "N/q/z": "q",
    }  # fmt: skip


def test_clips_without_a_patient_are_an_error_that_names_them_all():
    with pytest.raises(DatasetError, match=r"2 clips have no patient: 'A/a', 'N/b'") as caught:
        labels_from_folders(["A/a", "N/b", "N/p/c"], lambda clip_id: None)
    assert "N/PATIENT/CLIP" in caught.value.fix


def test_no_clip_in_either_folder():
    with pytest.raises(DatasetError, match="None of the 2 clips"):
        labels_from_folders(["a/b", "c"])


def test_labels_and_clips_are_matched(tmp_path):
    table = read_labels(write(tmp_path, "clip_id,patient_id,label\nb,p,1\nghost,p,0\na,q,0\n"))
    rows, missing, unlabelled = match_labels(table, ["a", "b", "new"])
    assert rows == {"a": 2, "b": 0} and list(rows) == ["a", "b"]
    assert missing == ["ghost"] and unlabelled == ["new"]


def test_no_label_for_any_clip_shows_both_spellings(tmp_path):
    table = read_labels(write(tmp_path, "clip_id,patient_id,label\nb.dcm,p,1\n"))
    with pytest.raises(DatasetError, match=r"the labels name 'b.dcm', the clips are 'b'"):
        match_labels(table, ["b"])


def test_faulty_labels_keep_all_faults_and_what_could_be_read(tmp_path):
    lines = "".join(f"x{number},p,7\n" for number in range(30))
    with pytest.raises(LabelsError) as caught:
        read_labels(write(tmp_path, f"clip_id,patient_id,label\na,,1\nb,q,0\nb,r,1\n,s,0\n{lines}"))
    problem = caught.value
    assert len(problem.faults) == 33 and "and 13 more" in str(problem)
    assert problem.table.clip_ids[:3] == ["a", "b", "x0"] and problem.table.patient_ids[:3] == ["", "q", "p"]
    np.testing.assert_array_equal(problem.table.labels[:3], [[1], [0], [np.nan]])
    with pytest.raises(LabelsError) as caught:
        read_labels(write(tmp_path, "clip_id,label\na,1\n"))
    assert caught.value.faults == ["no column patient_id"] and caught.value.table is None


def test_folders_without_patients_keep_their_labels():
    with pytest.raises(LabelsError) as caught:
        labels_from_folders(["N/a", "A/p/b", "A/c"], {"N/a": None, "A/c": "p-1"}.get)
    assert caught.value.faults == ["N/a has no patient"]
    assert (caught.value.table.clip_ids, caught.value.table.patient_ids) == (
        ["N/a", "A/p/b", "A/c"],
        ["", "p", "p-1"],
    )
