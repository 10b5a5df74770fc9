import pytest
import yaml

from stenoscope.app.steps import STEPS
from stenoscope.errors import SettingsError
from stenoscope.presets import ABOUT, PRESETS, training_settings
from stenoscope.roles import groups_of
from stenoscope.run.arguments import Given, Step, start
from stenoscope.run.arguments import parse as parse_step
from stenoscope.run.cli import run
from stenoscope.settings import (
    FoldSettings,
    KeyframeSettings,
    PredictSettings,
    TrainingSettings,
    TuningSettings,
)

CLASSES = (KeyframeSettings, FoldSettings, PredictSettings, TrainingSettings, TuningSettings)
TRAIN, PREDICT, KEYFRAMES = (STEPS[name] for name in ("train", "predict", "keyframes"))
MAIN = {name: STEPS[name] for name in ("predict", "export")}
"""Subcommands of main.py."""


def parse(settings_class, argv):
    """The settings alone, without words, modes and subcommands."""
    return parse_step(Step(settings_class), argv)[1].settings


def train(argv):
    """What main.py without a subcommand is given."""
    return parse_step(TRAIN, argv, MAIN)[1]


@pytest.mark.parametrize("settings_class", CLASSES)
def test_no_arguments_give_the_defaults(settings_class):
    assert parse(settings_class, []) == settings_class()


def test_flags_may_be_written_with_dashes_and_booleans_alone():
    expected = TrainingSettings(learning_rate=0.1, shuffle_labels=True, flip=False, epochs=3)
    for argv in (
        ["--learning-rate", "0.1", "--shuffle-labels", "--flip", "false", "--epochs=3"],
        ["--learning_rate=0.1", "--shuffle_labels", "true", "--flip=false", "--epochs", "3"],
    ):
        assert parse(TrainingSettings, argv) == expected


def test_a_negative_number_is_no_flag():
    assert parse(FoldSettings, ["--seed", "-3"]).seed == -3


@pytest.mark.parametrize("name", ["cpu", "quick", "paper", "smoke"])
def test_presets_are_defaults_that_flags_override(name):
    assert parse(TrainingSettings, ["--preset", name]) == training_settings(name)
    assert parse(TrainingSettings, ["--epochs", "4", f"--preset={name}"]) == training_settings(name, epochs=4)


