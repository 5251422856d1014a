"""What a phase becomes when its mobile ion is drawn out or pushed in: products, limits, reaction energies.

With the ion alone free to come and go at the potential V (against its metal, one charge), the phase competes
with the stable mixtures along the line of compositions that differ only in the ion. The lower envelope of
their energies (`hull_line`) gives everything: its corners are the equilibria, its slopes the potentials
at which one gives way to the next, and the height of the phase above it, seen along a potential, the energy
of its decomposition. Source of the construction: Y. Zhu, X. He, Y. Mo, ACS Appl. Mater. Interfaces 7, 23685
(2015), doi:10.1021/acsami.5b07517.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from softlyte.datasets.columns import PROFILE_COLUMNS
from softlyte.datasets.errors import UserError
from softlyte.datasets.formulas import Compositions, symbols
from softlyte.featurize.hull_line import HullLine, hull_line
from softlyte.featurize.hull_systems import ChemicalSystem
from softlyte.featurize.phase_diagram import HullStore
from softlyte.featurize.reactions import Reaction, as_molecules, equilibrium_phases
from softlyte.featurize.stoichiometry import whole_number_stoichiometry

Array = NDArray[np.float64]

MAX_PROFILE_V = 6.0
"""V; the profile's upper end unless the last product appears above it."""

_BEYOND = 2e-3  # V past a limit at which the products of the decomposition are asked for
_SAME = 1e-6  # ion per formula unit: an equilibrium of the phase's own ion content


class CompositionError(UserError):
    """A composition that has no hull or no mobile ion; the message says why."""


@dataclass(frozen=True)
class ProfileStep:
    """One equilibrium, over its range of potential.

    Attributes:
        low_v, high_v: potentials between which it holds, V against the ion's metal.
        uptake: ions taken up by one formula unit of the phase; negative: given off.
        products: reduced formula to formula units, the ion's metal left out; gases as molecules.
        energy_ev: reaction energy at low_v and at high_v, eV for one formula unit, negative if released.
    """

    low_v: float
    high_v: float
    uptake: float
    products: dict[str, float]
    energy_ev: tuple[float, float]


@dataclass(frozen=True)
class ReactionProfile:
    """Decomposition of one phase against potential.

    Attributes:
        formula: of the phase.
        mobile_ion: Li or Na.
        atoms: atoms of one formula unit.
        above_hull_ev_atom: of the phase's energy that the profile stands on; at most 0 if it was put on
            the hull.
        steps: from the lowest potential to the highest.
    """

    formula: str
    mobile_ion: str
    atoms: float
    above_hull_ev_atom: float
    steps: tuple[ProfileStep, ...]

    def table(self) -> pd.DataFrame:
        """Return the steps as PROFILE_COLUMNS; energies in eV per atom of the phase."""
        rows = [
            (
                step.low_v,
                step.high_v,
                step.uptake,
                step.energy_ev[0] / self.atoms,
                step.energy_ev[1] / self.atoms,
                products_text(step.products),
            )
            for step in self.steps
        ]
        return pd.DataFrame(rows, columns=list(PROFILE_COLUMNS))

    def energy_ev_atom(self, potential_v: Array) -> Array:
        """Return the reaction energy at potentials in V, [n] eV per atom of the phase."""
        ends = np.array([self.steps[0].low_v, *(step.high_v for step in self.steps)])
        values = np.array([self.steps[0].energy_ev[0], *(step.energy_ev[1] for step in self.steps)])
        return np.interp(potential_v, ends, values / self.atoms)

    def reaction(self, potential_v: float) -> Reaction | None:
        """Return the balanced reaction of one formula unit at a potential, None where it only stays."""
        step = self._step(potential_v)
        reactants, products = {self.formula: 1.0}, dict(step.products)
        if step.uptake > 0:
            reactants[self.mobile_ion] = step.uptake
        elif step.uptake < 0:
            products[self.mobile_ion] = -step.uptake
        if set(products) == {self.formula}:
            return None
        low, high = step.energy_ev
        share = (potential_v - step.low_v) / (step.high_v - step.low_v)
        return Reaction(reactants, products, float(low + share * (high - low)))

    def _step(self, potential_v: float) -> ProfileStep:
        for step in self.steps:
            if potential_v <= step.high_v:
                return step
        return self.steps[-1]


