"""Who may know whom: shared rooms know no study, studies know each other by public names, nobody in circles."""

import ast
import shutil
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "lowpix"
SHARED = {"data", "networks", "reveal", "segmenter", "study"}
SHARED |= {"storage", "weights", "options", "metrics", "seeds", "errors", "command"}
STUDIES = {
    "image_study",
    "dataset_study",
    "active_study",
    "order_study",
    "compare",
    "annotate",
    "predict",
    "doctor",
}
KNOWN = {("order_study", "lowpix.image_study"), ("dataset_study", "lowpix.image_study")}
"""What a study imports of another one."""


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def room(module: str) -> str:
    """The folder or file right inside the package."""
    return module.split(".")[1] if "." in module else ""


def imports(node: ast.AST, package: str, later: bool) -> Iterator[str]:
    """The modules of lowpix that a piece of code imports; `later` also inside functions and for type checks."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names if alias.name.split(".")[0] == "lowpix")
        elif isinstance(child, ast.ImportFrom):
            start = package.split(".")[: -child.level + 1 or None] if child.level else []
            base = ".".join([*start, *([child.module] if child.module else [])])
            if base.split(".")[0] == "lowpix":
                for alias in child.names:
                    inner = f"{base}.{alias.name}"
                    yield inner if inner in MODULES else base
        elif later or not _comes_later(child):
            yield from imports(child, package, later)


def _comes_later(node: ast.AST) -> bool:
    """Not when the module is imported."""
    if isinstance(node, ast.If):
        return "TYPE_CHECKING" in ast.unparse(node.test)
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)


def found_imports(module: str, later: bool = True) -> set[str]:
    path = MODULES[module]
    package = module if path.stem == "__init__" else module.rpartition(".")[0]
    return set(imports(ast.parse(path.read_text(encoding="utf-8")), package, later)) - {module}


def test_every_room_is_known_here() -> None:
    """A new one has to say whether it is shared."""
    assert {room(module) for module in MODULES} - {"", "__main__"} == SHARED | STUDIES


EVERYTHING = """
import os, lowpix.seeds
from lowpix import errors, InputError
from .log import Log
from . import oracle

if TYPE_CHECKING:
    from lowpix.data import Dataset

class Some:
    from ..metrics import iou

    def method(self):
        from lowpix.compare import compare
"""


def test_imports_are_seen() -> None:
    """The test itself: what is found in a piece of code that has everything."""
    code = ast.parse(EVERYTHING)
    now = {
        "lowpix",
        "lowpix.seeds",
        "lowpix.errors",
        "lowpix.reveal.log",
        "lowpix.reveal.oracle",
        "lowpix.metrics",
    }
    assert set(imports(code, "lowpix.reveal", False)) == now
    assert set(imports(code, "lowpix.reveal", True)) == now | {"lowpix.data", "lowpix.compare"}


@pytest.mark.parametrize("module", sorted(module for module in MODULES if room(module) in SHARED))
def test_shared_rooms_know_no_study(module: str) -> None:
    assert [other for other in found_imports(module) if room(other) in STUDIES] == []


@pytest.mark.parametrize("module", sorted(module for module in MODULES if room(module) in STUDIES))
def test_studies_know_each_other_by_public_names_alone(module: str) -> None:
    others = [other for other in found_imports(module) if room(other) in STUDIES - {room(module)}]
    assert [other for other in others if (room(module), other) not in KNOWN] == []


def test_nobody_imports_the_package_itself() -> None:
    """Whose names are loaded when used: within the package that would hide who knows whom."""
    assert [module for module in MODULES if "lowpix" in found_imports(module)] == []


def test_no_import_runs_in_a_circle() -> None:
    try:
        TopologicalSorter({module: found_imports(module, later=False) for module in MODULES}).prepare()
    except CycleError as fault:
        pytest.fail(" → ".join(fault.args[1]))


IMPORT_ALL = """
import importlib, pkgutil, sys

# an editable installation finds the parts of lowpix wherever the package itself was found
sys.meta_path = [finder for finder in sys.meta_path if not finder.__module__.startswith("__editable__")]
for folder in sys.argv[1:]:
    gone = folder.rpartition("/")[2]
    sys.path.insert(0, folder)
    importlib.invalidate_caches()
    import lowpix
    assert lowpix.__path__[0].startswith(folder), lowpix.__path__
    names = [module.name for module in pkgutil.walk_packages(lowpix.__path__, "lowpix.")]
    for name in names:
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as fault:
            if fault.name.split(".")[0] == "lowpix":
                raise SystemExit(f"without {gone}: {name} cannot be imported: {fault}")
            print(f"{name} needs {fault.name}, which is not installed")
    try:
        importlib.import_module(f"lowpix.{gone}")
        raise SystemExit(f"{gone} is still there")
    except ModuleNotFoundError:
        pass
    print(f"without {gone}: {len(names)} modules")
    for name in [name for name in sys.modules if name.split(".")[0] == "lowpix"]:
        del sys.modules[name]
    del lowpix
    sys.path.pop(0)
if "matplotlib.pyplot" in sys.modules:  # with its global state, and the need of a display
    raise SystemExit("pyplot is loaded")
"""


@pytest.mark.slow
def test_any_study_on_top_can_be_removed(tmp_path: Path) -> None:
    removed = ("dataset_study", "active_study", "order_study", "compare", "annotate")
    for gone in removed:
        shutil.copytree(PACKAGE, tmp_path / gone / "lowpix", ignore=shutil.ignore_patterns(gone, "__pycache__"))
    command = [sys.executable, "-c", IMPORT_ALL, *(str(tmp_path / gone) for gone in removed)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    for gone in removed:
        left = sum(room(module) not in ("", gone) for module in MODULES)
        assert f"without {gone}: {left} modules\n" in done.stdout
