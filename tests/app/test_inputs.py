import pytest

from stenoscope.app.inputs import Inputs, check_method, choose_method, open_data_set
from stenoscope.errors import DatasetError, SettingsError
from stenoscope.settings import KeyframeSettings
from tests.data.trees import TREES


@pytest.mark.parametrize("name", TREES)
def test_what_auto_chooses_for_each_layout(tmp_path, capsys, name):
    tree = TREES[name]
    root = tree(tmp_path / "in")
    layout, data = open_data_set(root, "auto")
    taken = Inputs(KeyframeSettings(input=str(root), pseudonym_key=str(tmp_path / "key")), layout, data)
    assert layout == name and taken.method == tree.method
    assert taken.labels()[1] == (name if tree.labels else "none")
    assert taken.truth()[1] == (name if tree.boxes else "none")
    said = capsys.readouterr().out
    assert "laid out as" in said and ("published" in said) == (tree.method == "published")


def test_a_layout_that_is_named_is_not_announced(tmp_path, capsys):
    assert open_data_set(TREES["angiodata"](tmp_path / "in"), "angiodata")[0] == "angiodata"
    assert capsys.readouterr().out == ""


def test_clips_without_labels_are_one_error(tmp_path):
    root = TREES["angiodata"](tmp_path / "in")
    layout, data = open_data_set(root, "clips")
    settings = KeyframeSettings(input=str(root), pseudonym_key=str(tmp_path / "key"))
    with pytest.raises(DatasetError, match="--labels none"):
        Inputs(settings, layout, data).labels()


@pytest.mark.parametrize("name", ["auto", "published", "opacification", "moon2021"])
def test_known_methods_pass(name):
    check_method(name)


def test_unknown_and_unpublished_methods_are_refused(tmp_path):
    with pytest.raises(SettingsError, match="moon2022"):
        check_method("moon2022")
    layout, data = open_data_set(TREES["angiodata"](tmp_path / "in"), "auto")
    with pytest.raises(SettingsError, match="ships no key frames"):
        choose_method("published", layout, data)
