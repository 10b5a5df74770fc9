"""`pip install .` into an empty folder, and the console script from there, far from the checkout."""

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from stenoscope.app.steps import STEPS


@pytest.fixture(scope="module")
def installed(root, tmp_path_factory) -> Path:
    """A folder with the installed package and `bin/stenoscope`."""
    if not (find_spec("pip") and find_spec("setuptools") and find_spec("wheel")):
        pytest.skip("pip can't build here without a network: pip, setuptools or wheel is not installed")
    folder = tmp_path_factory.mktemp("installation")
    source, target = folder / "source", folder / "target"  # a build leaves files beside pyproject.toml
    shutil.copytree(root / "stenoscope", source / "stenoscope", ignore=shutil.ignore_patterns("__pycache__"))
    for path in (root / "pyproject.toml", root / "README.md", *root.glob("requirements*.txt")):
        shutil.copy(path, source)
    how = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "install", *how, "--target", str(target), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return target


@pytest.fixture(scope="module")
def stenoscope(installed, tmp_path_factory):
    """Runs the console script in a folder of its own and returns what it printed."""
    folder = tmp_path_factory.mktemp("far")
    environment = {**os.environ, "PYTHONPATH": str(installed), "COLUMNS": "100", "OMP_NUM_THREADS": "1"}

    def run(*arguments: str) -> str:
        command = [sys.executable, str(installed / "bin" / "stenoscope"), *arguments]
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def test_every_file_of_the_package_is_installed(root, installed):
    def files(folder: Path) -> set[str]:
        paths = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc")
        return {path.relative_to(folder).as_posix() for path in paths}

    assert files(installed / "stenoscope") == files(root / "stenoscope")


def test_the_console_script_lists_every_step(stenoscope):
    said = stenoscope("--help")
    for name, step in STEPS.items():
        assert name in said and step.about.split(",")[0].split(":")[0] in " ".join(said.split())


def test_it_runs_a_step_and_names_the_next_one(stenoscope):
    said = stenoscope("phantom", "--patients", "1", "--workers", "2", "--output", "data/one")
    assert "next: stenoscope keyframes --input data/one" in " ".join(said.split())


def test_presets_are_installed(stenoscope):
    assert "image_size: 64" in stenoscope("train", "--preset", "smoke", "--print_config")
