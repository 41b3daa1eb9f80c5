"""The package's modules import only from the layers below their own."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "editbench"

LAYERS = [
    {"errors", "records", "images", "installation"},
    {"process"},
    {"run"},
    {"benchmark"},
    {"models"},
    {"rubrics"},
    {"editors", "judges"},
    {"config"},
    {"stats"},
    {"report"},
    {"stages"},
    {"demo"},
    {"bench"},
    {"cli"},
    {"api"},
    {"__main__"},
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE or path.name != "__init__.py")


def imported(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = [node.module] if isinstance(node, ast.ImportFrom) else []
        names = [name.name for name in node.names] if isinstance(node, ast.Import) else names
        found |= {name.split(".")[1] for name in names if name and name.startswith("editbench.")}
    return found


def roots(tree: ast.Module) -> set[str]:
    """The top-level packages that a module imports, by `import` or `from`."""
    nodes = list(ast.walk(tree))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module]
    return {name.split(".")[0] for name in names}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_a_module_imports_only_from_lower_layers(path):
    own = path.relative_to(PACKAGE).with_suffix("").parts[0]
    assert own in LEVEL, f"{own} has no layer: give it one above"
    too_high = {name for name in imported(path) if name != own and LEVEL[name] >= LEVEL[own]}
    assert not too_high


def test_no_module_of_the_package_imports_a_script():
    for path in MODULES:
        assert not roots(ast.parse(path.read_text(encoding="utf-8"))) & {"edit", "score", "report"}, path


@pytest.mark.parametrize(
    "name", ["editbench.config", "editbench.report", "editbench.stages.edit", "editbench.stages.score"]
)
def test_nothing_imports_torch_before_a_model_is_chosen(name):
    code = f"import sys, {name}; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_vocabulary_needs_the_standard_library_and_msgspec_alone():
    assert roots(ast.parse((PACKAGE / "records.py").read_text(encoding="utf-8"))) <= sys.stdlib_module_names | {
        "msgspec"
    }
