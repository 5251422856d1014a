"""What a phase decomposes into when nothing comes or goes: competing phases and the balanced reaction."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from softlyte.datasets.errors import UserError
from softlyte.datasets.formulas import Compositions
from softlyte.featurize.chemical_systems import chemical_system_groups
from softlyte.featurize.phase_diagram import HullStore
from softlyte.featurize.reactions import Reaction, as_molecules, equilibrium_phases, mixture_text
from softlyte.featurize.stoichiometry import whole_number_stoichiometry


class DecompositionError(UserError):
    """A composition without a hull; the message says why."""


def decomposition_reaction(
    store: HullStore, formula: str, energy_ev_atom: float | None = None, exclude_self: bool = True
) -> Reaction:
    """Return the decomposition of one formula unit into the competing phases of lowest energy.

    Args:
        store: formation energies.
        formula: of the phase.
        energy_ev_atom: its formation energy; None takes the store's.
        exclude_self: leave out the phase of the same reduced composition, so that a stable phase shows what
            it would become, and how much energy that costs.

    Returns:
        Balanced; its energy is negative for a phase above the hull, NaN where the phase has no energy.

    Raises:
        DecompositionError: an element without entries, or too many elements.
    """
    written = Compositions.from_formulas([formula])
    composition = whole_number_stoichiometry(written)
    reason = str(store.systems.refusals(composition)[0])
    if reason:
        raise DecompositionError(f"{formula}: {reason}")
    (numbers, _), *_ = chemical_system_groups(composition, np.array([True]))
    system = store.systems.system(numbers)
    if exclude_self:
        system = store.systems.without(system, int(store.systems.lookup(composition)[0]))
    amounts = composition.amounts[0, : len(numbers)]
    amounts = amounts * (float(written.amounts.sum()) / float(amounts.sum()))
    products = as_molecules(equilibrium_phases(store.systems, system, amounts))
    known = float(store.known_energy(composition)[0]) if energy_ev_atom is None else energy_ev_atom
    atoms = float(amounts.sum())
    hull = float(system.hull.energy((amounts / atoms)[None])[0])
    return Reaction({written.formulas()[0]: 1.0}, products, (hull - known) * atoms)


def competing_phases(store: HullStore, compositions: Compositions) -> NDArray[np.object_]:
    """Return the phases that compete with each composition, itself left out, [N] such as `LiCl + YCl3`.

    Empty where there is no hull.
    """
    compositions = whole_number_stoichiometry(compositions)
    usable = store.systems.refusals(compositions) == ""
    rows = store.systems.lookup(compositions)
    out = np.full(len(compositions), "", dtype=object)
    for numbers, group in chemical_system_groups(compositions, usable):
        system = store.systems.system(numbers)
        for row in group:
            amounts = compositions.amounts[row, : len(numbers)]
            text = mixture_text(store.systems, system, amounts)
            if rows[row] >= 0 and text == store.systems.formula(int(rows[row])):
                text = mixture_text(store.systems, store.systems.without(system, int(rows[row])), amounts)
            out[row] = text
    return out
