"""Electrochemical windows as functions of a phase's own energy, for batches.

A phase that is not in the collection has an energy only as a distribution. Its competing phases along the
ion's content (`hull_line`) do not depend on that energy, so the line is drawn once and the window at any
number of energies is read off it: the limits are the slopes of the two tangents from the phase to the line.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from softlyte.datasets.formulas import Compositions, symbols
from softlyte.featurize.chemical_systems import chemical_system_groups
from softlyte.featurize.hull_line import hull_line
from softlyte.featurize.hull_systems import ChemicalSystem
from softlyte.featurize.phase_diagram import HullStore
from softlyte.featurize.reactions import mixture_text
from softlyte.featurize.stoichiometry import whole_number_stoichiometry

Array = NDArray[np.float64]

_HERE = 1e-7  # ions per formula unit: a corner of the line at the phase's own content


@dataclass(frozen=True)
class IonLines:
    """The competing phases of N compositions along their mobile ion's content.

    Rows without a line (no hull, no ion) hold NaN throughout.

    Attributes:
        content: [N] ions per formula unit.
        atoms: [N] atoms per formula unit.
        hull: [N] eV of the competing phases at the content, per formula unit.
        position: [N, J] corners below and above the content, ions per formula unit; NaN where padded.
        energy: [N, J] eV per formula unit at the corners.
    """

    content: Array
    atoms: Array
    hull: Array
    position: Array
    energy: Array

    def limits(self, energy_ev_atom: Array) -> tuple[Array, Array]:
        """Return reduction and oxidation limit at energies of the phases, two [S, N] in V.

        Args:
            energy_ev_atom: [S, N] formation energies; a phase above the hull is put on it.
        """
        total = np.minimum(energy_ev_atom * self.atoms, self.hull)
        oxidation, reduction = np.full(total.shape, np.inf), np.zeros(total.shape)
        # NaN padding loses every comparison, so only real corners count.
        for corner in range(self.position.shape[1]):
            gap = self.content - self.position[:, corner]
            with np.errstate(divide="ignore", invalid="ignore"):
                volts = (self.energy[:, corner] - total) / gap
            oxidation = np.where((gap > 0) & (volts < oxidation), volts, oxidation)
            reduction = np.where((gap < 0) & (volts > reduction), volts, reduction)
        nothing = np.isnan(self.hull) | np.isinf(oxidation)
        reduction, oxidation = np.where(nothing, np.nan, reduction), np.where(nothing, np.nan, oxidation)
        return np.minimum(reduction, oxidation), oxidation

    def products(self, energy_ev_atom: Array) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the corners that the phases of energies [N] become at both limits, two [N]; -1 for none."""
        total = np.minimum(np.where(np.isnan(energy_ev_atom), np.inf, energy_ev_atom) * self.atoms, self.hull)
        gap = self.content[:, None] - self.position
        with np.errstate(divide="ignore", invalid="ignore"):
            volts = (self.energy - total[:, None]) / gap
        below = np.where(gap > 0, volts, np.inf)
        above = np.where(gap < 0, volts, -np.inf)
        oxidised, reduced = np.argmin(below, axis=1), np.argmax(above, axis=1)
        rows = np.arange(len(total))
        # At 0 V the metal plates: nothing reduces a phase whose steepest way up is below that.
        return (
            np.where(above[rows, reduced] > 1e-6, reduced, -1),
            np.where(np.isfinite(below[rows, oxidised]), oxidised, -1),
        )

    def leverage(self, energy_ev_atom: Array) -> tuple[Array, Array]:
        """Return by how many V one eV/atom of reaction energy moves each limit, two [N]; NaN for none."""
        reduced, oxidised = self.products(energy_ev_atom)
        rows = np.arange(len(self.atoms))
        out = []
        for corner in (reduced, oxidised):
            gap = np.abs(self.content - self.position[rows, corner])
            out.append(np.where(corner >= 0, self.atoms / np.maximum(gap, _HERE), np.nan))
        return out[0], out[1]


def ion_lines(
    store: HullStore,
    compositions: Compositions,
    mobile_ion: Sequence[str],
    system_of: Callable[[tuple[int, ...]], ChemicalSystem] | None = None,
) -> IonLines:
    """Return the lines of N compositions.

    Args:
        store: formation energies.
        compositions: [N].
        mobile_ion: [N] Li or Na.
        system_of: where to take a chemical system's hull from; None for the store's.
    """
    compositions = whole_number_stoichiometry(compositions)
    take = store.systems.system if system_of is None else system_of
    ions = np.array([symbols().index(ion) if ion in symbols() else 0 for ion in mobile_ion], dtype=np.int64)
    usable = store.systems.refusals(compositions) == ""
    usable &= (compositions.atomic_numbers == ions[:, None]).any(axis=1) & (ions > 0)
    usable &= (compositions.atomic_numbers > 0).sum(axis=1) > 1
    n = len(compositions)
    lines: list[tuple[int, Array, Array]] = []
    content, hull = np.full(n, np.nan), np.full(n, np.nan)
    for numbers, group in chemical_system_groups(compositions, usable):
        system = take(numbers)
        for row in group:
            column = numbers.index(int(ions[row]))
            amounts = compositions.amounts[row, : len(numbers)].astype(np.float64)
            direction = np.zeros(len(numbers))
            direction[column], content[row] = 1.0, amounts[column]
            amounts[column] = 0.0
            line = hull_line(system.hull, amounts, direction)
            hull[row] = line.at(content[row])
            apart = np.abs(line.position - content[row]) > _HERE
            lines.append((row, line.position[apart], line.energy[apart]))
    width = max((len(position) for _, position, _ in lines), default=1)
    positions, energies = np.full((n, max(width, 1)), np.nan), np.full((n, max(width, 1)), np.nan)
    for row, position, energy in lines:
        positions[row, : len(position)], energies[row, : len(energy)] = position, energy
    return IonLines(content, compositions.amounts.sum(axis=1), hull, positions, energies)


def phase_names(
    store: HullStore, compositions: Compositions, mobile_ion: Sequence[str], content: Array
) -> NDArray[np.object_]:
    """Return the equilibrium phases at other contents of the mobile ion, [N] such as `YCl3 + Cl2`.

    The ion's metal is left out; an empty text where content is NaN or there is no hull.

    Args:
        store: formation energies.
        compositions: [N].
        mobile_ion: [N] Li or Na.
        content: [N] ions per formula unit of the whole-number stoichiometry.
    """
    compositions = whole_number_stoichiometry(compositions)
    usable = (store.systems.refusals(compositions) == "") & ~np.isnan(content)
    out = np.full(len(compositions), "", dtype=object)
    for numbers, group in chemical_system_groups(compositions, usable):
        system = store.systems.system(numbers)
        for row in group:
            amounts = compositions.amounts[row, : len(numbers)].astype(np.float64)
            amounts[numbers.index(symbols().index(mobile_ion[row]))] = content[row]
            out[row] = mixture_text(store.systems, system, amounts, mobile_ion[row])
    return out
