"""Precursor cost of any number of compositions by the cheapest route from priced precursors.

Mechanochemical route (default): milling or melting anhydrous halides, oxides and sulfides, nothing leaves
(`assignment`). Hydrate route: hydrates, hydroxides and carbonates may be used too, and water, hydrogen
chloride and carbon dioxide leave (`blends`). Cost is that of the precursors alone: no processing, yield or
solvent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from softlyte.datasets.columns import INTERVAL_LEVEL
from softlyte.datasets.errors import UserError
from softlyte.datasets.formulas import Compositions, symbols
from softlyte.models.predictions import PropertyPrediction
from softlyte.screening.assignment import Group, cheapest_groups
from softlyte.screening.blends import Blend, hydrate_blends
from softlyte.screening.precursor_policy import ANIONS
from softlyte.screening.prices import PriceTable, default_prices

FloatArray = NDArray[np.float64]

Synthesis = Literal["mechanochemical", "hydrate"]

CHUNK_ROWS = 100_000


class RouteError(UserError):
    """An unknown kind of synthesis; the message lists the known ones."""


@dataclass(frozen=True)
class CostResult:
    """Precursor cost of N compositions.

    Attributes:
        usd_kg: [N] median cost in USD per kilogram, NaN where it cannot be computed.
        log_sd: [N] standard deviation of ln(cost): prices of different cations vary independently, those
            of one cation together.
        reason: [N] why usd_kg is NaN, "" where it is not.
    """

    usd_kg: FloatArray
    log_sd: FloatArray
    reason: NDArray[np.object_]

    @property
    def log10_sd(self) -> FloatArray:
        """Standard deviation of log10(cost), [N]; with the median usd_kg it gives the lognormal cost."""
        return self.log_sd / np.log(10.0)

    def interval(self, level: float = INTERVAL_LEVEL) -> tuple[FloatArray, FloatArray]:
        """Return the central (lognormal) interval of the cost in USD/kg at a level, two [N] arrays."""
        factor = np.exp(ndtri(0.5 + level / 2) * self.log_sd)
        return self.usd_kg / factor, self.usd_kg * factor


def per_litre(cost: CostResult, density: PropertyPrediction) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return median, lower and upper end (90%) of the cost in USD per litre of dense material, [N] each.

    Prices and density vary independently, both lognormally.

    Args:
        cost: N costs per kilogram.
        density: of the same materials, g/cm3.
    """
    if density.transform == "log10":
        log_sd = density.sd() * np.log(10.0)
    else:
        log_sd = density.sd() / np.maximum(density.mean(), 1e-2)
    median = cost.usd_kg * density.median()
    factor = np.exp(ndtri(0.5 + INTERVAL_LEVEL / 2) * np.hypot(cost.log_sd, log_sd))
    return median, median / factor, median * factor


def precursor_cost(
    compositions: Compositions,
    prices: PriceTable | None = None,
    synthesis: Synthesis = "mechanochemical",
) -> CostResult:
    """Return the precursor cost of each composition by the cheapest route.

    Args:
        compositions: N compositions; amounts are per formula unit as written.
        prices: None for the shipped table.
        synthesis: "mechanochemical", or "hydrate" to allow precursors that give off H2O, HCl or CO2.

    A composition has NaN and a reason if an element has no priced precursor, if it holds no anion that
    precursors bring in, or if its charges do not balance with the priced valences.
    """
    check_synthesis(synthesis)
    prices = default_prices() if prices is None else prices
    n = len(compositions)
    usd, log_sd, reason = np.full(n, np.nan), np.full(n, np.nan), np.full(n, "", dtype=object)
    for start in range(0, n, CHUNK_ROWS):
        part = compositions[start : start + CHUNK_ROWS]
        kilograms = part.masses() / 1000
        chunk_reason = reason[start : start + CHUNK_ROWS]
        for group in cheapest_groups(part, prices, chunk_reason):
            total, spread = _of_group(group, prices)
            usd[start + group.rows] = total / kilograms[group.rows]
            log_sd[start + group.rows] = spread
            chunk_reason[group.rows] = unpriced_reason(group, prices)
            for blend in hydrate_blends(group, prices) if synthesis == "hydrate" else ():
                total, spread = _of_blend(blend)
                usd[start + blend.rows] = total / kilograms[blend.rows]
                log_sd[start + blend.rows] = spread
                chunk_reason[blend.rows] = ""
    return CostResult(usd, log_sd, reason)


def check_synthesis(synthesis: str) -> None:
    """Raise RouteError if there is no such kind of synthesis."""
    if synthesis not in get_args(Synthesis):
        raise RouteError(f"there is no route {synthesis!r}; choose one of {', '.join(get_args(Synthesis))}")


def unpriced_reason(group: Group, prices: PriceTable) -> NDArray[np.object_]:
    """Return which pair lacks a price where the optimum needs one, "" elsewhere, [n]."""
    reason = np.full(len(group.rows), "", dtype=object)
    for row, i, k in np.argwhere(np.isnan(group.spent(prices))):
        pair = f"{symbols()[group.cation[row, i]]} with {list(ANIONS)[group.anion[row, k]]}"
        reason[row] = f"no cited price for {pair}"
    return reason


def _of_group(group: Group, prices: PriceTable) -> tuple[FloatArray, FloatArray]:
    """Return USD per formula unit and standard deviation of its logarithm, [n] each."""
    spent = group.spent(prices)
    total = spent.sum(axis=(1, 2))
    by_cation = (spent * np.where(group.flows > 0, prices.log_sd[group.at], 0.0)).sum(axis=2)
    return total, np.sqrt((by_cation**2).sum(axis=1)) / total


def _of_blend(blend: Blend) -> tuple[FloatArray, FloatArray]:
    """Return USD per formula unit and standard deviation of its logarithm, [n] each."""
    spent = blend.moles * blend.system.usd
    total = spent.sum(axis=1)
    variance = np.zeros(len(blend.rows))
    for cation in np.unique(blend.system.cation):
        of_cation = blend.system.cation == cation
        variance += (spent[:, of_cation] @ blend.system.log_sd[of_cation]) ** 2
    return total, np.sqrt(variance) / total
