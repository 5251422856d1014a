"""Balanced reactions: what a phase turns into, with coefficients that conserve every element."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Composition

from softlyte.datasets.formulas import Compositions, symbols
from softlyte.featurize.hull_systems import ChemicalSystem, HullSystems

Array = NDArray[np.float64]

DIATOMIC = ("H", "N", "O", "F", "Cl", "Br", "I")
"""Elements that are written as molecules of two atoms."""

_TRACE = 1e-6  # atomic fraction below which a product is rounding noise


@dataclass(frozen=True)
class Reaction:
    """A reaction between formula units.

    Attributes:
        reactants: formula to coefficient, > 0.
        products: formula to coefficient, > 0.
        energy_ev: eV for the coefficients as they stand, negative if energy is released; NaN if unknown.
    """

    reactants: Mapping[str, float]
    products: Mapping[str, float]
    energy_ev: float

    def atoms(self) -> float:
        """Return the number of atoms of the reactants."""
        return float(sum(n * Composition(f).num_atoms for f, n in self.reactants.items()))

    def energy_ev_atom(self) -> float:
        """Return the energy per atom of the reactants in eV/atom."""
        return self.energy_ev / self.atoms()

    def imbalance(self) -> float:
        """Return the largest difference of an element's atoms between the sides; 0 if balanced."""
        left: dict[str, float] = {}
        for side, sign in ((self.reactants, 1.0), (self.products, -1.0)):
            for formula, amount in side.items():
                for element, atoms in Composition(formula).items():
                    left[str(element)] = left.get(str(element), 0.0) + sign * amount * atoms
        return max((abs(value) for value in left.values()), default=0.0)

    def __str__(self) -> str:
        """Return such as `Li3YCl6 -> 3 Li + YCl3 + 1.5 Cl2`."""
        return f"{side_text(self.reactants)} -> {side_text(self.products)}"


def side_text(amounts: Mapping[str, float]) -> str:
    """Return one side of a reaction as text, coefficients to four digits, 1 left out."""
    return " + ".join(f if abs(n - 1) < 5e-5 else f"{n:.4g} {f}" for f, n in amounts.items())


def as_molecules(amounts: Mapping[str, float]) -> dict[str, float]:
    """Return amounts with diatomic elements as molecules: 3 Cl becomes 1.5 Cl2."""
    return {
        (f"{name}2" if name in DIATOMIC else name): (amount / 2 if name in DIATOMIC else amount)
        for name, amount in amounts.items()
    }


def equilibrium_phases(systems: HullSystems, system: ChemicalSystem, amounts: Array) -> dict[str, float]:
    """Return the stable mixture of a chemical system at given amounts of its elements.

    Args:
        systems: the collection.
        system: of k elements.
        amounts: [k] atoms, at least one above zero.

    Returns:
        Reduced formula (elements as atoms) to formula units, most atoms first; conserves the amounts.
    """
    total = float(amounts.sum())
    shares = system.hull.mixture(amounts / total)
    found = [int(i) for i in np.argsort(-shares, kind="stable") if shares[i] > _TRACE]
    entries = len(system.rows)
    sizes = systems.compositions[system.rows].integer_amounts().sum(axis=1)
    out: dict[str, float] = {}
    for i in found:
        if i < entries:
            out[systems.formula(int(system.rows[i]))] = float(shares[i]) * total / float(sizes[i])
        else:
            out[symbols()[system.numbers[i - entries]]] = float(shares[i]) * total
    return _exact(out, system.numbers, amounts)


def mixture_text(systems: HullSystems, system: ChemicalSystem, amounts: Array, left_out: str = "") -> str:
    """Return the names of the stable mixture at given amounts [k], most atoms first: `YCl3 + Cl2`.

    Args:
        systems: the collection.
        system: of k elements.
        amounts: [k] atoms.
        left_out: element that is not named where it precipitates, such as the metal of the mobile ion.
    """
    if amounts.sum() <= 0:
        return ""
    shares = system.hull.mixture(amounts / amounts.sum())
    names = []
    for i in np.argsort(-shares, kind="stable"):
        if shares[i] <= _TRACE:
            break
        if i < len(system.rows):
            names.append(systems.formula(int(system.rows[i])))
            continue
        element = symbols()[system.numbers[i - len(system.rows)]]
        if element != left_out:
            names.append(f"{element}2" if element in DIATOMIC else element)
    return " + ".join(names)


def _exact(found: dict[str, float], numbers: tuple[int, ...], amounts: Array) -> dict[str, float]:
    """Remove the rounding of the mixture: solve the element balance of the phases that were found."""
    phases = Compositions.from_formulas(found)
    matrix = np.zeros((len(numbers), len(found)))
    for row, z in enumerate(numbers):
        matrix[row] = np.where(phases.atomic_numbers == z, phases.amounts, 0.0).sum(axis=1)
    solved, *_ = np.linalg.lstsq(matrix, amounts, rcond=None)
    if (solved > 0).all() and np.abs(matrix @ solved - amounts).max() < 1e-6 * amounts.sum():
        return dict(zip(found, solved.tolist(), strict=True))
    return found
