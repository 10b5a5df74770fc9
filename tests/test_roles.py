"""Each setting says its role once, and what depends on roles follows."""

from contextlib import nullcontext
from dataclasses import asdict, fields, replace

import pytest

from stenoscope import settings as module
from stenoscope.errors import DatasetError
from stenoscope.roles import names
from stenoscope.run import claims, locks
from stenoscope.settings import CLASSES, NO_RESULT, TrainingSettings
from stenoscope.tuning.space import FIXED, scored


def test_every_field_has_a_role_and_a_name_has_one():
    made = {item for name, item in vars(module).items() if name.endswith("Settings")}
    assert set(CLASSES) == made
    for item in CLASSES:
        assert {field.metadata["role"] for field in fields(item)} <= {"result", "place", "speed"}
        assert not names(item, "result") & NO_RESULT


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
