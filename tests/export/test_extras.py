import pytest

from stenoscope.errors import SettingsError
from stenoscope.export.extras import extra


def test_an_installed_module_is_imported():
    assert extra("os.path").join("a", "b") == "a/b"


def test_a_missing_package_comes_with_the_command_that_installs_it():
    with pytest.raises(SettingsError, match="'no_such_package'") as caught:
        extra("no_such_package.part")
    assert "pip install -r requirements-extra.txt -c requirements.lock" in caught.value.fix
