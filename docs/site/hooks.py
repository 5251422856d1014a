"""What the site shows beyond docs/: results, changes, cards and notebooks, made when it is built.

Documents link to each other by their places in the repository, so that links work on a code host. Here each
link is led to the place of its target on the site.
"""

from __future__ import annotations

import posixpath
import re
import sys
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(Path(__file__).parent))

import pages  # noqa: E402 - beside this file, which mkdocs loads by its path

FROM_REPOSITORY = ("benchmarks/RESULTS.md", "CHANGELOG.md", "CONTRIBUTING.md")
"""Documents outside docs/ that have a page, under the same path."""

_LINK = re.compile(r"(\]\()([^)\s#]+)(#[^)\s]*)?(\))")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made, and the examples that pages link to."""
    made = {path: (ROOT / path).read_text(encoding="utf-8") for path in FROM_REPOSITORY}
    made |= pages.table_cards() | pages.model_card() | pages.notebooks()
    for path, content in made.items():
        files.append(File.generated(config, path, content=content))
    for path in sorted((ROOT / "examples").iterdir()):
        if path.is_file():
            files.append(File.generated(config, f"examples/{path.name}", abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lead links between documents of the repository to their pages."""
    here = page.file.src_uri
    if here not in FROM_REPOSITORY and not here.startswith(("notebooks/", "cards/")):
        here = f"docs/{here}"

    def moved(match: re.Match[str]) -> str:
        start, target, anchor, end = match.group(1), match.group(2), match.group(3) or "", match.group(4)
        if re.match(r"[a-z]+:|/", target):
            return match.group(0)
        place = posixpath.normpath(posixpath.join(posixpath.dirname(here), target))
        page_of = place.removeprefix("docs/").replace(".ipynb", ".md")
        if files.get_file_from_path(page_of) is None:
            return match.group(0)  # mkdocs says what is wrong with it
        own = page.file.src_uri
        return f"{start}{posixpath.relpath(page_of, posixpath.dirname(own) or '.')}{anchor}{end}"

    return _LINK.sub(moved, markdown)
