import pytest
from pydicom.dataset import Dataset
from pydicom.uid import RLELossless

from stenoscope.errors import DicomError
from stenoscope.imaging.facts import SIMULATOR
from tests.imaging.make_dicom import facts_of, lut, make_dicom, ramp


def facts(tmp_path, frames=None, **elements):
    return facts_of(make_dicom(tmp_path / "clip.dcm", ramp() if frames is None else frames, **elements))


def test_a_plain_clip(tmp_path):
    found = facts(tmp_path)
    assert found.sop_class == "X-Ray Angiographic Image Storage" and found.photometric == "MONOCHROME2"
    assert (found.bits_allocated, found.bits_stored, found.overlays) == (8, 8, 0)
    assert (found.primary_angle, found.secondary_angle) == (-30.0, 25.5)
    assert (found.voi, found.collimator, found.shutter, found.burned_in) == ("none", "", "", "")


def test_bits_windows_shutters_overlays_and_annotation(tmp_path):
    found = facts(
        tmp_path, ramp(dtype="u2", top=4095), BitsStored=12, WindowCenter="2048", WindowWidth="4096",
        VOILUTFunction="SIGMOID", ShutterShape=["CIRCULAR", "RECTANGULAR"], CollimatorShape="POLYGONAL",
        BurnedInAnnotation="YES", compress=RLELossless,
    )  # fmt: skip
    assert (found.bits_allocated, found.bits_stored, found.voi) == (16, 12, "SIGMOID 2048/4096")
    assert (found.shutter, found.collimator) == ("CIRCULAR+RECTANGULAR", "POLYGONAL")
    assert found.burned_in == "YES" and found.transfer_syntax == "RLE Lossless"
    assert facts(tmp_path, VOILUTSequence=lut(0, range(256), 8)).voi == "LUT"


def test_overlay_planes_are_counted(tmp_path):
    from pydicom import dcmread

    path = make_dicom(tmp_path / "clip.dcm", ramp())
    dataset = dcmread(path)
    for group in (0x6000, 0x6004):
        dataset.add_new((group, 0x0010), "US", 16)
    dataset.save_as(path)
    assert facts_of(path).overlays == 2


def test_text_of_the_header_never_passes(tmp_path):
    found = facts(
        tmp_path, SOPClassUID="1.2.826.0.1.3680043.99.7", ShutterShape="MUELLER", CollimatorShape="",
        BurnedInAnnotation="MUELLER", PhotometricInterpretation="MUELLER",
    )  # fmt: skip
    assert (found.sop_class, found.shutter, found.burned_in) == ("unknown", "unknown", "unknown")
    assert (found.photometric, found.collimator) == ("unknown", "")


@pytest.mark.parametrize(
    "made_by,said",
    [
        (SIMULATOR, "yes"),
        (("Stenoscope", "Stenoscope"), ""),  # this program's pictures of real clips
        (("MUELLER", "simulated angiogram"), ""),
    ],
)
def test_only_the_simulation_marks_a_clip_as_simulated(tmp_path, made_by, said):
    maker, model = made_by
    assert facts(tmp_path, Manufacturer=maker, ManufacturerModelName=model).simulated == said
    assert facts(tmp_path).simulated == ""


def test_a_file_that_cannot_be_used_has_facts_all_the_same(tmp_path):
    found = facts(tmp_path, Modality="RF", ShutterShape="CIRCULAR")
    assert (found.modality, found.shutter, found.bits_stored, found.voi) == ("RF", "CIRCULAR", 8, "")
    (tmp_path / "no.dcm").write_text("no DICOM")
    with pytest.raises(DicomError):
        facts_of(tmp_path / "no.dcm")


def shaped(**macros):
    """A group with macros of one element each."""
    group = Dataset()
    for macro, (keyword, value) in macros.items():
        item = Dataset()
        setattr(item, keyword, value)
        setattr(group, macro, [item])
    return group


def test_collimator_and_shutter_of_an_enhanced_image(tmp_path):
    collimator = {"CollimatorShapeSequence": ("CollimatorShape", "RECTANGULAR")}
    shutter = {"FrameDisplayShutterSequence": ("ShutterShape", ["CIRCULAR", "MUELLER"])}
    own = {"FrameDisplayShutterSequence": ("ShutterShape", "POLYGONAL")}
    found = facts(tmp_path, SharedFunctionalGroupsSequence=[shaped(**collimator, **shutter)])
    assert (found.collimator, found.shutter) == ("RECTANGULAR", "CIRCULAR+unknown")
    found = facts(
        tmp_path, ramp(3), ShutterShape="BITMAP",
        SharedFunctionalGroupsSequence=[shaped(**collimator, **shutter)],
        PerFrameFunctionalGroupsSequence=[shaped(**own), Dataset(), Dataset()],
    )  # fmt: skip
    assert (found.collimator, found.shutter) == ("RECTANGULAR", "POLYGONAL")
    assert (
        facts(tmp_path, SharedFunctionalGroupsSequence=[Dataset()], ShutterShape="BITMAP").shutter == "BITMAP"
    )


def test_a_number_where_a_term_belongs_is_unknown(tmp_path):
    path = make_dicom(tmp_path / "clip.dcm", ramp(), ShutterShape="AB")
    path.write_bytes(path.read_bytes().replace(b"CS\x02\x00AB", b"US\x02\x00AB"))
    assert facts_of(path).shutter == "unknown"
