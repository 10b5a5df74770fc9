import pytest
import yaml

from main import MODES
from stenoscope.arguments import config_file, parse
from stenoscope.cli import finish, run
from stenoscope.errors import DatasetError
from stenoscope.presets import training_settings
from stenoscope.settings import (
    FoldSettings,
    KeyframeSettings,
    PredictSettings,
    TrainingSettings,
    TuningSettings,
)

CLASSES = (KeyframeSettings, FoldSettings, PredictSettings, TrainingSettings, TuningSettings)


@pytest.mark.parametrize("settings_class", CLASSES)
def test_no_arguments_give_the_defaults(settings_class):
    assert parse(settings_class, "", []) == settings_class()


def test_flags_may_be_written_with_dashes_and_booleans_alone():
    expected = TrainingSettings(learning_rate=0.1, shuffle_labels=True, flip=False, epochs=3)
    for argv in (
        ["--learning-rate", "0.1", "--shuffle-labels", "--flip", "false", "--epochs=3"],
        ["--learning_rate=0.1", "--shuffle_labels", "true", "--flip=false", "--epochs", "3"],
    ):
        assert parse(TrainingSettings, "", argv) == expected


def test_a_negative_number_is_no_flag():
    assert parse(FoldSettings, "", ["--seed", "-3"]).seed == -3


@pytest.mark.parametrize("name", ["cpu", "quick", "paper", "smoke"])
def test_presets_are_defaults_that_flags_override(name):
    assert parse(TrainingSettings, "", ["--preset", name]) == training_settings(name)
    assert parse(TrainingSettings, "", ["--epochs", "4", f"--preset={name}"]) == training_settings(
        name, epochs=4
    )


def test_a_file_overrides_the_preset_and_flags_override_the_file(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("preset: paper\nepochs: 4\nseed: 3\n")
    settings = parse(TrainingSettings, "", ["--config", str(path), "--seed", "5"])
    assert settings == training_settings("paper", epochs=4, seed=5)


def test_what_print_config_prints_is_what_config_takes(tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        parse(TrainingSettings, "", ["--preset", "smoke", "--seed", "11", "--print_config"])
    assert ended.value.code == 0
    printed = capsys.readouterr().out
    assert yaml.safe_load(printed)["seed"] == 11
    (tmp_path / "printed.yaml").write_text(printed)
    settings = parse(TrainingSettings, "", ["--config", str(tmp_path / "printed.yaml")])
    assert settings == training_settings("smoke", seed=11)


@pytest.mark.parametrize(
    "argv",
    [["--epoch", "3"], ["--epochs", "three"], ["--preset", "gpu"], ["--optimizer", "lion"], ["extra"]],
)
def test_faulty_arguments_end_with_status_2(argv, capsys):
    with pytest.raises(SystemExit) as ended:
        parse(TrainingSettings, "", argv)
    assert ended.value.code == 2 and "error" in capsys.readouterr().err


def test_an_unknown_key_in_a_file_is_refused(tmp_path, capsys):
    (tmp_path / "mine.yaml").write_text("epoch: 3\n")
    with pytest.raises(SystemExit) as ended:
        parse(TrainingSettings, "", ["--config", str(tmp_path / "mine.yaml")])
    assert ended.value.code == 2 and "epoch" in capsys.readouterr().err


@pytest.mark.parametrize("content", [None, "a: [", b"\xff\xfe\x00"])
def test_a_file_that_is_no_yaml_is_one_clear_error(tmp_path, capsys, content):
    path = tmp_path / "mine.yaml"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    status = run(lambda: parse(TrainingSettings, "", ["--config", str(path)]))
    assert status == 2
    assert "mine.yaml" in capsys.readouterr().err.replace("\n", "")


def test_positional_arguments_come_beside_the_settings():
    settings, paths = parse(PredictSettings, "", ["a.dcm", "b", "--method", "moon2021"], ("paths", "Clips."))
    assert paths == ["a.dcm", "b"] and settings.method == "moon2021"
    with pytest.raises(SystemExit):
        parse(PredictSettings, "", [], ("paths", "Clips."))


def test_a_mode_comes_beside_the_settings_and_changes_their_defaults(tmp_path):
    assert parse(TrainingSettings, "", [], modes=MODES) == (TrainingSettings(), None)
    assert parse(TrainingSettings, "", ["--audit"], modes=MODES) == (TrainingSettings(), "audit")
    settings, mode = parse(TrainingSettings, "", ["--epochs", "3", "--study", "--preset=smoke"], modes=MODES)
    assert (settings, mode) == (training_settings("smoke", epochs=3, experiment="results/study"), "study")
    (tmp_path / "mine.yaml").write_text("experiment: results/mine\n")
    argv = ["--study", "--config", str(tmp_path / "mine.yaml")]
    assert parse(TrainingSettings, "", argv, modes=MODES)[0].experiment == "results/mine"


@pytest.mark.parametrize("argv", [["--study", "--audit"], ["--study=1"], ["--study", "yes"]])
def test_a_mode_is_one_flag_without_value(argv):
    with pytest.raises(SystemExit) as ended:
        parse(TrainingSettings, "", argv, modes=MODES)
    assert ended.value.code == 2


def test_a_mode_is_in_the_help_but_in_no_file(capsys):
    for argv, shown in ((["--help"], True), (["--audit", "--print_config"], False)):
        with pytest.raises(SystemExit) as ended:
            parse(TrainingSettings, "", argv, modes=MODES)
        said = " ".join(capsys.readouterr().out.split())
        assert ended.value.code == 0 and ("what leaks are worth" in said) == shown


@pytest.mark.parametrize(
    "argv, path",
    [
        ([], None),
        (["--epochs", "3"], None),
        (["--config", "a.yaml", "--epochs", "3"], "a.yaml"),
        (["--config=a.yaml"], "a.yaml"),
        (["--config", "a.yaml", "--config=b/c=d.yaml"], "b/c=d.yaml"),
    ],
)
def test_the_file_of_settings_is_found(argv, path):
    assert config_file(argv) == path


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
