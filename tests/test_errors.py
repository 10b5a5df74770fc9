import os
import pickle

import pytest

from stenoscope import errors


def test_an_error_says_what_was_received_expected_and_how_to_mend_it():
    problem = errors.DicomError("a.dcm is text.", "a DICOM file", "export it again.")
    assert str(problem) == "a.dcm is text.\nExpected: a DICOM file\nTo fix: export it again."
    assert problem.one_line == "a.dcm is text. Expected: a DICOM file. To fix: export it again."
    assert str(errors.DatasetError("empty")) == "empty"


def test_what_no_output_could_hold_is_spelled():
    name = os.fsdecode(b"Gr\xfc\xdfe \xc3\xbc.dcm") + "\ud800"
    problem = errors.DicomError(f"{name} is text.", name, name)
    assert problem.received == "Gr\\xfc\\xdfe ü.dcm\\ud800 is text." and str(problem).encode()
    assert problem.expected == problem.fix == errors.printable(name)


@pytest.mark.parametrize("kind", errors.StenoscopeError.__subclasses__())
def test_errors_travel_between_processes(kind):
    problem = kind("received", "expected", "fix")
    copy = pickle.loads(pickle.dumps(problem))
    assert type(copy) is kind and (copy.received, copy.expected, copy.fix) == ("received", "expected", "fix")


def test_an_unknown_name_lists_the_known_ones():
    problem = errors.unknown_name("backbone", "resnet", {"vgg16": 1, "resnet50": 2})
    assert isinstance(problem, errors.SettingsError)
    assert "'resnet'" in problem.received and problem.expected == "one of: resnet50, vgg16"


def test_a_full_disk_is_found_behind_the_error_of_a_library(tmp_path):
    with (
        pytest.raises(errors.StorageError, match="model can't be written: No space left"),
        errors.writing("model", True),
    ):
        try:
            raise OSError(28, "No space left on device")
        except OSError as problem:
            raise RuntimeError("the library's own words") from problem
    with pytest.raises(RuntimeError), errors.writing("model"):
        raise RuntimeError("of something else")
