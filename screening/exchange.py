"""Currencies: annual average exchange rates to the US dollar."""

from __future__ import annotations

import math
from functools import lru_cache

from softlyte.datasets.errors import UserError
from softlyte.datasets.tables import load_table

MOST_YEARS_OFF = 1
"""A rate may stand for a year as far off as this: the last one for the year that runs."""


class CurrencyError(UserError):
    """A currency without an exchange rate, or without one of that time; the message says what there is."""


@lru_cache(maxsize=1)
def _rates() -> dict[str, dict[int, float]]:
    frame = load_table("exchange_rates")
    found: dict[str, dict[int, float]] = {}
    for currency, year, units in zip(frame["currency"], frame["year"], frame["units_per_usd"], strict=True):
        found.setdefault(str(currency), {})[int(year)] = float(units)
    return found


def per_usd(currency: str, year: float, place: str = "") -> float:
    """Return units of a currency per US dollar, mean of the year, or of the year beside it.

    Args:
        currency: ISO 4217 code such as EUR.
        year: decimal year.
        place: where the currency stands, for the message.

    Source: reference rates of the European Central Bank (table `exchange_rates`). Raises CurrencyError for
    an unknown code, and for a year more than MOST_YEARS_OFF from every rate (the rouble has none since 2022).
    """
    code, where = currency.strip().upper(), f"{place}: " if place else ""
    if code == "USD":
        return 1.0
    rates = _rates().get(code)
    if rates is None:
        raise CurrencyError(
            f"{where}there is no exchange rate for {currency!r}; choose one of {', '.join(sorted(_rates()))}"
        )
    asked = math.floor(year)
    nearest = min(rates, key=lambda known: abs(known - asked))
    if abs(nearest - asked) > MOST_YEARS_OFF:
        raise CurrencyError(
            f"{where}the exchange rates of {code} are those of {min(rates)} to {max(rates)}, none near "
            f"{asked}; choose another currency, such as USD, or another date"
        )
    return rates[nearest]
