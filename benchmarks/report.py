"""Write measured sections into RESULTS.md between markers, so that text around them is kept."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

RESULTS_FILE = Path(__file__).parent / "RESULTS.md"


def markdown_table(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def write_section(name: str, text: str, path: Path = RESULTS_FILE) -> None:
    """Replace what stands between `<!-- name -->` and `<!-- /name -->`.

    Raises:
        ValueError: the markers are not in the file.
    """
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    old = path.read_text(encoding="utf-8")
    if begin not in old or end not in old:
        raise ValueError(f"{path} has no section {begin} ... {end}; add the two markers")
    before, rest = old.split(begin, 1)
    after = rest.split(end, 1)[1]
    path.write_text(f"{before}{begin}\n{text}\n{end}{after}", encoding="utf-8")
