"""Crystals as arrays: any number of periodic structures without an object a site.

`Compositions` is the currency for formulas; `Crystals` is the one for structures. pymatgen reads and writes
them; everything between works on arrays.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import DummySpecies, Lattice, Structure
from pymatgen.optimization.neighbors import find_points_in_spheres
from scipy.constants import Avogadro

from softlyte.datasets.errors import UserError
from softlyte.datasets.formulas import MAX_ATOMIC_NUMBER, Compositions, atomic_masses, symbols

ALTERNATIVES_ANGSTROM = 0.5
"""Sites nearer than this are never occupied together (the shortest bond, in H2, has 0.74 Å)."""

OCCUPANCY_TOLERANCE = 0.02
"""Occupancies of one place may sum to 1 plus this: published thirds are rounded."""

_VOLUMES_ANGSTROM3 = (1.0, 1000.0)  # an atom has between these, from dense hydrides to rare gases and more
_FAR = 2.0  # fractional coordinates up to this are kept as they are written
_LONGEST_ANGSTROM = 1000.0  # of a lattice vector
_FLATTEST_ANGSTROM = 0.5  # between opposite faces of a cell
_EVERY_DIRECTION = np.ones(3, dtype=np.int64)


class CrystalError(UserError):
    """A structure that cannot be used; the message says why and what to do."""


@dataclass(frozen=True)
class Crystals:
    """N crystals as flat arrays; V sites and S species (an element on a site) over all of them.

    Attributes:
        lattice: [N, 3, 3] float64, Å; rows are the lattice vectors.
        site_start: [N + 1] int64; sites of crystal n are site_start[n]..site_start[n + 1].
        fractional: [V, 3] float64 fractional coordinates.
        species_start: [V + 1] int64; species of site v are species_start[v]..species_start[v + 1].
        element: [S] int64 atomic numbers.
        occupancy: [S] float64 in 0..1; what a site lacks to 1 is vacant.
    """

    lattice: NDArray[np.float64]
    site_start: NDArray[np.int64]
    fractional: NDArray[np.float64]
    species_start: NDArray[np.int64]
    element: NDArray[np.int64]
    occupancy: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.lattice)

    def __getitem__(self, rows: slice | NDArray[np.int64] | NDArray[np.bool_]) -> Crystals:
        """Return the chosen crystals (slice, index array or mask)."""
        chosen = np.arange(len(self))[rows]
        sites, site_start = _picked(self.site_start, chosen)
        species, species_start = _picked(self.species_start, sites)
        return Crystals(
            self.lattice[chosen],
            site_start,
            self.fractional[sites],
            species_start,
            self.element[species],
            self.occupancy[species],
        )

    @classmethod
    def from_structures(cls, structures: Iterable[Structure]) -> Crystals:
        """Build from pymatgen structures; raises CrystalError naming the first that cannot be used."""
        parts = []
        for number, structure in enumerate(structures):
            try:
                parts.append(cls.from_structure(structure))
            except CrystalError as error:
                raise CrystalError(f"structure {number + 1}: {error}") from None
        return cls.concatenate(parts)

    @classmethod
    def from_structure(cls, structure: Structure) -> Crystals:
        """Build from one pymatgen structure (oxidation states, spins and site properties are left out).

        Raises:
            CrystalError: it is not periodic in three directions, holds no atom, an unknown element, more
                than one atom in one place, or a cell of impossible size.
        """
        if not all(structure.lattice.pbc):
            raise CrystalError("it is not periodic in all three directions; give a bulk crystal")
        fractional, counts, element, occupancy = [], [], [], []
        for position, site in zip(structure.frac_coords, structure, strict=True):
            present = [(species, float(amount)) for species, amount in site.species.items() if amount > 0]
            if not present:  # a site that is listed and empty is no site
                continue
            for species, amount in present:
                if isinstance(species, DummySpecies) or not 1 <= species.Z <= MAX_ATOMIC_NUMBER:
                    raise CrystalError(f"{species} is no element up to lawrencium; replace or remove it")
                element.append(int(species.Z))
                occupancy.append(amount)
            # A coordinate many cells away means the one in its cell, and would make a search reach there.
            far = np.isfinite(position).all() and np.abs(position).max() > _FAR
            fractional.append(position - np.floor(position) if far else position)
            counts.append(len(present))
        if not fractional:
            raise CrystalError("it holds no atoms; give a structure with sites")
        crystal = cls(
            np.array(structure.lattice.matrix, dtype=np.float64)[None],
            np.array([0, len(fractional)], dtype=np.int64),
            np.array(fractional, dtype=np.float64),
            np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
            np.array(element, dtype=np.int64),
            np.array(occupancy, dtype=np.float64),
        )
        _require_possible(crystal)
        return crystal

    @classmethod
    def concatenate(cls, parts: Sequence[Crystals]) -> Crystals:
        """Join several Crystals into one."""
        if not parts:
            none = np.zeros(0, dtype=np.int64)
            start = np.zeros(1, dtype=np.int64)
            return cls(np.zeros((0, 3, 3)), start, np.zeros((0, 3)), start, none, np.zeros(0))
        return cls(
            np.concatenate([part.lattice for part in parts]),
            _joined_starts([part.site_start for part in parts]),
            np.concatenate([part.fractional for part in parts]),
            _joined_starts([part.species_start for part in parts]),
            np.concatenate([part.element for part in parts]),
            np.concatenate([part.occupancy for part in parts]),
        )

    def structures(self) -> list[Structure]:
        """Return pymatgen structures, for everything that is done to one crystal at a time."""
        names = symbols()
        made = []
        for n in range(len(self)):
            species = []
            for v in range(self.site_start[n], self.site_start[n + 1]):
                own = slice(self.species_start[v], self.species_start[v + 1])
                amounts: dict[str, float] = {}
                for z, amount in zip(self.element[own], self.occupancy[own], strict=True):
                    amounts[names[z]] = amounts.get(names[z], 0.0) + float(amount)
                species.append(amounts)
            sites = slice(self.site_start[n], self.site_start[n + 1])
            made.append(Structure(Lattice(self.lattice[n]), species, self.fractional[sites]))
        return made

    def site_crystal(self) -> NDArray[np.int64]:
        """Return the crystal of each site, [V]."""
        return np.repeat(np.arange(len(self)), np.diff(self.site_start))

    def species_site(self) -> NDArray[np.int64]:
        """Return the site of each species, [S]."""
        return np.repeat(np.arange(len(self.fractional)), np.diff(self.species_start))

    def site_occupancy(self) -> NDArray[np.float64]:
        """Return the occupied share of each site, [V]."""
        sums = np.bincount(self.species_site(), self.occupancy, minlength=len(self.fractional))
        return np.asarray(sums, dtype=np.float64)  # without species bincount counts in whole numbers

    def cartesian(self) -> NDArray[np.float64]:
        """Return the positions of the sites, [V, 3] in Å."""
        return np.einsum("vi,vij->vj", self.fractional, self.lattice[self.site_crystal()])

    def volumes(self) -> NDArray[np.float64]:
        """Return the volume of each cell, [N] in Å3."""
        return np.abs(np.linalg.det(self.lattice))

    def densities(self) -> NDArray[np.float64]:
        """Return the density of each crystal, [N] in g/cm3."""
        crystal = self.site_crystal()[self.species_site()]
        grams_per_mol = np.bincount(
            crystal, atomic_masses()[self.element] * self.occupancy, minlength=len(self)
        )
        return grams_per_mol / Avogadro / (self.volumes() * 1e-24)

    def compositions(self) -> Compositions:
        """Return what the cells hold, vacancies left out, as N compositions."""
        crystal = self.site_crystal()[self.species_site()]
        table = np.zeros((len(self), MAX_ATOMIC_NUMBER + 1))
        np.add.at(table, (crystal, self.element), self.occupancy)
        return Compositions.from_table(range(1, MAX_ATOMIC_NUMBER + 1), table[:, 1:])


def neighbour_pairs(
    lattice: NDArray[np.float64], cartesian: NDArray[np.float64], radius: float
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Return all pairs of sites of one crystal within a radius, periodic images included.

    pymatgen's compiled cell lists, as arrays; a site and its own images are pairs too, a site and itself is
    not.

    Args:
        lattice: [3, 3] in Å.
        cartesian: [v, 3] in Å.
        radius: in Å.

    Returns:
        centre [p], neighbour [p], displacement [p, 3] from centre to neighbour and distance [p], in Å.
    """
    lattice, cartesian = np.ascontiguousarray(lattice), np.ascontiguousarray(cartesian)
    centre, neighbour, image, distance = find_points_in_spheres(
        cartesian, cartesian, r=radius, pbc=_EVERY_DIRECTION, lattice=lattice, tol=1e-8
    )
    displacement = cartesian[neighbour] + image @ lattice - cartesian[centre]
    itself = (centre == neighbour) & (image == 0).all(axis=1)
    return centre[~itself], neighbour[~itself], displacement[~itself], distance[~itself]


