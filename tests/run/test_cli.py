import itertools

import pytest

from stenoscope.errors import DatasetError
from stenoscope.run import cli
from stenoscope.run.cli import duration, finish, progress, run, say


def test_run_turns_a_users_error_into_a_paragraph(capsys):
    def stage():
        raise DatasetError("labels[0].csv is empty.", "a header", "write one.")

    assert run(stage) == 2
    text = capsys.readouterr().err
    assert "error: labels[0].csv is empty." in text and "To fix: write one." in text


def test_run_leaves_defects_their_traceback_and_tells_of_interrupts(capsys):
    def defect():
        raise KeyError("a defect")

    def interrupted():
        raise KeyboardInterrupt

    with pytest.raises(KeyError):
        run(defect)
    assert run(interrupted) == 130 and "Interrupted" in capsys.readouterr().err
    assert run(lambda: None) == 0


def test_finish_prints_brackets_as_they_are(capsys):
    finish("Made [3]", [("where", "a/[b]/c.csv")], "python main.py --x [y]")
    text = capsys.readouterr().out
    assert "Made [3]" in text and "a/[b]/c.csv" in text and "python main.py --x [y]" in text


@pytest.mark.parametrize("text", ["results/out[/a]", "[bold]x[/bold]", "a\\[b]", "run :smiley: [red]"])
def test_what_users_named_is_printed_as_it_is(text, capsys):
    say(text)
    say(text, "bold")
    finish(text, [(text, text)], f"next {text}")
    assert run(lambda: (_ for _ in ()).throw(DatasetError(text))) == 2
    said = capsys.readouterr()
    assert said.out.count(text) == 6 and said.err == f"error: {text}\n"


@pytest.fixture
def clock(monkeypatch):
    """Seconds that each look at the clock adds."""

    def set_to(*steps):
        moments = itertools.accumulate(steps)
        monkeypatch.setattr(cli.time, "monotonic", lambda: next(moments))

    return set_to


def test_without_a_terminal_a_line_tells_what_is_left(clock, capsys):
    clock(0, 5, 6, 30, 40, 30, 1)  # the first look is the start
    with progress("key frames", 10) as step:
        for _ in range(6):
            step()
    said = capsys.readouterr()
    assert said.out == "" and said.err.splitlines() == [
        "key frames: 2 of 10, about 44 s left",  # 11 s for two
        "key frames: 4 of 10, about 2 min left",  # 81 s for four
    ]


def test_a_line_for_each_epoch_leaves_out_what_an_earlier_run_did(clock, capsys):
    clock(100, 0.001, 0.001, 20, 20)
    with progress("epochs", 4, every=0) as step:
        for _ in range(4):
            step()
    assert capsys.readouterr().err.splitlines() == [
        "epochs: 1 of 4",
        "epochs: 2 of 4",
        "epochs: 3 of 4, about 20 s left",
        "epochs: 4 of 4",
    ]


@pytest.mark.parametrize(
    "seconds, text",
    [
        (0.2, "about 1 s"),
        (89, "about 89 s"),
        (100, "about 2 min"),
        (5000, "about 83 min"),
        (9000, "about 2.5 h"),
    ],
)
def test_durations_are_rough(seconds, text):
    assert duration(seconds) == text


def test_a_long_next_command_can_be_copied(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    finish("Made", [], "python main.py " + "--experiment " + "results/long " * 6)
    assert "--experiment results/long results/long results/long" in capsys.readouterr().out
