"""Parents of substitution: known crystals, ordered, with oxidation states, and the sites that go together."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from pymatgen.core import Species, Structure
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

from softlyte.datasets.tables import load_table
from softlyte.featurize.crystal_files import CrystalFailure, read_crystal_files
from softlyte.screening.crystals.ordering import (
    SYMMETRY_PRECISION_A,
    OrderingError,
    charge_of,
    ordered,
    thinned,
)

MOST_SITES = 40
"""Sites in the primitive cell of a parent."""
ANIONS = frozenset({"O", "S", "Se", "F", "Cl", "Br", "I"})
MOBILE_CHARGE = 1.0
BOND_LIMIT_A, BOND_SPREAD = 4.5, 1.25
"""A cation is bonded to anions within this distance, and this many times that of its nearest anion."""
_THINNED_FRAMEWORK = {4: "Zr", 5: "Ta"}
"""What stands for a framework cation of higher charge while mobile ions are taken out for it."""


@dataclass(frozen=True)
class Parent:
    """A crystal to substitute in.

    Attributes:
        name: unique.
        source: where the structure comes from, with its licence.
        structure: ordered primitive cell with oxidation states.
        orbits: indices of symmetry-equivalent sites.
        bonds: (cation, anion, share) of the bonds; the shares of one cation sum to 1.
    """

    name: str
    source: str
    structure: Structure
    orbits: tuple[tuple[int, ...], ...]
    bonds: tuple[tuple[int, int, float], ...]

    @classmethod
    def of(cls, name: str, source: str, structure: Structure) -> Parent:
        """Make a parent of an ordered cell with oxidation states."""
        plain = structure.copy()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            symmetrised = SpacegroupAnalyzer(plain, SYMMETRY_PRECISION_A).get_symmetrized_structure()
        orbits = tuple(tuple(int(i) for i in orbit) for orbit in symmetrised.equivalent_indices)
        return cls(name, source, structure, orbits, tuple(_find_bonds(structure)))

    def species_of(self, orbit: Sequence[int]) -> Species:
        """Return the species on an orbit."""
        return self.structure[orbit[0]].specie  # type: ignore[return-value]


@dataclass(frozen=True)
class Parents:
    """Parents, and why other structures could not be used.

    Attributes:
        parents: usable ones.
        failures: the others.
    """

    parents: tuple[Parent, ...]
    failures: tuple[CrystalFailure, ...]


@lru_cache(maxsize=1)
def shipped_parents() -> Parents:
    """Return the parents that come with the package: OBELiX's halides and pymatgen's AFLOW prototypes.

    Of each parent with mobile ions and trivalent or divalent framework cations there are also cells with
    fewer mobile ions, for framework cations of charge 4 and 5.
    """
    table = load_table("crystal_parents")
    named = [
        (f"obelix-{row.id}", "OBELiX 1.2.0 (CC BY 4.0)", _from_cif(str(row.cif)))
        for row in table.itertuples(index=False)
    ]
    return _parents([*named, *_prototypes()])


def parents_from_files(paths: Iterable[Path | str]) -> Parents:
    """Return parents from the user's CIF, POSCAR or pymatgen JSON files; what cannot be used is listed."""
    reading = read_crystal_files(paths)
    named = [
        (Path(name).name, name, structure)
        for name, structure in zip(reading.names, reading.crystals.structures(), strict=True)
    ]
    found = _parents(named)
    return Parents(found.parents, (*reading.failures, *found.failures))


def _from_cif(text: str) -> Structure:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Structure.from_str(text, fmt="cif")


def _prototypes() -> list[tuple[str, str, Structure]]:
    """Return the AFLOW prototypes that hold anions and other elements."""
    from pymatgen.analysis.prototypes import AFLOW_PROTOTYPE_LIBRARY

    found = []
    for entry in AFLOW_PROTOTYPE_LIBRARY:
        structure = entry["snl"].structure
        elements = {element.symbol for element in structure.composition.elements}
        anions = elements & ANIONS
        if anions and elements - anions and structure.is_ordered and len(structure) <= MOST_SITES:
            name = f"aflow-{entry['tags']['aflow']}-{structure.composition.reduced_formula}"
            found.append((name, "AFLOW prototype in pymatgen (MIT)", structure))
    return found


def _parents(named: Sequence[tuple[str, str, Structure]]) -> Parents:
    parents: list[Parent] = []
    failures: list[CrystalFailure] = []
    for position, (name, source, structure) in enumerate(named):
        try:
            cell = ordered(structure)
            if len(cell) > MOST_SITES:
                raise OrderingError(f"its primitive cell has {len(cell)} sites, more than {MOST_SITES}")
            _require_ionic(cell)
        except (OrderingError, ValueError) as error:
            failures.append(CrystalFailure(position, name, " ".join(str(error).split())[:200]))
            continue
        parents.append(Parent.of(name, source, cell))
        parents += _with_vacancies(parents[-1])
    return Parents(tuple(parents), tuple(failures))


def _require_ionic(cell: Structure) -> None:
    """Raise OrderingError if an anion carries a positive charge or a cation a negative one."""
    for species in cell.composition:
        if (species.symbol in ANIONS) != (charge_of(species) < 0):
            raise OrderingError(f"{species} is not what it would be in a salt")


def _with_vacancies(parent: Parent) -> list[Parent]:
    """Return a parent's cells with mobile ions taken out for framework cations of charge 4 and 5."""
    cell = parent.structure
    mobile = [s for s in cell.composition if charge_of(s) == MOBILE_CHARGE and s.symbol in ("Li", "Na")]
    framework = [s for s in cell.composition if charge_of(s) > MOBILE_CHARGE]
    if len(mobile) != 1 or len(framework) != 1:
        return []
    ions, cations = (round(cell.composition[s]) for s in (mobile[0], framework[0]))
    found = []
    for charge, stand_in in _THINNED_FRAMEWORK.items():
        keep = ions - round((charge - charge_of(framework[0])) * cations)
        if charge <= charge_of(framework[0]) or keep < 1:
            continue
        charged = cell.copy()
        charged.replace_species({framework[0]: Species(stand_in, charge)})
        found.append(
            Parent.of(f"{parent.name}-v{charge}", parent.source, thinned(charged, str(mobile[0]), keep))
        )
    return found


def _find_bonds(structure: Structure) -> Iterator[tuple[int, int, float]]:
    """Yield (cation, anion, share) of the bonds of a parent; the shares of one cation sum to 1."""
    for index, site in enumerate(structure):
        if charge_of(site.specie) < 0:
            continue
        near = [n for n in structure.get_neighbors(site, BOND_LIMIT_A) if charge_of(n.specie) < 0]
        if not near:
            continue
        closest = min(n.nn_distance for n in near)
        bonded = [n for n in near if n.nn_distance < BOND_SPREAD * closest]
        for neighbour in bonded:
            yield index, neighbour.index, 1.0 / len(bonded)
