import logging
import threading
import warnings

from stenoscope.imaging import dicom
from stenoscope.imaging.quiet import quiet
from tests.imaging.make_dicom import make_dicom, ramp


def test_a_thread_that_leaves_lets_no_other_speak(recwarn, caplog):
    """Dask gives a worker several threads."""
    inside, left = threading.Event(), threading.Event()

    def short():
        with quiet():
            inside.set()
            left.wait(10)

    def speak():
        warnings.warn("Mueller^Hans", stacklevel=1)
        logging.getLogger("pydicom").warning("Mueller^Hans")

    filters, level = list(warnings.filters), logging.getLogger("pydicom").level
    thread = threading.Thread(target=short)
    thread.start()
    inside.wait(10)
    with quiet():
        speak()
        left.set()
        thread.join()
        speak()
    assert not recwarn.list and not caplog.records
    assert list(warnings.filters) == filters and logging.getLogger("pydicom").level == level
    speak()
    assert len(recwarn.list) == len(caplog.records) == 1


def test_an_unknown_character_set_is_not_quoted(tmp_path, recwarn, caplog, capfd):
    path = make_dicom(tmp_path / "a.dcm", ramp(), SpecificCharacterSet="ISO_IR 192")
    path.write_bytes(path.read_bytes().replace(b"ISO_IR 192", b"ISO_IR 999"))
    assert len(dicom.read_dicom(path, "a", str).frames) == 4
    assert not recwarn.list and not caplog.records and capfd.readouterr() == ("", "")
