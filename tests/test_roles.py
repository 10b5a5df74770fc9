"""Each setting says its role once, and what depends on roles follows."""

from contextlib import nullcontext
from dataclasses import asdict, fields, replace

import pytest

from stenoscope import settings as module
from stenoscope.app.train_worker import FoldJob
from stenoscope.errors import DatasetError
from stenoscope.roles import augmentations, names
from stenoscope.run import claims, locks
from stenoscope.run.cluster import Run
from stenoscope.settings import CLASSES, NO_RESULT, TrainingSettings
from stenoscope.tuning.space import FIXED, scored


def test_every_field_has_a_role_and_a_name_has_one():
    made = {item for name, item in vars(module).items() if name.endswith("Settings")}
    assert set(CLASSES) == made
    for item in CLASSES:
        assert {field.metadata["role"] for field in fields(item)} <= {"result", "place", "speed"}
        assert not names(item, "result") & NO_RESULT


def test_what_augments_says_how():
    assert {"flip": "flips", "shift": "shifts"}.items() <= augmentations(TrainingSettings).items()
    assert not {"augmentation", "epochs", "input", "threads"} & set(augmentations(TrainingSettings))


@pytest.mark.parametrize(
    ("changed", "refused"),
    [({"threads": 3}, False), ({"tensorboard": True}, False), ({"jit": "on"}, True), ({"devices": 2}, True)],
)
def test_a_resume_and_a_score_follow_the_role(tmp_path, changed, refused):
    before, now = TrainingSettings(), replace(TrainingSettings(), **changed)
    assert (scored(before) != scored(now)) == refused
    assert set(changed) <= FIXED
    with locks.released():
        claims.claim(tmp_path, "experiment", asdict(before), {})
    with locks.released(), pytest.raises(DatasetError) if refused else nullcontext():
        claims.claim(tmp_path, "experiment", asdict(now), {})


@pytest.mark.parametrize(
    ("part", "changed", "another_checkpoint", "another_score"),
    [
        ("network", {"epochs": 3}, True, True),
        ("data", {"inner_share": 0.2}, True, True),
        ("data", {"shuffle_labels": True}, True, True),
        ("after", {"heatmap": "hirescam"}, False, False),
        ("after", {"sensitivity": 0.8}, False, False),
    ],
)
def test_a_checkpoint_and_a_score_follow_the_part(part, changed, another_checkpoint, another_score):
    before, now = TrainingSettings(), replace(TrainingSettings(), **changed)
    assert set(changed) <= names(TrainingSettings, part)
    paths = {FoldJob(settings, 1, (), Run("here", None)).checkpoint for settings in (before, now)}
    assert (len(paths) == 2) == another_checkpoint
    assert (scored(before) != scored(now)) == another_score
