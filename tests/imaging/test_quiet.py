import contextlib
import logging
import threading
import warnings

import pytest
from pydicom.uid import JPEGLSLossless

from stenoscope.errors import DicomError
from stenoscope.imaging import dicom
from stenoscope.imaging.quiet import quiet
from tests.imaging.make_dicom import make_dicom, ramp

LOGGERS = ("pydicom", "pydicom.pixels.utils", "pydicom.pixels.decoders.base")


def speak():
    warnings.warn("Mueller^Hans", stacklevel=1)
    for name in LOGGERS:
        logging.getLogger(name).warning("Mueller^Hans")


def in_thread(work):
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def said(recwarn, caplog):
    found = len(recwarn.list), len(caplog.records)
    recwarn.clear()
    caplog.clear()
    return found


ALL, NOTHING = (1, len(LOGGERS)), (0, 0)


@pytest.fixture(autouse=True)
def every_warning():
    warnings.simplefilter("always")


def test_the_reading_thread_alone_is_quiet(recwarn, caplog):
    warnings.simplefilter("always")
    with quiet():
        speak()
        assert said(recwarn, caplog) == NOTHING
        in_thread(speak)
        assert said(recwarn, caplog) == ALL
        with quiet():
            pass
        speak()
        assert said(recwarn, caplog) == NOTHING, "the outer block goes on"
    speak()
    assert said(recwarn, caplog) == ALL


def test_a_thread_that_leaves_lets_no_other_speak(recwarn, caplog):
    """Dask gives a worker several threads."""

    def short():
        with quiet():
            speak()

    with quiet():
        in_thread(short)
        speak()
    assert said(recwarn, caplog) == NOTHING


def test_filters_that_others_set_stay_theirs(recwarn, caplog):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with quiet():
            speak()
        with pytest.raises(UserWarning):
            speak()
    caplog.clear()
    with quiet():
        speak()
    assert said(recwarn, caplog) == NOTHING


def test_a_block_that_fails_ends_all_the_same(recwarn, caplog):
    with pytest.raises(ValueError, match="x"), quiet():
        raise ValueError("x")
    warnings.simplefilter("always")
    speak()
    assert said(recwarn, caplog) == ALL


def test_the_filters_do_not_grow():
    sizes = set()
    for _ in range(3):
        warnings.simplefilter("always")
        with quiet():
            sizes.add(len(warnings.filters))
    assert len(sizes) == 1


def test_an_unknown_character_set_is_not_quoted(tmp_path, recwarn, caplog, capfd):
    path = make_dicom(tmp_path / "a.dcm", ramp(), SpecificCharacterSet="ISO_IR 192")
    path.write_bytes(path.read_bytes().replace(b"ISO_IR 192", b"ISO_IR 999"))
    assert len(dicom.read_dicom(path, "a", str).frames) == 4
    assert not recwarn.list and not caplog.records and capfd.readouterr() == ("", "")


def test_reading_is_quiet_and_leaves_logging_as_it_was(tmp_path, caplog, capfd):
    good = make_dicom(tmp_path / "a.dcm", ramp(), compress=JPEGLSLossless).read_bytes()
    level = logging.getLogger("pydicom").level
    for old, new in [
        (b"66.7", b"6x.7"),
        (b"\xff\xf7", b"\xff\x00"),
        (b"sentinel-id", b"\x1b\xff\x00ntinel-\x00"),
    ]:
        path = tmp_path / "b.dcm"
        path.write_bytes(good.replace(old, new))
        with warnings.catch_warnings(), contextlib.suppress(DicomError):
            warnings.simplefilter("error")
            dicom.read_dicom(path, "a", str)
    assert not caplog.records and capfd.readouterr() == ("", "")
    assert logging.getLogger("pydicom").level == level
