import json

import pytest

from stenoscope.run.commands import after_folds, after_keyframes, after_phantom, again, command, train_again
from stenoscope.settings import FoldSettings, KeyframeSettings


@pytest.mark.parametrize(
    "after,folder,expected",
    [
        (after_phantom, "data/phantom", "python pickle_generator.py"),
        (after_phantom, "sim", "python pickle_generator.py --input sim --output sim_keyframes"),
        (after_keyframes, "data/keyframes", "python data_loader_kfold.py"),
        (
            after_keyframes,
            "my lab/keyframes2",
            "python data_loader_kfold.py --input 'my lab/keyframes2' --output 'my lab/folds2'",
        ),
        (after_keyframes, "OTHER", "python data_loader_kfold.py --input OTHER --output OTHER_folds"),
        (after_folds, "data/folds", "python main.py"),
        (after_folds, "OTHER_folds", "python main.py --input OTHER_folds --experiment results/OTHER"),
        (after_folds, "a b/folds", "python main.py --input 'a b/folds' --experiment 'results/a b'"),
    ],
)
def test_the_next_step_takes_what_was_just_made(after, folder, expected):
    assert after(folder) == expected


def test_a_folder_is_made_again_from_what_it_was_made_of(tmp_path):
    folder = tmp_path / "k"
    assert again(KeyframeSettings, folder) == f"python pickle_generator.py --output {folder}"
    folder.mkdir()
    noted = {"input": "my clips", "sheets": False, "overwrite": True, "method": "auto", "labels_from": "x"}
    (folder / "manifest.json").write_text(json.dumps({"settings": noted}))
    line = again(KeyframeSettings, folder, labels="FILE", overwrite=True)
    assert line == (
        f"python pickle_generator.py --input 'my clips' --sheets false --output {folder} --labels FILE "
        "--overwrite"
    )


def test_a_folder_of_an_earlier_release_is_made_again_with_the_flags_of_this_one(tmp_path):
    for before, now in (("none", ""), ("hand.csv", " --corrections hand.csv")):
        (tmp_path / "manifest.json").write_text(json.dumps({"settings": {"keyframes": before}}))
        line = again(KeyframeSettings, tmp_path)
        assert line == f"python pickle_generator.py{now} --output {tmp_path}"


def test_an_experiment_goes_on_with_its_own_settings(tmp_path):
    assert train_again(tmp_path / "e") == f"python main.py --experiment {tmp_path / 'e'}"
    (tmp_path / "config.yaml").write_text("")
    line = f"python main.py --experiment {tmp_path} --config {tmp_path / 'config.yaml'}"
    assert train_again(tmp_path / "fold_2") == train_again(tmp_path) == line


def test_defaults_are_left_out():
    assert command(FoldSettings, seed=7, folds=5, overwrite=False) == "python data_loader_kfold.py"
