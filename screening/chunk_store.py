"""Finished pieces of a run on disk: Parquet files that are there whole or not at all.

A piece is written under a temporary name, flushed to disk and renamed, and its pages carry checksums; so a
file with a final name is whole, however the process ended. What a run has finished it never computes again.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from softlyte.screening.export import OutputError, atomic_place, check_writable

CHUNK_FOLDER = "chunks"
"""Folder of the pieces within a run's folder."""

_NOTES = b"softlyte"


class ChunkStore:
    """Pieces of one run, by tier and number; the caller holds the run's lock.

    Args:
        folder: made if missing; what an interrupted write has left in it is removed.

    Raises:
        OutputError: the folder cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        check_writable(folder)
        for leftover in folder.glob(".*.tmp"):
            leftover.unlink(missing_ok=True)

    def __contains__(self, name: str) -> bool:
        return self._path(name).exists()

    def save(self, name: str, table: pa.Table, notes: Mapping[str, Any] | None = None) -> None:
        """Keep a piece; the notes (JSON types) travel in the file.

        Raises:
            OutputError: it cannot be written; the pieces kept before are unharmed.
        """
        noted = table.replace_schema_metadata(
            {**(table.schema.metadata or {}), _NOTES: json.dumps(notes or {}, sort_keys=True).encode()}
        )
        try:
            with atomic_place(self._path(name)) as temporary:
                pq.write_table(noted, temporary, compression="zstd", write_page_checksum=True)
        except OutputError as error:
            kept = len(list(self.folder.glob("*.parquet")))
            raise OutputError(
                f"{error}, then run the same command again: {kept} finished chunks are kept"
            ) from error

    def load(self, name: str) -> tuple[pa.Table, dict[str, Any]]:
        """Return a piece and its notes; raises OutputError if the file is damaged."""
        path = self._path(name)
        try:
            table = pq.read_table(path, page_checksum_verification=True)
        except (OSError, pa.ArrowException) as error:
            raise OutputError(
                f"{path} is damaged ({str(error).splitlines()[0]}); remove it and run the same command again"
            ) from error
        return table, json.loads((table.schema.metadata or {}).get(_NOTES, b"{}"))

    def files(self, tier: str) -> list[Path]:
        """Return the files of a tier's pieces, in their order."""
        return sorted(self.folder.glob(f"{tier}-*.parquet"))

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.parquet"


def chunk_name(tier: str, number: int) -> str:
    """Return the name of a tier's piece; names sort like numbers."""
    return f"{tier}-{number:06d}"


def remove_chunks(run_folder: Path) -> None:
    """Remove all pieces of a run; nothing happens where there are none."""
    shutil.rmtree(run_folder / CHUNK_FOLDER, ignore_errors=True)
