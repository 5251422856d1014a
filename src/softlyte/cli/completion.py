"""What the shell offers after a verb: names of tables and spaces, found without loading any of them."""

from __future__ import annotations

from pathlib import Path

import softlyte

_PACKAGE = Path(softlyte.__file__).parent


def complete_table(incomplete: str) -> list[str]:
    """Return the tables whose names begin so."""
    return _stems("datasets/tables", "*.yaml", incomplete)


def complete_space(incomplete: str) -> list[str]:
    """Return the shipped spaces whose names begin so."""
    return _stems("screening/spaces", "*.toml", incomplete)


def _stems(folder: str, pattern: str, incomplete: str) -> list[str]:
    return sorted(p.stem for p in (_PACKAGE / folder).glob(pattern) if p.stem.startswith(incomplete))