def _require_possible(crystal: Crystals) -> None:
    """Raise CrystalError for one crystal that cannot exist as written."""
    if not (np.isfinite(crystal.lattice).all() and np.isfinite(crystal.fractional).all()):
        raise CrystalError("a lattice vector or coordinate is not a finite number; correct the file")
    occupied = crystal.site_occupancy()
    atoms, volume = float(occupied.sum()), float(crystal.volumes()[0])
    low, high = _VOLUMES_ANGSTROM3
    if not low <= volume / atoms <= high:
        raise CrystalError(
            f"its cell gives each atom {volume / atoms:.3g} Å3, outside {low:g} to {high:g}; check the units "
            "of the lattice and that it is a bulk crystal"
        )
    lengths = np.linalg.norm(crystal.lattice[0], axis=1)
    # Between opposite faces lie the inverse lengths of the reciprocal vectors.
    heights = 1.0 / np.linalg.norm(np.linalg.inv(crystal.lattice[0]), axis=0)
    if lengths.max() > _LONGEST_ANGSTROM or heights.min() < _FLATTEST_ANGSTROM:
        raise CrystalError(
            f"its cell is {lengths.max():.3g} Å long and {heights.min():.3g} Å thin; give a reduced cell"
        )
    over = np.flatnonzero(occupied > 1.0 + OCCUPANCY_TOLERANCE)
    if len(over):
        raise CrystalError(
            f"the occupancies of site {over[0] + 1} sum to {occupied[over[0]]:.3g}; make that 1 or less"
        )
    one, other, _, distance = neighbour_pairs(
        crystal.lattice[0], crystal.cartesian(), ALTERNATIVES_ANGSTROM - 1e-6
    )
    # Sites may share a place as long as they are never there together.
    crowded = np.flatnonzero(occupied[one] + occupied[other] > 1.0 + OCCUPANCY_TOLERANCE)
    if len(crowded):
        pair = crowded[np.argmin(distance[crowded])]
        raise CrystalError(
            f"sites {one[pair] + 1} and {other[pair] + 1} lie {distance[pair]:.3g} Å apart; "
            "remove one or lower their occupancies"
        )


def _picked(
    start: NDArray[np.int64], chosen: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the members of the chosen groups, one group after the other, and where each group starts."""
    count = start[chosen + 1] - start[chosen]
    ends = np.cumsum(count)
    members = np.repeat(start[chosen] - (ends - count), count) + np.arange(int(count.sum()))
    return members, np.concatenate([[0], ends]).astype(np.int64)


def _joined_starts(starts: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Return the starts of groups that follow one another."""
    counts = np.concatenate([np.diff(start) for start in starts])
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
