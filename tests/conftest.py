"""Fixtures shared by all tests."""

import os
from pathlib import Path

import pytest

from tests.journey import PHANTOM, SMOKE, Workspace

ROOT = Path(__file__).resolve().parent.parent


def pytest_collection_modifyitems(items):
    # tests of whole scripts take longest: begun last, one process would end alone with them
    items.sort(key=lambda item: len(item.path.parts))


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real angiograms beside the checkout; tests that need it skip where it is absent."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no real angiograms at {folder}")
    return folder


@pytest.fixture(scope="session")
def cohort(tmp_path_factory) -> Workspace:
    """A workspace with a simulated cohort of 12 patients in data/phantom."""
    shared = tmp_path_factory.getbasetemp().parent if "PYTEST_XDIST_WORKER" in os.environ else None
    workspace = Workspace(tmp_path_factory.mktemp("journey"), shared)
    workspace.build("cohort", (*PHANTOM, "--patients", "12"))
    return workspace


@pytest.fixture(scope="session")
def prepared(cohort) -> Workspace:
    """The cohort after steps 1 and 2, every script run on its defaults."""
    scripts = ("pickle_generator.py",), ("data_loader_kfold.py",)
    cohort.build("prepared", *scripts, after_copy=scripts[:1])  # which notes the copies' inodes
    return cohort


@pytest.fixture(scope="session")
def journey(prepared) -> Workspace:
    """The whole journey: the cohort after step 3 with the preset that takes seconds."""
    prepared.build("journey", SMOKE)
    return prepared
