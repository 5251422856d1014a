"""Crystal graphs from structures: periodic neighbours, whole shells of them, and the angles between."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from pymatgen.core import Structure

from softlyte.datasets.columns import FIDELITIES
from softlyte.datasets.formulas import MAX_ATOMIC_NUMBER
from softlyte.featurize.crystal_batch import CrystalBatch, CrystalGraphs
from softlyte.featurize.crystals import ALTERNATIVES_ANGSTROM, Crystals, neighbour_pairs
from softlyte.featurize.elements import element_descriptors

SHELL_ANGSTROM = 0.01
"""Neighbours whose distances follow each other within this belong to one shell."""

_BLOCK = 512  # crystals whose neighbours are in memory at once
_OCCUPANCY_ROUNDING = 1e-3


@dataclass(frozen=True)
class CrystalFeaturizer:
    """Turn crystals into graphs; states its own dimensions.

    Each site receives an edge from all its neighbours within the cutoff, or only from the nearest ones. A
    shell of equally distant neighbours is never cut: it belongs to the graph if the sites before it are
    occupied by fewer than `neighbours` atoms. Counting atoms and not sites keeps the graph independent of
    how disorder is written down, and whole shells keep it independent of the order of the sites, of the
    choice of the cell and of numerical noise. Sites closer than 0.5 Å are alternatives of each other (one of
    them is empty when the other is not) and are not neighbours.

    Attributes:
        cutoff_angstrom: longest edge in Å.
        neighbours: atoms around a site to reach, whole shells; None for all within the cutoff.
        angle_neighbours: the same for the edges that form angles with one another; 0 for no angles.
        descriptor_dimension: element descriptors an element has (see featurize.elements).
        elements: rows of the element table, atomic number 0 included.
        fidelities: number of fidelities.
    """

    cutoff_angstrom: float = 6.0
    neighbours: int | None = 12
    angle_neighbours: int = 6
    descriptor_dimension: int = element_descriptors().dimension
    elements: int = MAX_ATOMIC_NUMBER + 1
    fidelities: int = len(FIDELITIES)

    def __post_init__(self) -> None:
        if not self.cutoff_angstrom > ALTERNATIVES_ANGSTROM:
            raise ValueError(
                f"cutoff_angstrom is {self.cutoff_angstrom}; give more than {ALTERNATIVES_ANGSTROM} Å"
            )
        if self.neighbours is not None and self.neighbours < 1:
            raise ValueError(f"neighbours is {self.neighbours}; give at least 1, or None for all")
        if self.angle_neighbours < 0:
            raise ValueError(f"angle_neighbours is {self.angle_neighbours}; give 0 for no angles, or more")

    def __call__(
        self, crystals: Crystals | Iterable[Structure], fidelity: NDArray[np.integer] | int = 0
    ) -> CrystalBatch:
        """Return N crystals as one batch; arguments and errors as for `pack`."""
        return self.pack(crystals, fidelity).everything()

    def pack(
        self, crystals: Crystals | Iterable[Structure], fidelity: NDArray[np.integer] | int = 0
    ) -> CrystalGraphs:
        """Return the graphs of N crystals, packed so that batches can be taken from them.

        Args:
            crystals: N crystals, or pymatgen structures.
            fidelity: [N] or one index into columns.FIDELITIES.

        Raises:
            CrystalError: a pymatgen structure cannot be used; the message names its number.
            ValueError: a fidelity is out of range.
        """
        if not isinstance(crystals, Crystals):
            crystals = Crystals.from_structures(crystals)
        codes = np.broadcast_to(np.asarray(fidelity, dtype=np.int64), (len(crystals),))
        if len(codes) and (codes.min() < 0 or codes.max() >= self.fidelities):
            raise ValueError(
                f"fidelity codes must lie in 0..{self.fidelities - 1}, got {codes.min()}..{codes.max()}"
            )
        starts = range(0, max(len(crystals), 1), _BLOCK)
        return CrystalGraphs.concatenate(
            [self._pack_block(crystals[i : i + _BLOCK], codes[i : i + _BLOCK]) for i in starts]
        )

    def _pack_block(self, crystals: Crystals, fidelity: NDArray[np.int64]) -> CrystalGraphs:
        pairs = _all_pairs(crystals, self.cutoff_angstrom)
        occupied = crystals.site_occupancy()
        pairs = pairs.take(np.lexsort((pairs.distance, pairs.target)))
        if self.neighbours is not None:
            pairs = pairs.take(np.flatnonzero(_nearer_shells(pairs, occupied, self.neighbours)))
        target, source = pairs.target, pairs.source
        sites = len(occupied)
        forming = target[_nearer_shells(pairs, occupied, self.angle_neighbours)]
        first = crystals.site_start[:-1][crystals.site_crystal()]
        return CrystalGraphs(
            element=torch.from_numpy(crystals.element.astype(np.uint8)),
            occupancy=torch.from_numpy(crystals.occupancy.astype(np.float32)),
            species_count=torch.from_numpy(np.diff(crystals.species_start).astype(np.int16)),
            site_count=torch.from_numpy(np.diff(crystals.site_start).astype(np.int32)),
            edge_count=torch.from_numpy(np.bincount(target, minlength=sites).astype(np.int16)),
            angle_edges=torch.from_numpy(np.bincount(forming, minlength=sites).astype(np.int16)),
            source=torch.from_numpy((source - first[source]).astype(np.int32)),
            displacement=torch.from_numpy(pairs.displacement.astype(np.float32)),
            volume=torch.from_numpy(crystals.volumes().astype(np.float32)),
            fidelity=torch.from_numpy(fidelity.astype(np.uint8)),
        )


class _Pairs(NamedTuple):
    """Neighbours of all sites: target and source [E] numbered over all crystals, Å."""

    target: NDArray[np.int64]
    source: NDArray[np.int64]
    displacement: NDArray[np.float64]
    distance: NDArray[np.float64]

    def take(self, rows: NDArray[np.int64]) -> _Pairs:
        return _Pairs(self.target[rows], self.source[rows], self.displacement[rows], self.distance[rows])


def _all_pairs(crystals: Crystals, radius: float) -> _Pairs:
    """Return every pair of sites within the radius, alternatives left out."""
    cartesian = crystals.cartesian()
    found = [_Pairs(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros((0, 3)), np.zeros(0))]
    for n, lattice in enumerate(crystals.lattice):
        first, end = crystals.site_start[n], crystals.site_start[n + 1]
        centre, neighbour, displacement, distance = neighbour_pairs(lattice, cartesian[first:end], radius)
        pairs = _Pairs(centre + first, neighbour + first, displacement, distance)
        found.append(pairs.take(np.flatnonzero(distance >= ALTERNATIVES_ANGSTROM)))
    return _Pairs(
        np.concatenate([pairs.target for pairs in found]),
        np.concatenate([pairs.source for pairs in found]),
        np.concatenate([pairs.displacement for pairs in found]),
        np.concatenate([pairs.distance for pairs in found]),
    )


def _nearer_shells(pairs: _Pairs, occupied: NDArray[np.float64], atoms: int) -> NDArray[np.bool_]:
    """Mark the edges of each site's shells up to the one that reaches a number of atoms, [E].

    Args:
        pairs: E edges, targets ascending, distances ascending within a target.
        occupied: [V] occupancy of each site.
        atoms: shells belong while fewer than this are nearer.
    """
    target, occupancy = pairs.target, occupied[pairs.source]
    if not len(target):
        return np.zeros(0, dtype=bool)
    first = np.concatenate([[True], target[1:] != target[:-1]])
    gap = np.concatenate([[True], np.diff(pairs.distance) > SHELL_ANGSTROM])
    before = np.cumsum(occupancy) - occupancy
    edge = np.arange(len(target))
    site_begin = np.maximum.accumulate(np.where(first, edge, 0))
    shell_begin = np.maximum.accumulate(np.where(first | gap, edge, 0))
    return np.asarray(before[shell_begin] - before[site_begin] < atoms - _OCCUPANCY_ROUNDING)
