"""The order of the rooms: a module imports only lower numbers or its own folder."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

LEVELS = {
    "errors": 0,
    "records": 0,
    "geometry": 1,
    "roles": 1,
    "training_settings": 2,
    "settings": 3,
    "presets": 4,
    "run": 5,
    "imaging": 6,
    "vesselness": 6,
    "augmentation": 6,
    "phantom": 7,
    "keyframes": 7,
    "data": 8,
    "folds": 9,
    "models": 10,
    "training": 11,
    "heatmaps": 11,
    "evaluation": 11,
    "learners": 12,
    "results": 13,
    "report": 14,
    "temporal": 15,
    "tuning": 15,
    "export": 15,
    "app": 16,
}
"""The optional parts, `temporal`, `tuning` and `export`, stand right below `app`, their only importer."""
FREE_OF_KERAS = (
    "imaging",
    "vesselness",
    "augmentation",
    "phantom",
    "keyframes",
    "data",
    "folds",
    "evaluation",
)
SCRIPTS = ("pickle_generator", "data_loader_kfold", "augment", "main", "hyper_parameter_kfold")


def imports_of(path: Path) -> set[str]:
    """Full names of the modules that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def room_of(module: str) -> str | None:
    """First folder or module below the package; None outside the package."""
    parts = module.split(".")
    return parts[1] if parts[0] == "stenoscope" and len(parts) > 1 and parts[1] in LEVELS else None


def room_with(path: Path, root: Path) -> str:
    """Room of a file of the package."""
    return path.relative_to(root / "stenoscope").parts[0].removesuffix(".py")


def modules(root: Path) -> list[Path]:
    return sorted((root / "stenoscope").rglob("*.py"))


def test_every_room_has_a_level(root):
    found = {room_with(path, root) for path in modules(root)}
    assert found - {"__init__"} == set(LEVELS)


def test_modules_import_only_what_lies_below(root):
    wrong = []
    for path in modules(root):
        room = room_with(path, root)
        for name in imports_of(path):
            other = room_of(name)
            if other and other != room and LEVELS[other] >= LEVELS.get(room, -1):
                wrong.append(f"{path.relative_to(root)} imports {name}")
    assert not wrong


def test_settings_name_no_other_room(root):
    parts = {"settings", "training_settings", "roles"}
    for part in parts:
        names = imports_of(root / "stenoscope" / f"{part}.py")
        assert {room_of(name) for name in names} <= {None, "errors"} | parts


def test_the_package_imports_nothing(root):
    assert not imports_of(root / "stenoscope" / "__init__.py")


@pytest.mark.parametrize("script", SCRIPTS)
def test_scripts_import_only_app(root, script):
    rooms = {room_of(name) for name in imports_of(root / f"{script}.py")}
    assert rooms - {None} == {"app"}


def test_no_module_is_longer_than_a_sitting(root):
    lengths = {path: len(path.read_text("utf-8").splitlines()) for path in modules(root)}
    assert {str(path): lines for path, lines in lengths.items() if lines > 350} == {}


def test_no_function_takes_more_than_seven_parameters(root):
    wrong = []
    for path in modules(root):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                names = [
                    item.arg for item in [*node.args.args, *node.args.kwonlyargs, *node.args.posonlyargs]
                ]
                if len([name for name in names if name not in ("self", "cls")]) > 7:
                    wrong.append(f"{path.relative_to(root)}:{node.lineno}")
    assert not wrong


def test_steps_one_and_two_load_no_tensor_library(root):
    code = (
        "import sys, stenoscope.app.keyframes, stenoscope.app.folds, stenoscope.app.augment\n"
        "found = {'tensorflow', 'keras', 'jax', 'torch', 'matplotlib'} & set(sys.modules)\n"
        "sys.exit(f'loaded {found}' if found else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_rooms_without_models_never_import_keras(root):
    wrong = [
        f"{path.relative_to(root)}: {name}"
        for room in FREE_OF_KERAS
        for path in (root / "stenoscope" / room).glob("*.py")
        for name in imports_of(path)
        if name.split(".")[0] in ("keras", "tensorflow")
    ]
    assert not wrong


def test_every_csv_file_is_written_and_read_in_one_place(root):
    """Only `csv_files` keeps formulas out."""
    meant = {"run/csv_files.py"}
    found = []
    for path in modules(root):
        name = path.relative_to(root / "stenoscope").as_posix()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and node.attr in ("to_csv", "read_csv"):
                if not (isinstance(node.value, ast.Name) and node.value.id == "csv_files"):
                    found.append(f"{name}: {node.attr}")
            elif isinstance(node, ast.Attribute) and node.attr in ("writer", "DictWriter", "DictReader"):
                found.append(f"{name}: {node.attr}")
    assert [entry for entry in found if not meant & {entry, entry.split(":")[0]}] == []


def test_only_results_names_the_files_of_an_experiment(root):
    ours = {
        "predictions.csv", "decisions.csv", "inner.csv", "localisation.csv", "randomisation.csv",
        "trained_on.csv", "model.keras", "summary.json",
    }  # fmt: skip
    found = {
        f"{path.relative_to(root / 'stenoscope').as_posix()}: {node.value}"
        for path in modules(root)
        if room_with(path, root) != "results"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and node.value in ours
    }
    assert not found
