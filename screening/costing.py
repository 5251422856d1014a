"""How costs are reckoned: with which prices, by which route, at which price level, for which layer.

`Costing` is what a person chooses; every cost that Softlyte shows or judges by follows from one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from softlyte.datasets.columns import CURRENCY_COLUMNS
from softlyte.datasets.errors import UserError
from softlyte.datasets.formulas import Compositions
from softlyte.models.predictions import PropertyPrediction
from softlyte.screening.commodities import year_text
from softlyte.screening.cost import CostResult, Synthesis, check_synthesis, per_litre, precursor_cost
from softlyte.screening.exchange import per_usd
from softlyte.screening.price_list import PriceLevel, PriceList, load_prices
from softlyte.screening.prices import PriceTable
from softlyte.screening.recipes import Route, precursor_routes

FloatArray = NDArray[np.float64]

THICKNESS_UM = 50.0
"""Layer that USD/m2 is of unless another is asked for, micrometres."""

LITRES_PER_UM_M2 = 1e-3
"""One square metre of one micrometre holds a thousandth of a litre."""


class CostingError(UserError):
    """A price level or thickness that cannot be used; the message names it and the remedy."""


@dataclass(frozen=True, eq=False)
class Costing:
    """What costs are reckoned with; make it with `load_costing`.

    Attributes:
        prices: precursor prices of a date, with own quotations.
        route: "mechanochemical", or "hydrate" to let H2O, HCl and CO2 leave.
        price_level: "central" for prices with their intervals; "low" or "high" puts every price at that end
            of its interval at once, a scenario without scatter of its own.
        currency: ISO 4217 code that costs are shown in beside USD, at the average rate of the prices' year.
        thickness_um: of the layer that USD/m2 is of, micrometres.

    Raises:
        UserError: a choice that cannot be used.
    """

    prices: PriceList
    route: Synthesis = "mechanochemical"
    price_level: PriceLevel = "central"
    currency: str = "USD"
    thickness_um: float = THICKNESS_UM

    def __post_init__(self) -> None:
        check_synthesis(self.route)
        if self.price_level not in get_args(PriceLevel):
            raise CostingError(
                f"there is no price level {self.price_level!r}; choose {', '.join(get_args(PriceLevel))}"
            )
        if not 0 < self.thickness_um < np.inf:
            raise CostingError(f"the thickness is {self.thickness_um:g}; give micrometres above 0")
        object.__setattr__(self, "currency", self.currency.strip().upper())
        per_usd(self.currency, self.prices.year)

    @cached_property
    def table(self) -> PriceTable:
        """Prices as arrays."""
        return self.prices.table(self.price_level)

    @property
    def litres_per_m2(self) -> float:
        """Litres of material in one square metre of the layer."""
        return self.thickness_um * LITRES_PER_UM_M2

    def cost(self, compositions: Compositions) -> CostResult:
        """Return the precursor cost of N compositions."""
        return precursor_cost(compositions, self.table, self.route)

    def routes(self, compositions: Compositions) -> list[Route]:
        """Return the recipe behind each cost; rows that are written alike, such as two phases, share one."""
        packed = np.concatenate([compositions.atomic_numbers, compositions.amounts], axis=1)
        rows = packed.view(np.dtype((np.void, packed.itemsize * packed.shape[1]))).ravel()
        _, first, place = np.unique(rows, return_index=True, return_inverse=True)
        found = precursor_routes(compositions[first], self.table, self.route)
        return [found[at] for at in place.ravel()]

    def columns(self, cost: CostResult, density: PropertyPrediction) -> dict[str, FloatArray]:
        """Return cost_usd_kg, cost_usd_l and cost_usd_m2 of N materials, each with `_lower` and `_upper`.

        Args:
            cost: of the materials, per kilogram.
            density: of the same materials, g/cm3.
        """
        litre = per_litre(cost, density)
        area = tuple(end * self.litres_per_m2 for end in litre)
        found: dict[str, FloatArray] = {}
        for name, ends in (
            ("cost_usd_kg", (cost.usd_kg, *cost.interval())),
            ("cost_usd_l", litre),
            ("cost_usd_m2", area),
        ):
            found |= dict(zip((name, f"{name}_lower", f"{name}_upper"), ends, strict=True))
        return found

    @property
    def currency_names(self) -> tuple[str, ...]:
        """Names of the columns that the currency adds; none for USD."""
        return () if self.currency == "USD" else CURRENCY_COLUMNS

    def currency_columns(self, columns: dict[str, FloatArray]) -> dict[str, FloatArray | NDArray[np.str_]]:
        """Return CURRENCY_COLUMNS for the output of `columns`; nothing if costs are shown in USD alone."""
        if not self.currency_names:
            return {}
        rate = per_usd(self.currency, self.prices.year)
        return {
            "currency": np.full(len(columns["cost_usd_kg"]), self.currency),
            "cost_currency_kg": columns["cost_usd_kg"] * rate,
            "cost_currency_l": columns["cost_usd_l"] * rate,
        }

    def record(self) -> dict[str, Any]:
        """Return the choices for the record of a run; the checksum tells any two price lists apart."""
        return {
            "route": self.route,
            "prices": {
                "own": self.prices.own or None,
                "date": year_text(self.prices.year),
                "without": list(self.prices.excluded),
                "sha256": self.prices.checksum(),
            },
            "price_level": self.price_level,
            "currency": self.currency,
            "thickness_um": self.thickness_um,
        }


def load_costing(
    prices: Path | str | pd.DataFrame | None = None,
    date: str | None = None,
    without: Sequence[str] = (),
    route: Synthesis = "mechanochemical",
    price_level: PriceLevel = "central",
    currency: str = "USD",
    thickness_um: float = THICKNESS_UM,
) -> Costing:
    """Return what to reckon costs with; the arguments are the options of the commands.

    Args:
        prices: CSV or frame of own quotations, see `softlyte.screening.price_list.PriceList.with_rows`.
        date: "2023" (annual averages) or "2023-11"; None for the shipped prices of mid-2024.
        without: formulas of precursors that may not be used.
        route: "mechanochemical" or "hydrate", see `Costing`.
        price_level: "low", "central" or "high".
        currency: ISO 4217 code to show costs in beside USD.
        thickness_um: of the layer that USD/m2 is of, micrometres.

    Raises:
        UserError: a file, row, date, formula or choice cannot be used.
    """
    return Costing(load_prices(prices, date, without), route, price_level, currency, thickness_um)


@lru_cache(maxsize=1)
def default_costing() -> Costing:
    """Return the shipped prices by the mechanochemical route, read once."""
    return load_costing()
