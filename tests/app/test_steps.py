import ast

import pytest

from stenoscope.app.steps import STEPS
from stenoscope.run import commands
from stenoscope.settings import CLASSES, TemporalSettings


def test_every_step_is_in_the_table_and_knows_its_script(root):
    assert {step.settings for step in STEPS.values()} == set(CLASSES) - {TemporalSettings}
    assert list(STEPS) == [name for name, _ in commands.STEPS.values()]
    for name, step in STEPS.items():
        script = commands.STEPS[step.settings][1].split()
        if script[0].endswith(".py"):
            (call,) = (
                node
                for node in ast.walk(ast.parse((root / script[0]).read_text(encoding="utf-8")))
                if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "script"
            )
            named = [argument.value for argument in call.args]
            assert named[0] == name if len(script) == 1 else script[1] == name and name in named[1:]


def test_a_script_says_what_its_step_does(root):
    for step in STEPS.values():
        script = commands.STEPS[step.settings][1]
        if script.endswith(".py"):
            said = ast.get_docstring(ast.parse((root / script).read_text(encoding="utf-8")))
            assert said.splitlines()[0] == step.about


@pytest.mark.parametrize(
    "typed, program", [("/x/bin/stenoscope", "stenoscope folds"), ("main.py", "python data_loader_kfold.py")]
)
def test_messages_name_the_program_that_runs(monkeypatch, typed, program):
    monkeypatch.setattr(commands.sys, "argv", [typed, "keyframes"])
    assert commands.after_keyframes("data/keyframes") == program
