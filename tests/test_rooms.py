"""The arrows between the rooms of `lesions/` run one way, and no room outgrows a reader."""

import ast
from graphlib import CycleError, TopologicalSorter

import pytest

from lesions.system.folders import REPOSITORY

PACKAGE = REPOSITORY / "lesions"
# A room may import those of the lines above its own, and nothing else.
ORDER = (
    ("classes", "system"),
    ("data", "evaluation", "figures"),
    ("networks",),
    ("training", "inference"),
    ("explanation", "export"),
    ("serving", "study"),
    ("cli",),
)
FLOOR = {room: floor for floor, rooms in enumerate(ORDER) for room in rooms}
MODULES = sorted(PACKAGE.rglob("*.py"))


def module_name(path):
    parts = path.relative_to(REPOSITORY).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


NAMES = {module_name(path) for path in MODULES}


def imported(path, everywhere=True):
    """Names of this package's modules that a module imports, also inside functions."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = set()
    for node in ast.walk(tree) if everywhere else tree.body:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports by dots"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                found.add(inner if inner in NAMES else node.module)
    return found & NAMES - {"lesions"}


def room(module):
    return module.split(".")[1]


def test_every_room_has_its_place_and_its_purpose():
    rooms = {room(name) for name in NAMES - {"lesions", "lesions.__main__"}}
    assert rooms == set(FLOOR)
    for name in rooms - {"classes"}:
        text = (PACKAGE / name / "__init__.py").read_text(encoding="utf-8")
        purpose = ast.get_docstring(ast.parse(text)) or ""
        assert len(purpose.split()) >= 30, name  # what it is for, and what may enter


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_arrows_run_one_way(path):
    name = module_name(path)
    if name in ("lesions", "lesions.__main__"):
        return
    for target in imported(path):
        same = room(target) == room(name)
        assert same or FLOOR[room(target)] < FLOOR[room(name)], f"{name} imports {target}"


def test_no_modules_import_each_other_in_a_circle():
    # A package's face imports its modules; a module that imports the face is caught here, too.
    graph = {module_name(path): imported(path) - {module_name(path)} for path in MODULES}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"a circle of imports: {' -> '.join(error.args[1])}")


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_modules_and_functions_can_be_read_at_a_sitting(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 400
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno - node.lineno < 50, node.name
