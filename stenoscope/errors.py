"""Errors that say what was received, what was expected and how to fix it.

Every error that a user can cause derives from `StenoscopeError`; the scripts print it in one paragraph and
exit with status 2. Anything else is a defect of the program and keeps its traceback.
"""


class StenoscopeError(Exception):
    """Base of all errors a user can cause and mend.

    Parameters
    ----------
    received : str
        What was found, naming the file.
    expected : str
        What should have been there.
    fix : str
        What to do about it.
    """

    def __init__(self, received: str, expected: str = "", fix: str = ""):
        self.received, self.expected, self.fix = received, expected, fix
        parts = [received]
        if expected:
            parts.append(f"Expected: {expected}")
        if fix:
            parts.append(f"To fix: {fix}")
        super().__init__("\n".join(parts))

    def __reduce__(self):  # keeps the three parts when raised in a worker process
        return type(self), (self.received, self.expected, self.fix)

    @property
    def one_line(self) -> str:
        """The message on a single line, for a cell of `intake.csv`."""
        sentences = (" ".join(part.split()).rstrip(".") + "." for part in str(self).splitlines())
        return " ".join(sentences)


class DicomError(StenoscopeError):
    """A clip (DICOM file, image folder or video) that can't be read."""


class DatasetError(StenoscopeError):
    """Labels, pickles or folds that are missing, damaged or do not fit each other."""


class SettingsError(StenoscopeError):
    """A setting outside its range or unknown."""


class WeightsError(StenoscopeError):
    """Pretrained weights that can't be had or do not fit."""


def unknown_name(kind: str, name: str, known) -> SettingsError:
    """Error for a name that is not in a registry, listing the known ones.

    Examples
    --------
    >>> unknown_name("backbone", "resnet", ["resnet50", "vgg16"]).expected
    'one of: resnet50, vgg16'
    """
    return SettingsError(
        f"Unknown {kind} {name!r}.",
        f"one of: {', '.join(sorted(known))}",
        f"choose one of these as the {kind}.",
    )
