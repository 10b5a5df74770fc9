"""Reading clips: DICOM runs, folders of numbered images and videos, as uint8 frames with dark vessels.

`intake` finds and admits the clips of a folder, `readers` is the registry of formats, `intensity` the way
from stored values to grey levels, `pseudonyms` the keyed hash that replaces the patient's id.
"""