def products_text(products: dict[str, float]) -> str:
    """Return product formulas in order, joined with " + ", without coefficients."""
    return " + ".join(products)


def ion_line(store: HullStore, composition: Compositions, ion: str) -> tuple[ChemicalSystem, HullLine, float]:
    """Return the system, the hull along the ion's content and the phase's own content.

    The line is measured in ions per formula unit of the composition as it is given.

    Args:
        store: formation energies.
        composition: one row, whole-number stoichiometry.
        ion: Li or Na.

    Raises:
        CompositionError: an element without entries, too many elements, or the ion is not in it.
    """
    reason = str(store.systems.refusals(composition)[0])
    number = symbols().index(ion)
    if not reason and not (composition.atomic_numbers[0] == number).any():
        reason = f"holds no {ion}"
    if reason:
        raise CompositionError(f"{composition.formulas()[0]}: {reason}")
    kept = composition.atomic_numbers[0] > 0
    numbers = tuple(int(z) for z in composition.atomic_numbers[0][kept])
    amounts = composition.amounts[0][kept].astype(np.float64)
    system, column = store.systems.system(numbers), numbers.index(number)
    bare, direction = amounts.copy(), np.zeros(len(numbers))
    bare[column], direction[column] = 0.0, 1.0
    if len(numbers) == 1:
        raise CompositionError(f"{ion}: the metal itself has no window")
    return system, hull_line(system.hull, bare, direction), float(amounts[column])


def reaction_profile(
    store: HullStore, formula: str, ion: str, energy_ev_atom: float | None = None, on_hull: bool = True
) -> ReactionProfile:
    """Return how one phase decomposes as the potential of its mobile ion changes.

    Args:
        store: formation energies.
        formula: of the phase.
        ion: Li or Na.
        energy_ev_atom: formation energy of the phase; None takes the store's, NaN or no entry the hull's.
        on_hull: put a phase above the hull on it, as `HullStore.evaluate` does for its window; else the
            energy that a metastable phase releases at any potential is part of the profile.

    Raises:
        CompositionError: see `ion_line`.
    """
    written = Compositions.from_formulas([formula])
    composition = whole_number_stoichiometry(written)
    system, line, content = ion_line(store, composition, ion)
    atoms = float(composition.amounts.sum())
    known = float(store.known_energy(composition)[0]) if energy_ev_atom is None else energy_ev_atom
    hull = float(line.at(content))
    own = hull if np.isnan(known) else known * atoms
    level = min(own, hull) if on_hull else own
    scale = float(written.amounts.sum()) / atoms
    kept = composition.atomic_numbers[0] > 0
    of_ion = composition.atomic_numbers[0][kept] == symbols().index(ion)
    bare = np.where(of_ion, 0.0, composition.amounts[0][kept])
    steps: list[ProfileStep] = []
    # From the metal (0 V, most ion) outwards: slopes are potentials of the ion, V = -slope.
    volts = np.abs(np.minimum(line.slope, 0.0))
    highest = max(MAX_PROFILE_V, float(volts[0]) + 1.0)
    for corner in range(len(line.position) - 1, -1, -1):
        low, high = float(volts[corner]), float(volts[corner - 1]) if corner else highest
        if high - low < 1e-6:
            continue
        position = float(line.position[corner])
        amounts = bare + position * of_ion
        found = equilibrium_phases(store.systems, system, amounts) if amounts.sum() > 0 else {}
        metal = found.pop(ion, 0.0)
        uptake = position - metal - content
        uptake = 0.0 if abs(uptake) < _SAME else uptake
        # Grand energies relative to the phase: E + V n, n the ions that were taken up.
        fixed = float(line.energy[corner]) - level
        ends = fixed + low * (position - content), fixed + high * (position - content)
        products = {name: n * scale for name, n in as_molecules(found).items()}
        steps.append(ProfileStep(low, high, uptake * scale, products, (ends[0] * scale, ends[1] * scale)))
    name = written.formulas()[0]
    return ReactionProfile(name, ion, atoms * scale, (level - hull) / atoms, tuple(steps))
