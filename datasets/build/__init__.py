"""Rebuild each vendored table from its published artifact.

`build_table(name, out_dir)` downloads the artifact that the table's card names (through pip, checksum
verified before anything is opened), makes the rows again and writes them. The content is the shipped
table's, byte for byte; `content_checksum` of both proves it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path

from softlyte.datasets.build.artifacts import Reader, fetch, open_artifact
from softlyte.datasets.cards import TableCard
from softlyte.datasets.tables import TableError, load_card, table_path
from softlyte.datasets.writing import BuiltTable, write_table

BUILDERS: Mapping[str, str] = {
    "conductivity_obelix": "obelix",
    "crystal_parents": "obelix_crystals",
    "crystal_volume": "crabnet",
    "crystal_volume_other": "crabnet",
    "decomposition_energy": "crabnet",
    "elastic_moduli": "crabnet",
    "exchange_rates": "currencies",
    "formation_energy": "crabnet",
    "glass_liquidus": "liquidus",
    "glass_properties": "glasspy",
}
"""Table name -> module of this package with a function of the table's name: Reader -> BuiltTable."""


def default_cache_dir() -> Path:
    """Return where downloaded artifacts are kept: $XDG_CACHE_HOME/softlyte or ~/.cache/softlyte."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "softlyte" / "artifacts"


def build_rows(card: TableCard, reader: Reader) -> BuiltTable:
    """Return the rows of an artifact's table, read through reader."""
    module = import_module(f"softlyte.datasets.build.{BUILDERS[card.name]}")
    builder: Callable[[Reader], BuiltTable] = getattr(module, card.name)
    return builder(reader)


def build_table(name: str, out_dir: Path, cache_dir: Path | None = None) -> Path:
    """Rebuild one table into out_dir and return the written file.

    Args:
        name: a table with origin 'artifact'.
        out_dir: folder for the table, made if missing.
        cache_dir: folder for downloaded artifacts (default: default_cache_dir()); a file that is there
            with the right checksum is used again.

    Raises TableError for a curated or computed table (saying what its source is), and ArtifactError if the
    artifact cannot be downloaded or has the wrong checksum.
    """
    card = load_card(name)
    if card.origin == "curated":
        raise TableError(
            f"the table {name!r} is curated: its rows were collected by hand, each with its source, and the "
            f"CSV itself is the source; there is nothing to rebuild it from. `softlyte data show {name}` "
            "lists the sources, `softlyte data check` verifies it"
        )
    if card.artifact is None or name not in BUILDERS:
        raise TableError(f"the table {name!r} is computed, not taken from an artifact: {card.how_built}")
    out_dir = Path(out_dir)
    try:
        out_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TableError(f"the folder {out_dir} cannot be made ({error.strerror}); name another") from error
    archive = fetch(card.artifact, default_cache_dir() if cache_dir is None else Path(cache_dir))
    with open_artifact(archive, card.artifact) as reader:
        built = build_rows(card, reader)
    try:
        return write_table(built, out_dir / table_path(name).name)
    except OSError as error:
        raise TableError(f"cannot write into {out_dir} ({error.strerror}); name another folder") from error
