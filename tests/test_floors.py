"""The lowest floor imports nothing from the floors above; import-linter cannot see it, so it is read here."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MODULES = sorted((ROOT / "datasets").rglob("*.py"))


def imported(path: Path) -> set[str]:
    """Full names of all modules that a file imports, also inside functions."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide the floor"
            names |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_datasets_imports_nothing_of_ours_from_above(path: Path) -> None:
    ours = {n for n in imported(path) if n == "softlyte" or n.startswith("softlyte.")}
    above = {n for n in ours if not n.startswith("softlyte.datasets")}
    assert not above, f"{path.relative_to(ROOT)} imports {', '.join(sorted(above))}"


def test_the_check_sees_the_modules_and_would_see_a_wrong_import(tmp_path: Path) -> None:
    assert ROOT / "datasets" / "formulas.py" in MODULES
    wrong = tmp_path / "wrong.py"
    wrong.write_text("def f():\n    from softlyte.models import predictor\n")
    assert "softlyte.models.predictor" in imported(wrong)


@pytest.mark.parametrize("folder", ["datasets", "tests"])
def test_no_init_file_turns_a_top_level_folder_into_a_package(folder: str) -> None:
    # With it, `import datasets` would pick up the folder of the working directory.
    assert not (ROOT / folder / "__init__.py").exists()
