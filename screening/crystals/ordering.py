"""Ordered cells of disordered crystals, and of crystals with some mobile ions taken out."""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Mapping

import numpy as np
from pymatgen.core import Composition, DummySpecies, Element, Species, Structure
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer
from pymatgen.transformations.standard_transformations import (
    OrderDisorderedStructureTransformation,
    PartialRemoveSpecieTransformation,
)

from softlyte.datasets.errors import UserError

SYMMETRY_PRECISION_A = 0.05
"""Tolerance for symmetry; published coordinates carry three decimals."""
MOST_ORBIT_SITES = 16
"""Partly occupied orbits of more sites have too many arrangements to compare."""


class OrderingError(UserError):
    """A crystal that cannot be brought into an ordered, neutral cell."""


def oxidation_states(composition: Composition) -> dict[str, float]:
    """Return the likeliest neutral oxidation states of the elements, whole numbers.

    pymatgen's guess over its ICSD statistics. Raises OrderingError if there is none.
    """
    whole = composition.reduced_composition
    guesses = whole.oxi_state_guesses(max_sites=-1) or whole.oxi_state_guesses(
        all_oxi_states=True, max_sites=-1
    )
    for guess in guesses:
        if all(abs(charge - round(charge)) < 1e-6 and charge for charge in guess.values()):
            return dict(guess)
    raise OrderingError(
        f"{composition.reduced_formula} has no neutral oxidation states; correct the composition"
    )


def charge_of(species: Element | Species | DummySpecies) -> float:
    """Return the oxidation state of a species, 0 if it has none."""
    return float(getattr(species, "oxi_state", None) or 0.0)


def ordered(structure: Structure) -> Structure:
    """Return an ordered primitive cell with oxidation states.

    The occupancies of each orbit are rounded to whole atoms so that the cell's composition is the nearest
    whole one; among the arrangements that of low electrostatic (Ewald) energy is taken.

    Args:
        structure: ordered or with partial occupancies; vacancies too.

    Raises:
        OrderingError: no neutral states, or too many arrangements.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cell = structure.copy()
        cell.remove_oxidation_states()
        cell = cell.get_primitive_structure(tolerance=0.1)
        if not cell.is_ordered:
            cell = _whole_atoms(cell)
        states = oxidation_states(cell.composition)
        cell.add_oxidation_state_by_element(states)
        if not cell.is_ordered:
            found = OrderDisorderedStructureTransformation().apply_transformation(cell)
            cell = Structure.from_sites(list(found))  # type: ignore[arg-type]
    return cell


def _whole_atoms(cell: Structure) -> Structure:
    """Return the cell with occupancies that give whole atoms on each orbit, in total the nearest ones."""
    orbits = [
        list(o)
        for o in SpacegroupAnalyzer(cell, SYMMETRY_PRECISION_A).get_symmetrized_structure().equivalent_indices
    ]
    amounts: dict[tuple[int, str], float] = {}
    for number, orbit in enumerate(orbits):
        if not cell[orbit[0]].is_ordered and len(orbit) > MOST_ORBIT_SITES:
            raise OrderingError(
                f"{cell.composition.reduced_formula} has {len(orbit)} equivalent partly occupied sites, more "
                f"than {MOST_ORBIT_SITES}; give an ordered cell"
            )
        for element, share in cell[orbit[0]].species.get_el_amt_dict().items():
            amounts[number, element] = share * len(orbit)
    whole = _rounded(amounts)
    result = cell.copy()
    gone: list[int] = []
    for number, orbit in enumerate(orbits):
        species = {e: n / len(orbit) for (o, e), n in whole.items() if o == number and n > 0}
        if sum(species.values()) > 1.0 + 1e-9:
            raise OrderingError(
                f"{cell.composition.reduced_formula} has overfull sites when rounded; order it by hand"
            )
        if not species:
            gone += orbit
            continue
        for index in orbit:
            result[index] = Composition(species)  # type: ignore[assignment]
    result.remove_sites(gone)
    return result


def _rounded(amounts: Mapping[tuple[int, str], float]) -> dict[tuple[int, str], int]:
    """Return whole amounts whose sum for each element is the nearest whole one (largest remainders go up)."""
    by_element: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for key in amounts:
        by_element[key[1]].append(key)
    whole: dict[tuple[int, str], int] = {}
    for keys in by_element.values():
        exact = np.array([amounts[key] for key in keys])
        down = np.floor(exact + 1e-6).astype(int)
        missing = round(float(exact.sum())) - int(down.sum())
        for place in np.argsort(-(exact - down), kind="stable")[: max(missing, 0)]:
            down[place] += 1
        whole |= dict(zip(keys, map(int, down), strict=True))
    return whole


def thinned(structure: Structure, species: str, keep: int) -> Structure:
    """Return an ordered, charged or neutral, cell with only `keep` ions of a species left.

    Those whose removal leaves the lowest electrostatic energy go, one after another.

    Args:
        structure: with oxidation states.
        species: such as "Li+".
        keep: at least 1.
    """
    total = round(structure.composition[species])
    if not 1 <= keep < total:
        raise OrderingError(f"{keep} of {total} {species} cannot be kept; give a number between")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return PartialRemoveSpecieTransformation(species, 1.0 - keep / total).apply_transformation(structure)
