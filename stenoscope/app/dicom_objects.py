"""DICOM objects for the archive that new clips came from: the one output that has patients' names in it."""

from datetime import datetime
from pathlib import Path

import numpy as np
from pydicom import dcmread
from pydicom.charset import convert_encodings, decode_bytes, python_encoding
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.valuerep import CUSTOMIZABLE_CHARSET_VR, PN_DELIMS, TEXT_VR_DELIMS

from stenoscope.errors import DicomError
from stenoscope.export import dicom
from stenoscope.export.extras import extra
from stenoscope.export.pictures import overlay_pictures
from stenoscope.imaging.dicom_file import open_dicom, reporting
from stenoscope.imaging.intake import Source
from stenoscope.records import Clip, KeyframeChoice
from stenoscope.run import provenance
from stenoscope.run.cli import say
from stenoscope.vesselness.overlays import clear_field

WARNING = (
    "NOT PSEUDONYMISED: these files carry the patient's name, id and study from the headers of their "
    "sources, so that the hospital's archive can file them. Do not pass them on."
)

_ASCII = frozenset(("", "ISO_IR 6", "ISO 2022 IR 6"))  # terms of the default repertoire
_DELIMITERS = PN_DELIMS | TEXT_VR_DELIMS

_README = f"""{WARNING}

Two files for each clip:
CLIP.keyframes.dcm  Key Object Selection document: points to the key frames in the source.
CLIP.overlay.dcm    Multi-frame Secondary Capture: the key frames under their heatmaps.

For research only: not a diagnosis.
"""


class DicomFolder:
    """A folder of DICOM objects, two for each clip of a run that came from a DICOM file.

    `experiment` is the name of the one whose models are applied. `written` counts the clips that have their
    objects, `refused` says by clip id why the others have none. A SettingsError if highdicom is not
    installed.
    """

    def __init__(self, folder: Path, experiment: str):
        extra("highdicom")
        self.folder, self.experiment = folder, experiment
        self.written, self.refused = 0, {}
        self._created = datetime.now().replace(microsecond=0)

    def write(
        self,
        source: Source,
        clip: Clip,
        choice: KeyframeChoice,
        probabilities: np.ndarray,
        maps: np.ndarray,
        scale: float,
        method: str,
    ) -> None:
        """Write the objects of one clip, or note why there are none.

        `probabilities`, float (n,), are those of "abnormal", by the models together; `maps`, float32 (n, 512,
        512), the heatmap of each key frame by `method`; `scale` is the end of the colour scale.
        """
        if source.reader != "dicom":
            self.refused[clip.clip_id] = "The source is no DICOM file, so there is nothing to refer to."
            return
        origin = dicom.Origin(self.experiment, self._created, self.written + 1)
        frames = clip.frames[list(choice.keyframes)]
        captions = [
            f"Frame {frame + 1}: evidence for abnormal by {method}, probability {probability:.2f}"
            for frame, probability in zip(choice.keyframes, probabilities, strict=True)
        ]
        pictures = overlay_pictures(frames, maps, scale, captions, clear_field(frames))
        try:
            with reporting(source.path, "making DICOM objects that refer to it"):
                header = _read_header(source.path)
                made = {
                    "keyframes": dicom.key_objects(header, choice.keyframes, choice.method, origin),
                    "overlay": dicom.overlay(header, pictures, choice.keyframes, method, origin),
                }
                if not self.written:
                    provenance.write_text(self.folder / "README.txt", _README)  # before the first name
                for name, dataset in made.items():
                    path = self.folder / f"{provenance.file_name(clip.clip_id)}.{name}.dcm"
                    with provenance.atomic_path(path) as temporary:
                        dataset.save_as(temporary, enforce_file_format=True)
        except DicomError as problem:
            self.refused[clip.clip_id] = problem.one_line
            return
        self.written += 1

    def finish(self) -> str:
        """List in README.txt which clips have no objects, and warn; returns what the closing table says."""
        without = ""
        if self.refused:
            reasons = "".join(f"{clip_id}: {reason}\n" for clip_id, reason in self.refused.items())
            provenance.write_text(self.folder / "README.txt", f"{_README}\nClips without them:\n{reasons}")
            without = f"; {len(self.refused)} without, see README.txt"
        say(WARNING, "bold yellow")
        return f"{self.folder}/ ({self.written} clips{without}; NOT pseudonymised)"


def _read_header(path: Path) -> Dataset:
    with open_dicom(path) as (stream, _):
        header = dcmread(stream, stop_before_pixels=True, specific_tags=list(dicom.SOURCE_TAGS))
    if not _texts_are_as_declared(header):
        raise DicomError(
            f"{path} has a header with texts in an undeclared character set.",
            "texts in the Specific Character Set (0008,0005) that it names: a patient's name is not guessed",
            "name the right one: `dcmodify -i '(0008,0005)=ISO_IR 100' FILE` (DCMTK) for Latin-1, say.",
        )
    return header


def _texts_are_as_declared(header: Dataset) -> bool:
    """Whether the bytes of all texts are in the header's character set (PS3.3 C.12.1.1.2).

    pydicom would take undeclared ones for Latin-1, and put U+FFFD for what is not in a declared set.
    """
    declared = header.get("SpecificCharacterSet") or ""
    terms = [declared] if isinstance(declared, str) else list(declared)
    known = set(terms) <= set(python_encoding) and not set(terms) <= _ASCII
    for name in dicom.SOURCE_TAGS:
        element = header.get_item(name)
        text = isinstance(element, RawDataElement) and dictionary_VR(element.tag) in CUSTOMIZABLE_CHARSET_VR
        if not text or not element.value or element.value.isascii():
            continue
        if not known or "\ufffd" in decode_bytes(element.value, convert_encodings(terms), _DELIMITERS):
            return False
    return True
