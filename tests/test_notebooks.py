"""Notebooks and their texts agree, hold light outputs, use public names only, and CI runs every one."""

import ast
import json
import re
from pathlib import Path

import pytest

jupytext = pytest.importorskip("jupytext", reason="jupytext is missing (the extra notebooks)")

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "notebooks"
TEXTS = sorted(FOLDER.glob("*.py"))
MOST_BYTES = 250_000

REMEDY = "run `make notebooks` and commit both files"


def sources(path: Path) -> list[tuple[str, str]]:
    return [(cell.cell_type, cell.source.strip()) for cell in jupytext.read(path).cells]


def test_every_notebook_is_a_pair() -> None:
    assert len(TEXTS) >= 4
    assert [p.stem for p in TEXTS] == [p.stem for p in sorted(FOLDER.glob("*.ipynb"))], REMEDY


@pytest.mark.parametrize("text", TEXTS, ids=lambda p: p.stem)
def test_pairs_agree(text: Path) -> None:
    assert sources(text) == sources(text.with_suffix(".ipynb")), REMEDY


@pytest.mark.parametrize("text", TEXTS, ids=lambda p: p.stem)
def test_notebooks_are_kept_executed_and_light(text: Path) -> None:
    path = text.with_suffix(".ipynb")
    assert path.stat().st_size < MOST_BYTES
    cells = [c for c in json.loads(path.read_text(encoding="utf-8"))["cells"] if c["cell_type"] == "code"]
    assert [c["execution_count"] for c in cells] == list(range(1, len(cells) + 1)), REMEDY
    outputs = [output for c in cells for output in c["outputs"]]
    assert not [o for o in outputs if o["output_type"] == "error"]
    assert not [o for o in outputs if o.get("name") == "stderr"], "warnings are kept in the outputs"


@pytest.mark.parametrize("text", TEXTS, ids=lambda p: p.stem)
def test_notebooks_use_public_names_only(text: Path) -> None:
    for node in ast.walk(ast.parse(text.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute):
            assert not node.attr.startswith("_"), f"{text.name}: .{node.attr}"
        modules = [node.module] if isinstance(node, ast.ImportFrom) else []
        names = [a.name for a in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
        for name in (*modules, *names):
            assert not re.search(r"(^|\.)_", str(name)), f"{text.name}: {name}"


def test_ci_runs_every_notebook() -> None:
    recipe = re.search(r"^test:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)
    assert recipe is not None
    assert re.search(r"pytest .*--nbmake .*\bnotebooks\b", recipe.group(1))
    assert re.search(r"^make test$", (ROOT / ".ci" / "run").read_text(encoding="utf-8"), re.M)