def test_a_file_overrides_the_preset_and_flags_override_the_file(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("preset: paper\nepochs: 4\nseed: 3\n")
    settings = parse(TrainingSettings, ["--config", str(path), "--seed", "5"])
    assert settings == training_settings("paper", epochs=4, seed=5)


def test_what_print_config_prints_is_what_config_takes(tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        parse(TrainingSettings, ["--preset", "smoke", "--seed", "11", "--print_config"])
    assert ended.value.code == 0
    printed = capsys.readouterr().out
    assert yaml.safe_load(printed)["seed"] == 11
    (tmp_path / "printed.yaml").write_text(printed)
    settings = parse(TrainingSettings, ["--config", str(tmp_path / "printed.yaml")])
    assert settings == training_settings("smoke", seed=11)


@pytest.mark.parametrize(
    "argv", [["--epoch", "3"], ["--epochs", "three"], ["--preset", "gpu"], ["--optimizer", "lion"], ["extra"]]
)
def test_faulty_arguments_end_with_status_2(argv, capsys):
    with pytest.raises(SystemExit) as ended:
        parse(TrainingSettings, argv)
    assert ended.value.code == 2 and "error" in capsys.readouterr().err


def test_an_unknown_key_in_a_file_is_refused(tmp_path, capsys):
    (tmp_path / "mine.yaml").write_text("epoch: 3\n")
    with pytest.raises(SystemExit) as ended:
        parse(TrainingSettings, ["--config", str(tmp_path / "mine.yaml")])
    assert ended.value.code == 2 and "epoch" in capsys.readouterr().err


@pytest.mark.parametrize("content", [None, "a: [", b"\xff\xfe\x00"])
def test_a_file_that_is_no_yaml_is_one_clear_error(tmp_path, capsys, content):
    path = tmp_path / "mine.yaml"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    status = run(lambda: parse(TrainingSettings, ["--config", str(path)]))
    assert status == 2
    assert "mine.yaml" in capsys.readouterr().err.replace("\n", "")


def test_positional_arguments_come_beside_the_settings():
    _, given = parse_step(PREDICT, ["a.dcm", "b", "--method", "moon2021"])
    assert given.words == ["a.dcm", "b"] and given.settings == PredictSettings(method="moon2021")
    with pytest.raises(SystemExit):
        parse_step(PREDICT, [])


def test_a_subcommand_has_its_own_flags(capsys):
    step, given = parse_step(TRAIN, ["predict", "a.dcm", "--threads=2"], MAIN)
    assert step is PREDICT and given.words == ["a.dcm"] and given.settings == PredictSettings(threads=2)
    step, given = parse_step(None, ["train", "--preset", "smoke", "--audit", "--flip=false"], STEPS)
    assert step is TRAIN and (given.settings, given.mode) == (training_settings("smoke", flip=False), "audit")
    for argv, sentence in (
        (["predict"], "Name at least one clip or folder of clips; --help shows an example."),
        (["predict", "a", "--epochs", "2"], "There is no flag --epochs; --help lists them all."),
        (["--seed", "1", "predict", "a"], "'predict' is an argument too many; --help shows what is taken."),
        (["export", "--tolerance", "small"], "--tolerance is 'small'; expected a number."),
    ):
        with pytest.raises(SystemExit) as ended:
            parse_step(TRAIN, argv, MAIN)
        assert ended.value.code == 2 and capsys.readouterr().err == f"error: {sentence}\n"


@pytest.mark.parametrize(
    "argv, sentence",
    [
        ([], "Name a command: phantom, keyframes, folds, augment, train, predict, export, tune; --help tells "
         "what they do."),
        (["fold"], "There is no command 'fold'; did you mean folds?"),
        (["folds", "--fold", "3"], "There is no flag --fold; did you mean --folds?"),
    ],
)  # fmt: skip
def test_a_slip_in_the_name_of_a_step_is_told(argv, sentence, capsys):
    with pytest.raises(SystemExit) as ended:
        parse_step(None, argv, STEPS, "stenoscope")
    assert ended.value.code == 2 and capsys.readouterr().err == f"error: {sentence}\n"


def test_a_step_is_run_with_what_was_given_and_its_status_returned():
    seen = []
    step = Step(FoldSettings, lambda given: seen.append(given.settings) or 1)
    assert start(step, {}, "python x.py", ["--folds", "3"]) == 1 and seen == [FoldSettings(folds=3)]


def test_a_mode_comes_beside_the_settings_and_changes_their_defaults(tmp_path):
    assert train([]) == Given(TrainingSettings())
    assert train(["--audit"]) == Given(TrainingSettings(), "audit")
    given = train(["--epochs", "3", "--study", "--preset=smoke"])
    assert (given.settings, given.mode) == (
        training_settings("smoke", epochs=3, experiment="results/study"),
        "study",
    )
    (tmp_path / "mine.yaml").write_text("experiment: results/mine\n")
    argv = ["--study", "--config", str(tmp_path / "mine.yaml")]
    assert train(argv).settings.experiment == "results/mine"


@pytest.mark.parametrize("argv", [["--study", "--audit"], ["--study=1"], ["--study", "yes"]])
def test_a_mode_is_one_flag_without_value(argv):
    with pytest.raises(SystemExit) as ended:
        train(argv)
    assert ended.value.code == 2


def test_a_mode_is_in_the_help_but_in_no_file(capsys):
    for argv, shown in ((["--help"], True), (["--audit", "--print_config"], False)):
        with pytest.raises(SystemExit) as ended:
            train(argv)
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
def test_the_file_of_settings_is_found(argv, path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "b").mkdir()
    for name in ("a.yaml", "b/c=d.yaml"):
        (tmp_path / name).write_text("seed: 3\n")
    assert train(argv).config == path


@pytest.mark.parametrize(
    "argv, sentence",
    [
        (["--epoch", "3"], "There is no flag --epoch; did you mean --epochs?"),
        (["--learning-rte=3"], "There is no flag --learning_rte; did you mean --learning_rate?"),
        (["-seed", "3"], "There is no flag -seed; did you mean --seed?"),
        (["--zzz"], "There is no flag --zzz; --help lists them all."),
        (["--epochs", "three"], "--epochs is 'three'; expected a whole number."),
        (["--epochs=3.5"], "--epochs is '3.5'; expected a whole number."),
        (["--learning-rate", "1e-"], "--learning_rate is '1e-'; expected a number."),
        (["--flip", "maybe"], "--flip is 'maybe'; expected true or false."),
        (["--seed"], "--seed needs a value: a whole number."),
        (
            ["--optimizer", "adm"],
            "--optimizer is 'adm'; expected one of adam, adamw, sgd; did you mean adam?",
        ),
        (
            ["--preset=Quik"],
            "--preset is 'Quik'; expected one of cpu, quick, smoke, paper, cadica; did you mean quick?",
        ),
        (["--jit", "never"], "--jit is 'never'; expected one of auto, on, off."),
        (["--study", "yes"], "--study takes no value, but 'yes' follows it."),
        (["--audit=1"], "--audit takes no value."),
        (["predct", "a.dcm"], "There is no command 'predct'; did you mean predict?"),
        (["frobnicate"], "There is no command 'frobnicate'; the commands are predict and export."),
        (["--seed", "1", "extra"], "'extra' is an argument too many; --help shows what is taken."),
    ],
)
def test_a_slip_is_told_in_one_sentence_with_what_was_meant(argv, sentence, capsys):
    with pytest.raises(SystemExit) as ended:
        train(argv)
    said = capsys.readouterr()
    assert ended.value.code == 2 and said.out == "" and said.err == f"error: {sentence}\n"


def test_what_was_a_file_of_corrections_is_told_its_new_flag(tmp_path, capsys):
    (tmp_path / "old.yaml").write_text("keyframes: none\n")
    for argv in (["--keyframes", "hand.csv"], ["--config", str(tmp_path / "old.yaml")]):
        with pytest.raises(SystemExit):
            parse(KeyframeSettings, argv)
        assert "corrected by hand is given with --corrections." in capsys.readouterr().err
    assert parse(KeyframeSettings, ["--keyframes", "7", "--corrections", "a.csv"]).keyframes == 7
    for number in ("0", "100"):
        with pytest.raises(SettingsError, match="keyframes"):
            parse(KeyframeSettings, ["--keyframes", number])


@pytest.mark.parametrize(
    "line, sentence",
    [
        ("epoch: 3", "has the setting 'epoch', which does not exist; did you mean epochs?"),
        ("epochs: many", "The setting epochs is 'many'; expected a whole number."),
        ("preset: quick\nlearning_rate: fast", "The setting learning_rate is 'fast'; expected a number."),
    ],
)
def test_a_slip_in_a_file_names_the_setting(line, sentence, tmp_path, capsys):
    path = tmp_path / "mine.yaml"
    path.write_text(line + "\n")
    with pytest.raises(SystemExit):
        parse(TrainingSettings, ["--config", str(path)])
    assert capsys.readouterr().err.rstrip("\n").endswith(sentence)


def test_step_one_takes_its_folder_without_a_flag(capsys, tmp_path):
    step_one = lambda *argv: parse_step(KEYFRAMES, argv)[1].settings  # noqa: E731
    assert step_one("a/b") == step_one("--input", "a/b") == KeyframeSettings(input="a/b")
    assert step_one("a", "--sheets", "false") == KeyframeSettings(input="a", sheets=False)
    assert step_one("--overwrite", "a") == KeyframeSettings(input="a", overwrite=True)
    assert step_one("a", "--input", "a").input == "a"
    for argv in (("a", "b"), ("a", "--input", "b"), ("--input=b", "a")):
        with pytest.raises(SystemExit) as ended:
            step_one(*argv)
        assert ended.value.code == 2
    with pytest.raises(SystemExit):
        capsys.readouterr()
        step_one("a", "--print_config")
    printed = yaml.safe_load(capsys.readouterr().out)
    assert printed["input"] == "a" and set(printed) == set(vars(KeyframeSettings()))


def test_help_groups_the_flags_and_names_every_preset(capsys):
    with pytest.raises(SystemExit):
        parse_step(Step(TrainingSettings, examples=("--x",)), ["--help"], program="python main.py")
    text = capsys.readouterr().out
    lines = text.splitlines()
    order = [
        "options:",
        "Settings:",
        "Network:",
        "Training:",
        "Decisions:",
        "Explanation:",
        "Machine:",
        "presets:",
    ]
    assert [line for line in lines if line in order] == order
    assert "  python main.py --x" in lines
    where = lambda flag: next(n for n, line in enumerate(lines) if line.startswith(f"  --{flag} "))  # noqa: E731
    for group, flag in (("Settings:", "seed"), ("Network:", "backbone"), ("Machine:", "threads")):
        following = order[order.index(group) + 1]
        assert lines.index(group) < where(flag) < lines.index(following)
    assert set(ABOUT) == set(PRESETS)
    for name, about in ABOUT.items():
        assert f"  {name:10}{about}" in lines


def test_every_setting_is_in_the_group_of_the_comment_above_it():
    groups = groups_of(TrainingSettings)
    assert set(groups) == set(vars(TrainingSettings()))
    assert groups["input"] == "" and groups["cut"] == "Network" and groups["epochs"] == "Training"
    assert groups["inner_share"] == "Decisions" and groups["tensorboard"] == "Machine"
    assert set(groups_of(FoldSettings).values()) == {""}
