"""Currencies: annual average exchange rates to the US dollar."""

from __future__ import annotations

import math
from functools import lru_cache

from softlyte.datasets.errors import UserError
from softlyte.datasets.tables import load_table


class CurrencyError(UserError):
    """A currency without an exchange rate; the message lists those that have one."""


@lru_cache(maxsize=1)
def _rates() -> dict[str, dict[int, float]]:
    frame = load_table("exchange_rates")
    found: dict[str, dict[int, float]] = {}
    for currency, year, units in zip(frame["currency"], frame["year"], frame["units_per_usd"], strict=True):
        found.setdefault(str(currency), {})[int(year)] = float(units)
    return found


def per_usd(currency: str, year: float, place: str = "") -> float:
    """Return units of a currency per US dollar, mean of the year, or of the nearest year in the table.

    Args:
        currency: ISO 4217 code such as EUR.
        year: decimal year.
        place: where the currency stands, for the message.

    Source: reference rates of the European Central Bank (table `exchange_rates`). Raises CurrencyError for
    an unknown code.
    """
    rates = _rates().get(currency.strip().upper())
    if rates is None:
        where = f"{place}: " if place else ""
        raise CurrencyError(
            f"{where}there is no exchange rate for {currency!r}; choose one of {', '.join(sorted(_rates()))}"
        )
    return rates[min(rates, key=lambda known: abs(known - math.floor(year)))]
