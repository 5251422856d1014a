"""Formation energies of many phases, and the hull of any chemical system between them, built once."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from softlyte.datasets.formulas import Compositions, symbols
from softlyte.featurize.chemical_systems import element_masks
from softlyte.featurize.convex_hull import SystemHull, system_hull
from softlyte.featurize.hull_cache import HullCache

Array = NDArray[np.float64]
Rows = NDArray[np.int64]

MAX_ELEMENTS = 16
"""Elements of one composition up to which a hull is built; no known solid has more."""

_CACHED_SYSTEMS = 20_000  # chemical systems kept in memory, some 30 kB each


@dataclass(frozen=True)
class ChemicalSystem:
    """One chemical system.

    Attributes:
        numbers: its k atomic numbers, ascending.
        rows: [Q] its competing entries, rows of the collection; elements are implied.
        hull: over those entries, in the order of `rows`, then the elements.
    """

    numbers: tuple[int, ...]
    rows: Rows
    hull: SystemHull


class HullSystems:
    """A collection of phases and the hulls of its chemical systems.

    A hull is built at its first use, kept in memory and, if there is a cache, on disk.

    Args:
        compositions: [Q] phases.
        energies: [Q] formation energies, eV/atom. Of several entries of one reduced composition the
            lowest counts.
        name: what messages call the collection.
        cache: where hulls of this collection lie on disk; None keeps them in memory alone.

    Raises:
        ValueError: an energy is not finite (the message names the formula) or the lengths differ.
    """

    def __init__(
        self, compositions: Compositions, energies: Array, name: str, cache: HullCache | None = None
    ) -> None:
        energies = np.asarray(energies, dtype=np.float64)
        if energies.shape != (len(compositions),):
            raise ValueError(
                f"{len(compositions)} compositions need as many energies, not shape {energies.shape}"
            )
        bad = np.flatnonzero(~np.isfinite(energies))
        if len(bad):
            formula = compositions[bad[:1]].formulas()[0]
            raise ValueError(f"the energy of {formula} (entry {bad[0]}) is not finite; leave the entry out")
        order = np.argsort(energies, kind="stable")
        _, first = np.unique(compositions.keys()[order], return_index=True)
        rows = np.sort(order[first])
        self.name = name
        self.cache = cache
        self.compositions = compositions[rows]
        self.energies = energies[rows]
        self._row_of = {key.tobytes(): row for row, key in enumerate(self.compositions.keys())}
        z = self.compositions.atomic_numbers
        compound = (z > 0).sum(axis=1) > 1
        self._covered = np.zeros(256, dtype=bool)
        self._covered[np.unique(z[compound])] = True
        # Only a phase below the elements can be on a hull.
        self._competing = np.flatnonzero(compound & (self.energies < 0))
        self._masks = element_masks(z[self._competing])
        self._fractions = self.compositions.fractions()
        self._systems: OrderedDict[tuple[int, ...], ChemicalSystem] = OrderedDict()
        self._formulas: dict[int, str] = {}

    def __len__(self) -> int:
        """Return the number of phases, one for each reduced composition."""
        return len(self.energies)

    def formula(self, row: int) -> str:
        """Return the reduced formula of an entry."""
        if row not in self._formulas:
            self._formulas[row] = self.compositions[np.array([row])].formulas()[0]
        return self._formulas[row]

    def lookup(self, compositions: Compositions) -> Rows:
        """Return the entry of the same reduced composition, [N], -1 where there is none."""
        found = np.full(len(compositions), -1, dtype=np.int64)
        fits = np.flatnonzero((compositions.atomic_numbers > 0).sum(axis=1) <= MAX_ELEMENTS)
        chosen = compositions[fits]
        narrow = Compositions(chosen.atomic_numbers[:, :MAX_ELEMENTS], chosen.amounts[:, :MAX_ELEMENTS])
        keys = narrow.keys()
        found[fits] = np.fromiter((self._row_of.get(k.tobytes(), -1) for k in keys), np.int64, len(keys))
        return found

    def refusals(self, compositions: Compositions) -> NDArray[np.object_]:
        """Return why each row cannot be placed on a hull, [N] str, empty where it can."""
        z = compositions.atomic_numbers
        reason = np.full(len(z), "", dtype=object)
        for row in np.flatnonzero(((z > 0) & ~self._covered[z]).any(axis=1)):
            missing = ", ".join(symbols()[i] for i in z[row] if i and not self._covered[i])
            reason[row] = f"no compound of {missing} in {self.name}"
        count = (z > 0).sum(axis=1)
        for row in np.flatnonzero(count > MAX_ELEMENTS):
            reason[row] = f"{count[row]} elements, more than the {MAX_ELEMENTS} that a hull is built for"
        amounts = compositions.amounts.sum(axis=1)
        reason[~(np.isfinite(amounts) & (amounts > 0))] = "no atoms"
        return reason

    def system(self, numbers: tuple[int, ...]) -> ChemicalSystem:
        """Return one chemical system (atomic numbers ascending), built at its first use."""
        found = self._systems.get(numbers)
        if found is not None:
            self._systems.move_to_end(numbers)
            return found
        stored = None if self.cache is None else self.cache.get(numbers)
        if stored is not None:
            rows, hull = stored
            found = ChemicalSystem(
                numbers, rows, hull.restore(self.fractions(numbers, rows), self.energies[rows])
            )
        else:
            found = self._build(numbers, self._members(numbers))
            if self.cache is not None:
                self.cache.put(numbers, found.rows, found.hull)
        self._systems[numbers] = found
        if len(self._systems) > _CACHED_SYSTEMS:
            self._systems.popitem(last=False)
        return found

    def without(self, system: ChemicalSystem, row: int) -> ChemicalSystem:
        """Return the system without one entry; not kept."""
        kept = system.rows[system.rows != row]
        return system if len(kept) == len(system.rows) else self._build(system.numbers, kept)

    def subsystems_only(self, numbers: tuple[int, ...]) -> ChemicalSystem:
        """Return the system without the phases that hold all of its elements; not kept.

        What is known of a chemical system before anyone has made a phase of it.
        """
        rows = self._members(numbers)
        count = (self.compositions.atomic_numbers[rows] > 0).sum(axis=1)
        return self._build(numbers, rows[count < len(numbers)])

    def _members(self, numbers: tuple[int, ...]) -> Rows:
        mask = element_masks(np.array([numbers], dtype=np.uint8))[0]
        return self._competing[((self._masks & ~mask) == 0).all(axis=1)]

    def fractions(self, numbers: tuple[int, ...], rows: Rows) -> Array:
        """Return atomic fractions of the rows in the order of the system's elements, [Q, k]."""
        z = self.compositions.atomic_numbers[rows]
        # One column an element of the system; padding (0) goes to a spare first column.
        column = np.zeros(256, dtype=np.int64)
        column[list(numbers)] = np.arange(1, len(numbers) + 1)
        wide = np.zeros((len(rows), len(numbers) + 1))
        np.put_along_axis(wide, column[z], self._fractions[rows], axis=1)
        return wide[:, 1:]

    def _build(self, numbers: tuple[int, ...], rows: Rows) -> ChemicalSystem:
        return ChemicalSystem(numbers, rows, system_hull(self.fractions(numbers, rows), self.energies[rows]))


def entries_checksum(compositions: Compositions, energies: Array) -> str:
    """Return a sha256 over phases and energies in their order (stored hulls refer to entries by place)."""
    digest = hashlib.sha256(compositions.keys().tobytes())
    digest.update(np.ascontiguousarray(energies, dtype=np.float64).tobytes())
    return digest.hexdigest()
