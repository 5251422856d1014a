"""How far above the hull: the predicted formation energy against the energies of competing phases."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from softlyte.datasets.formulas import Compositions
from softlyte.featurize.phase_diagram import HullStore
from softlyte.models.predictions import PropertyPrediction

REACTION_ENERGY_SD = 0.024
"""eV/atom; standard deviation of DFT reaction energies between solids from experiment, over 135 oxide
reactions (Hautier et al., Phys. Rev. B 85, 155208 (2012), doi 10.1103/PhysRevB.85.155208)."""


@dataclass(frozen=True)
class Stability:
    """Where N compositions stand against the hull of known phases.

    Attributes:
        e_above_hull: energy above the hull of the competing phases in eV/atom; negative where a phase is
            stable by that margin, NaN where there is no hull.
        known: [N] True where the formation energy is the table's, not predicted.
        reason: [N] str, why there is no hull; empty where there is one.
    """

    e_above_hull: PropertyPrediction
    known: NDArray[np.bool_]
    reason: NDArray[np.object_]


def stability(
    compositions: Compositions,
    formation_energy: PropertyPrediction,
    hull: HullStore,
    progress: Callable[[int], None] | None = None,
) -> Stability:
    """Return the distribution of the energy above the hull of N compositions.

    A composition of the table takes the table's formation energy, any other one the ensemble's. The hull
    of competing phases leaves the composition itself out. Every distance to it carries the error of DFT
    reaction energies, a predicted formation energy its own besides.

    Args:
        compositions: N compositions; repeated ones (two phases of one composition) are solved once.
        formation_energy: [E, N] eV/atom.
        hull: formation energies of known phases.
        progress: called with the number of distinct compositions just finished.
    """
    _, first, inverse = np.unique(compositions.keys(), return_index=True, return_inverse=True)
    result = hull.evaluate(compositions[first], progress=progress)
    back = inverse.ravel()
    competing, table = result.hull_energy_ev_atom[back], result.known_energy_ev_atom[back]
    known = np.isfinite(table)
    mean = np.where(known, table, formation_energy.member_mean) - competing
    sd = np.hypot(np.where(known, 0.0, formation_energy.member_sd), REACTION_ENERGY_SD)
    return Stability(PropertyPrediction(mean, sd), known, result.reason[back])
