"""The cheapest anhydrous precursors: which anion each cation brings, solved for all rows at once.

Each cation's charge is served by anions, and each (cation, anion) pair is a precursor: a transportation
problem (`transport`). Oxygen goes first into the alkali oxide (Li2O, Na2O, K2O, Rb2O), because refractory
oxides such as ZrO2 and Al2O3 hardly react in a mill, and only what is left of it into oxides of the
framework; everything else goes the cheapest way.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Element

from softlyte.datasets.formulas import MAX_ATOMIC_NUMBER, Compositions
from softlyte.screening.precursor_policy import ANIONS
from softlyte.screening.prices import PriceTable
from softlyte.screening.transport import cheapest_flows
from softlyte.screening.valences import assign_charges

FloatArray = NDArray[np.float64]

REFRACTORY_PENALTY = 1e5
"""USD per mole of charge, far above any price: oxides of the framework take only what oxygen is left."""

UNPRICED_PENALTY = 1e9
"""USD per mole of charge: a precursor without a price is used only where nothing else will do."""

ROUNDING = 1e-12
"""Share of the charge below which a flow is none."""

OXYGEN = list(ANIONS).index("O")

ALKALI = np.isin(np.arange(MAX_ATOMIC_NUMBER + 1), [Element(s).Z for s in ("Li", "Na", "K", "Rb", "Cs")])
"""[104] True for the metals whose oxides react readily."""


@dataclass(frozen=True)
class Group:
    """Rows with the same number of cations m and anions k, and the optimum's flows.

    Attributes:
        rows: [n] position in the compositions.
        cation, valence: [n, m] atomic number and charge.
        anion: [n, k] position in ANIONS.
        flows: [n, m, k] moles of charge per formula unit.
    """

    rows: NDArray[np.int64]
    cation: NDArray[np.int64]
    valence: NDArray[np.int64]
    anion: NDArray[np.int64]
    flows: FloatArray

    @property
    def at(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Indices into the arrays of a PriceTable, each broadcastable to [n, m, k]."""
        return self.cation[:, :, None], self.valence[:, :, None], self.anion[:, None, :]

    def spent(self, prices: PriceTable) -> FloatArray:
        """Return USD per formula unit for each pair, [n, m, k]; NaN where a used precursor has no price."""
        return self.flows * np.where(self.flows > 0, prices.usd_per_charge[self.at], 0.0)


def is_refractory(cation: NDArray[np.int64], anion: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Tell which pairs are oxides of the framework."""
    refractory: NDArray[np.bool_] = ~ALKALI[cation] & (anion == OXYGEN)
    return refractory


def cheapest_groups(
    compositions: Compositions, prices: PriceTable, reason: NDArray[np.object_]
) -> Iterator[Group]:
    """Yield groups of rows with their optimal flows; rows left out get their reason written."""
    charges = assign_charges(compositions, prices, reason)
    front = np.argsort(charges.supply <= 0, axis=1, kind="stable")
    cation = np.take_along_axis(charges.cation, front, axis=1)
    valence = np.take_along_axis(charges.valence, front, axis=1)
    supply = np.take_along_axis(charges.supply, front, axis=1)
    anion = np.argsort(charges.demand <= 0, axis=1, kind="stable")
    demand = np.take_along_axis(charges.demand, anion, axis=1)
    m, k = (supply > 0).sum(axis=1), (demand > 0).sum(axis=1)
    pattern = np.where(charges.usable, m * (len(ANIONS) + 1) + k, -1)
    for code in np.unique(pattern[charges.usable]):
        rows = np.flatnonzero(pattern == code)
        i, j = divmod(int(code), len(ANIONS) + 1)
        group = Group(rows, cation[rows, :i], valence[rows, :i], anion[rows, :j], np.zeros((0, i, j)))
        z, v, a = group.at
        costs = prices.usd_per_charge[z, v, a]
        costs = np.where(np.isnan(costs), UNPRICED_PENALTY, costs) + REFRACTORY_PENALTY * is_refractory(z, a)
        flows = cheapest_flows(costs, supply[rows, :i], demand[rows, :j])
        # What is left of rounding is no precursor.
        flows[flows < ROUNDING * supply[rows, :i].sum(axis=1)[:, None, None]] = 0.0
        yield Group(rows, group.cation, group.valence, group.anion, flows)
