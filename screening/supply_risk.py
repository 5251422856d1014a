"""Supply risk: how concentrated the production and the reserves of a composition's elements are."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pymatgen.analysis.hhi import HHIModel

from softlyte.datasets.formulas import MAX_ATOMIC_NUMBER, Compositions, atomic_masses, symbols

FloatArray = NDArray[np.float64]


class SupplyRisk(NamedTuple):
    """Herfindahl-Hirschman index of N compositions, 0 to 10,000, NaN where an element has none.

    Attributes:
        production: [N] concentration of mining by country.
        reserve: [N] concentration of known reserves by country.
    """

    production: FloatArray
    reserve: FloatArray


@lru_cache(maxsize=1)
def element_supply_risk() -> FloatArray:
    """Return production and reserve index by atomic number, [104, 2], NaN where there is none."""
    values = np.full((MAX_ATOMIC_NUMBER + 1, 2), np.nan)
    model = HHIModel()
    for z, symbol in enumerate(symbols()):
        if symbol in model.symbol_hhip_hhir:
            values[z] = model.symbol_hhip_hhir[symbol]
    return values


def supply_risk(compositions: Compositions) -> SupplyRisk:
    """Return the mass-weighted Herfindahl-Hirschman index of production and of reserves.

    Sum of squared market shares (in per cent) of the countries; above 2,500 a market counts as highly
    concentrated. Element values and the weighting by mass: Gaultois et al. 2013, doi 10.1021/cm400893e, as
    carried by pymatgen.
    """
    z = compositions.atomic_numbers.astype(np.int64)
    masses = atomic_masses()[z] * compositions.amounts
    share = masses / masses.sum(axis=1, keepdims=True)
    index = np.where((z > 0)[:, :, None], element_supply_risk()[z], 0.0)
    weighted = (share[:, :, None] * index).sum(axis=1)
    return SupplyRisk(weighted[:, 0], weighted[:, 1])
