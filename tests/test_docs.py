"""The documents say what the code does."""

import re
from pathlib import Path

import pytest

from softlyte.datasets.columns import CANDIDATE_COLUMNS, COLUMNS, PREDICT_COLUMNS, column_guide

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "benchmarks").glob("*.md")])


def test_column_guide_is_that_of_the_vocabulary() -> None:
    assert (ROOT / "docs" / "columns.md").read_text(encoding="utf-8").endswith(column_guide())


def test_every_column_is_in_the_vocabulary_and_written_once() -> None:
    assert len(set(CANDIDATE_COLUMNS)) == len(CANDIDATE_COLUMNS)
    for name in CANDIDATE_COLUMNS:
        assert name.removesuffix("_lower").removesuffix("_upper") in COLUMNS
    assert set(PREDICT_COLUMNS) <= set(CANDIDATE_COLUMNS)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_between_documents_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", document.read_text(encoding="utf-8")):
        if not target.startswith("http"):
            assert (document.parent / target).exists(), f"{document.name} links to {target}"


@pytest.mark.parametrize("document", [*DOCUMENTS, ROOT / "Makefile"], ids=lambda path: path.name)
def test_modules_that_documents_run_can_be_run(document: Path) -> None:
    for module in re.findall(
        r"python -m ((?:softlyte|benchmarks)[\w.]*\w)", document.read_text(encoding="utf-8")
    ):
        place = (ROOT / "src" if module.startswith("softlyte") else ROOT) / module.replace(".", "/")
        assert place.with_suffix(".py").is_file() or (place / "__main__.py").is_file(), module
