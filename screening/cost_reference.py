"""The reference line for "cheap": what sulfide electrolytes cost, or are expected to cost, in a year."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtr

from softlyte.datasets.tables import load_table
from softlyte.screening.cost import CostResult

FloatArray = NDArray[np.float64]

REFERENCE_YEAR = 2030
"""Year that a new electrolyte is compared with unless another is asked for."""


@lru_cache(maxsize=1)
def sulfide_road_map() -> pd.DataFrame:
    """Return year, low_usd_kg, high_usd_kg and value_as_stated of the sulfide electrolyte price by year.

    Table `technology_targets_cited`: market estimates of 2023 to 2025 and a projection for 2030, which is
    stated as an upper end alone (low is then the same).
    """
    table = load_table("technology_targets_cited")
    rows = table[(table["quantity"] == "sulfide electrolyte price") & (table["unit"] == "USD/kg")]
    rows = rows.sort_values("year")
    low = rows["value_min"].fillna(rows["value_max"])
    return pd.DataFrame(
        {
            "year": rows["year"].astype(int),
            "low_usd_kg": low,
            "high_usd_kg": rows["value_max"],
            "value_as_stated": rows["value_as_stated"],
        }
    ).reset_index(drop=True)


def sulfide_price(year: float) -> tuple[float, float]:
    """Return the low and high price of sulfide electrolytes in a year, USD/kg.

    Between the years of the road-map the logarithm is interpolated; outside, the nearest year holds.
    """
    road = sulfide_road_map()
    low, high = (np.interp(year, road["year"], np.log(road[c])) for c in ("low_usd_kg", "high_usd_kg"))
    return float(np.exp(low)), float(np.exp(high))


def probability_below(cost: CostResult, usd_kg: float) -> FloatArray:
    """Return the probability that each cost is below a price, [N]; NaN where the cost is unknown."""
    with np.errstate(divide="ignore", invalid="ignore"):
        z = (np.log(usd_kg) - np.log(cost.usd_kg)) / cost.log_sd
    chance: FloatArray = ndtr(z)
    return chance
