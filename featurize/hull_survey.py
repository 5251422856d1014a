"""What is known of the chemical systems of N compositions: how many phases, and how near the nearest is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from softlyte.datasets.formulas import Compositions
from softlyte.featurize.chemical_systems import chemical_system_groups
from softlyte.featurize.convex_hull import FacetHull
from softlyte.featurize.phase_diagram import HullStore
from softlyte.featurize.stoichiometry import whole_number_stoichiometry

Array = NDArray[np.float64]

_BLOCK = 2**22  # numbers in one temporary array


@dataclass(frozen=True)
class Survey:
    """What a collection knows around N compositions; NaN where there is no hull.

    Phases are competing ones: below the elements. *Own* ones hold all elements of the chemical system.

    Attributes:
        own: [N] phases of exactly the composition's elements.
        own_stable: [N] those of them on the hull; NaN in systems of more than
            `convex_hull.MAX_FACET_ELEMENTS` elements.
        other_stable: [N] phases of fewer elements on the hull; NaN likewise.
        nearest_own: [N] distance to the nearest own phase, half the sum of the differences of atomic
            fractions, 0..1; NaN where there is none.
        nearest: [N] the same to any phase.
    """

    own: Array
    own_stable: Array
    other_stable: Array
    nearest_own: Array
    nearest: Array


def survey(store: HullStore, compositions: Compositions) -> Survey:
    """Look around N compositions; each chemical system's hull is built at its first use."""
    compositions = whole_number_stoichiometry(compositions)
    found = Survey(*np.full((5, len(compositions)), np.nan))
    usable = store.systems.refusals(compositions) == ""
    for numbers, group in chemical_system_groups(compositions, usable):
        system = store.systems.system(numbers)
        fractions = store.systems.fractions(numbers, system.rows)
        own: NDArray[np.bool_] = np.all(fractions > 0, axis=1)
        found.own[group] = own.sum()
        if isinstance(system.hull, FacetHull):
            corners = np.unique(system.hull.members)
            corners = corners[corners < len(own)]  # the elements come after the phases
            found.own_stable[group] = own[corners].sum()
            found.other_stable[group] = (~own[corners]).sum()
        if not len(own):
            continue
        amounts = compositions.amounts[group, : len(numbers)]
        x = amounts / amounts.sum(axis=1, keepdims=True)
        step = max(1, _BLOCK // len(own))
        for start in range(0, len(group), step):
            block = slice(start, start + step)
            apart = np.zeros((len(x[block]), len(own)))
            for column in range(len(numbers)):
                apart += np.abs(x[block, column, None] - fractions[:, column])
            found.nearest[group[block]] = apart.min(axis=1) / 2
            if own.any():
                found.nearest_own[group[block]] = apart[:, own].min(axis=1) / 2
    return found
