"""Enhanced XA images: what is shared, and what each frame has of its own."""

import pytest
from pydicom.dataset import Dataset

from stenoscope.imaging import dicom
from tests.imaging.make_dicom import facts_of, header_of, item, levels, lut, make_dicom


def grey(path):
    """First pixel of each frame."""
    return dicom.read_dicom(path, "clip", str).frames[:, 0, 0].tolist()


def notes(path):
    return facts_of(path).notes


def groups(**macros):
    return [item(**{name: [item(**elements)] for name, elements in macros.items()})]


def enhanced(path, frames, shared=(), per_frame=(), **elements):
    """An enhanced XA image: nothing at the top level that belongs into functional groups."""
    sequences = {"SharedFunctionalGroupsSequence": shared, "PerFrameFunctionalGroupsSequence": per_frame}
    return make_dicom(
        path, frames, SOPClassUID="1.2.840.10008.5.1.4.1.1.12.1.1", BitsStored=12, FrameTime=None,
        PositionerPrimaryAngle=None, PositionerSecondaryAngle=None, **elements,
        **{name: list(value) for name, value in sequences.items() if value},
    )  # fmt: skip


def test_each_frame_has_its_own_window(tmp_path):
    windows = [
        {"WindowCenter": 100 * i, "WindowWidth": 400, "VOILUTFunction": "LINEAR_EXACT"} for i in (5, 6)
    ]
    per_frame = [groups(FrameVOILUTSequence=window)[0] for window in windows]
    path = enhanced(tmp_path / "a.dcm", levels(600, 600), per_frame=per_frame)
    assert grey(path) == [191, 128]  # 0.75, 0.5
    assert "each frame shown in its own window" in notes(path)
    same = enhanced(tmp_path / "b.dcm", levels(600, 600), per_frame=[per_frame[0]] * 2)
    assert grey(same) == [191, 191] and "each frame shown in its own window" not in notes(same)


def test_a_frames_window_comes_before_the_shared_one_and_that_before_the_top_level(tmp_path):
    def window(center):
        return {"WindowCenter": center, "WindowWidth": 400, "VOILUTFunction": "LINEAR_EXACT"}

    shared = groups(FrameVOILUTSequence=window(600))
    per_frame = [groups(FrameVOILUTSequence=window(500))[0], Dataset()]
    path = enhanced(tmp_path / "a.dcm", levels(600, 600), shared, per_frame, **window(800))
    assert grey(path) == [191, 128]
    only_angles = groups(
        PositionerPositionSequence={"PositionerPrimaryAngle": 1.0, "PositionerSecondaryAngle": 2.0}
    )
    assert grey(enhanced(tmp_path / "b.dcm", levels(600, 600), only_angles, **window(700))) == [64, 64]
    table = groups(FrameVOILUTSequence={"VOILUTSequence": lut(600, [0, 1023], 10)})
    assert grey(enhanced(tmp_path / "c.dcm", levels(600, 601), table, **window(700))) == [0, 255]


@pytest.mark.parametrize("relationship, expected", [("LIN", 191), ("LOG", 64), ("DISP", 64)])
def test_modality_lut_and_pixel_intensity_relationship_of_functional_groups(tmp_path, relationship, expected):
    shared = groups(
        FrameVOILUTSequence={"WindowCenter": 700, "WindowWidth": 400, "VOILUTFunction": "LINEAR_EXACT"},
        PixelValueTransformationSequence={"RescaleSlope": 2, "RescaleIntercept": -400, "RescaleType": "US"},
        FramePixelDataPropertiesSequence={"PixelIntensityRelationship": relationship},
        PixelIntensityRelationshipLUTSequence={"LUTFunction": "TO_LINEAR"},
    )
    # 600 becomes 800, and 0.75 of the window; where the rescale leads back to intensity, 600 is 0.25 of it
    assert grey(enhanced(tmp_path / "a.dcm", levels(600, 600), shared)) == [expected, expected]


def test_angles_and_frame_time_of_functional_groups(tmp_path):
    def frame(angle, moment):
        return groups(
            PositionerPositionSequence={"PositionerPrimaryAngle": angle, "PositionerSecondaryAngle": -3.5},
            FrameContentSequence={"FrameReferenceDateTime": f"20010203040506.{moment:06d}"},
        )[0]

    still = [frame(30.2, 66_700 * i) for i in range(4)]
    path = enhanced(tmp_path / "a.dcm", levels(1, 2, 3, 4), per_frame=still)
    header = header_of(path)
    assert header.view == (30.2, -3.5) and header.facts.frame_time_ms == pytest.approx(66.7)
    assert "C-arm turns during the run" not in header.facts.notes
    turning = [frame(30.2 + 5 * i, 66_700 * i) for i in range(4)]
    path = enhanced(tmp_path / "b.dcm", levels(1, 2, 3, 4), per_frame=turning)
    assert header_of(path).view == (30.2, -3.5) and "C-arm turns during the run" in notes(path)


def test_frame_rate_of_the_presentation(tmp_path):
    path = enhanced(
        tmp_path / "a.dcm", levels(1, 2), FrameDisplaySequence=[item(RecommendedDisplayFrameRateInFloat=15.0)]
    )
    assert facts_of(path).frame_time_ms == pytest.approx(1000 / 15)
