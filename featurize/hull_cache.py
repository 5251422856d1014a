"""Hulls of chemical systems on disk, so that a second run does not build them again.

Several processes may read and write one cache at once: each writes files of its own (a temporary name, then
a rename), nobody changes a file that is there, and a file that cannot be read is a file that is not there. No
locks are taken, so shared file systems of clusters are fine.
"""

from __future__ import annotations

import os
import uuid
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from softlyte.datasets.writing import write_bytes
from softlyte.featurize.convex_hull import FacetHull, SystemHull

Array = NDArray[np.float64]
Rows = NDArray[np.int64]

CACHE_VARIABLE = "SOFTLYTE_CACHE_DIR"
"""Environment variable that names the cache's folder; set to nothing, it turns the cache off."""

FORMAT = "1"
"""Changes whenever a hull is built or stored differently; older files are then left alone."""

_FLUSH_BYTES = 64_000_000  # hulls in memory that wait to be written
_MAX_FILES = 24  # more small files than this are joined into one
_SMALL_BYTES = 16_000_000
_BUDGET_BYTES = 2_000_000_000  # a cache that has grown to this is read, no longer written


def cache_folder() -> Path | None:
    """Return the folder of all caches, None if the user turned it off.

    $SOFTLYTE_CACHE_DIR, else $XDG_CACHE_HOME/softlyte, else ~/.cache/softlyte.
    """
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen is not None:
        return Path(chosen) if chosen.strip() else None
    base = os.environ.get("XDG_CACHE_HOME")
    try:
        return (Path(base) if base else Path.home() / ".cache") / "softlyte"
    except RuntimeError:  # no home folder
        return None


@dataclass(frozen=True)
class StoredHull:
    """A hull as arrays; see `FacetHull` for their meaning."""

    potentials: Array
    members: Rows

    def restore(self, fractions: Array, energies: Array) -> SystemHull:
        """Return the hull over entries of these fractions [Q, k] and energies [Q]."""
        return FacetHull.from_facets(fractions, energies, self.potentials, self.members)


class HullCache:
    """The hulls of one collection of phases on disk.

    Args:
        checksum: of the collection; another collection never reads these hulls.
        folder: of all caches; None for `cache_folder()`.

    Attributes:
        folder: where this collection's files lie, None if the cache is off.
    """

    def __init__(self, checksum: str, folder: Path | None = None) -> None:
        base = cache_folder() if folder is None else folder
        self.folder = None if base is None else base / "hulls" / f"{FORMAT}-{checksum}"
        self._where: dict[str, Path] = {}
        self._new: dict[str, dict[str, NDArray]] = {}
        self._waiting = 0
        self._bytes = 0
        self._files: list[tuple[Path, int]] = []
        if self.folder is not None:
            for path in sorted(self.folder.glob("*.safetensors")):
                self._index(path)

    def __len__(self) -> int:
        """Return the number of chemical systems that are stored or wait to be."""
        return len(self._where.keys() | self._new.keys())

    def get(self, numbers: tuple[int, ...]) -> tuple[Rows, StoredHull] | None:
        """Return the competing entries and the hull of a system, None if it is not stored."""
        name = _name(numbers)
        arrays = self._new.get(name)
        if arrays is None and name in self._where:
            arrays = _read(self._where[name], name)
        if arrays is None:
            return None
        rows, members = arrays["rows"].astype(np.int64), arrays["members"].astype(np.int64)
        return rows, StoredHull(arrays["potentials"], members)

    def put(self, numbers: tuple[int, ...], rows: Rows, hull: SystemHull) -> None:
        """Remember a hull that was built; it is on disk after `flush`."""
        # Systems of many elements have no list of facets, and their programmes need no preparation.
        if self.folder is None or not isinstance(hull, FacetHull) or self._bytes > _BUDGET_BYTES:
            return
        arrays: dict[str, NDArray] = {
            "rows": rows.astype(np.int32),
            "potentials": hull.potentials,
            "members": hull.members.astype(np.int32),
        }
        self._new[_name(numbers)] = arrays
        self._waiting += sum(array.nbytes for array in arrays.values())
        if self._waiting > _FLUSH_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write what waits; a folder that cannot be written leaves the hulls in memory, without complaint."""
        if not self._new or self.folder is None:
            return
        joined = dict(self._new)
        small = [path for path, size in self._files if size < _SMALL_BYTES]
        joining = small if len(small) >= _MAX_FILES else []
        for path in joining:
            for name in [name for name, place in self._where.items() if place == path]:
                arrays = _read(path, name)
                if arrays is not None:
                    joined.setdefault(name, arrays)
        content = {
            f"{system}/{part}": np.ascontiguousarray(array)
            for system, arrays in joined.items()
            for part, array in arrays.items()
        }
        path = self.folder / f"{uuid.uuid4().hex}.safetensors"
        try:
            write_bytes(path, save(content))
        except OSError:
            return
        self._new, self._waiting = {}, 0
        self._index(path)
        for old in joining:
            old.unlink(missing_ok=True)
        self._files = [(place, size) for place, size in self._files if place not in joining]

    def _index(self, path: Path) -> None:
        try:
            size = path.stat().st_size
            with safe_open(path, framework="numpy") as file:
                names = {key.split("/")[0] for key in file.keys()}  # noqa: SIM118 - not a mapping
        except (OSError, SafetensorError):
            return
        self._where |= dict.fromkeys(names, path)
        self._files.append((path, size))
        self._bytes += size


def _name(numbers: tuple[int, ...]) -> str:
    return "-".join(str(number) for number in numbers)


def _read(path: Path, name: str) -> dict[str, NDArray] | None:
    """Return the arrays of one system, None if the file went away or is damaged."""
    try:
        with safe_open(path, framework="numpy") as file:
            return {part: file.get_tensor(f"{name}/{part}") for part in ("rows", "potentials", "members")}
    except (OSError, SafetensorError):
        return None
