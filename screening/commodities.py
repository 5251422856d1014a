"""Cited commodity prices and what one commodity costs at a date: central price, low and high.

Conventions, fixed before any electrolyte was priced:

- A commodity's central price at a date is the annual average of that year where one is cited, else the
  median of the prices cited within half a year of it, else the cited price nearest in time.
- The interval spans the cited prices since 2020 (all of them if fewer than two are that recent). Nobody's
  interval is narrower than half the typical five-year swing of an annual average (`volatility`).
- Prices that were inferred from laboratory catalogues or small lots are not used.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from pymatgen.core import Composition

from softlyte.datasets.tables import load_table
from softlyte.screening.precursor_policy import CITED_COMMODITIES, ORES

REFERENCE_YEAR = 2024.5
"""Date of the shipped prices, the middle of 2024."""

SPAN_START = 2020.0
"""Prices since then span the interval."""


@dataclass(frozen=True)
class Commodity:
    """One traded commodity: central, low and high price in USD/kg of `formula`, and where they are from.

    Attributes:
        name, formula: of the commodity; the formula is what its mass refers to.
        stage: element | metal | sponge | alloy | oxide | carbonate | halide | ore, "" where not stated.
        grade: grade and terms of the prices that make the central one.
        central, low, high: USD/kg.
        year: decimal year of the central price.
        titles, addresses: sources of the central price.
    """

    name: str
    formula: str
    stage: str
    grade: str
    central: float
    low: float
    high: float
    year: float
    titles: tuple[str, ...]
    addresses: tuple[str, ...]

    @property
    def ore(self) -> bool:
        """Tell whether it is an ore."""
        return self.stage == "ore"

    def per_mole(self, element: str) -> float:
        """Return kilograms of the commodity that hold one mole of an element."""
        composition = Composition(self.formula)
        return float(composition.weight) / composition[element] / 1000


def price_rows() -> pd.DataFrame:
    """Return every cited price that is used, one a row.

    Columns: commodity, formula, name, stage, grade, year (decimal), usd_kg, title, address.
    """
    ours = load_table("prices_commodities", drop_flagged=True)
    rows = ours[["commodity", "formula", "name", "stage", "grade", "year"]].copy()
    rows["usd_kg"] = ours["price_usd_kg"]
    rows["title"], rows["address"] = ours["source_title"], ours["source_address"]
    cited = load_table("prices_cited")
    laboratory = cited["basis"].str.contains("lab") | cited["grade"].str.contains("laborator")
    cited = cited[cited["name"].isin(CITED_COMMODITIES) & ~laboratory]
    more = cited[["formula", "name", "grade"]].copy()
    more.insert(0, "commodity", cited["name"].map(CITED_COMMODITIES))
    more["year"] = cited["year_as_stated"].map(decimal_year)
    more["stage"] = np.where(more["commodity"].isin(ORES), "ore", "")
    more["usd_kg"] = (cited["price_usd_kg_min"] + cited["price_usd_kg_max"]) / 2
    more["title"], more["address"] = cited["source_title"], cited["source_address"]
    both = pd.concat([rows, more[rows.columns]], ignore_index=True)
    # The same annual average may be cited in both tables.
    return both.dropna(subset=["usd_kg"]).drop_duplicates(["commodity", "year", "usd_kg"], ignore_index=True)


def decimal_year(text: str) -> float:
    """Return "2024" (or "2024 (estimate)") as 2024.5 and "2024-11" as the middle of that month."""
    year, month = text[:4], text[5:7] if text[4:5] == "-" else ""
    return float(year) + ((int(month) - 0.5) / 12 if month else 0.5)


def year_text(year: float) -> str:
    """Return the middle of a year, an annual average, as "2024" and any other date as "2024-11"."""
    whole = int(year)
    return str(whole) if abs(year - whole - 0.5) < 1e-6 else f"{whole}-{int((year - whole) * 12) + 1:02d}"


def volatility(rows: pd.DataFrame) -> float:
    """Return half the natural log of highest over lowest annual average, median over commodities."""
    annual = rows[np.isclose(rows["year"] % 1, 0.5) & (rows["year"] >= SPAN_START)]
    swings = [
        math.log(prices.max() / prices.min()) / 2
        for _, prices in annual.groupby("commodity")["usd_kg"]
        if len(prices) >= 5
    ]
    return float(np.median(swings))


def central_price(rows: pd.DataFrame, commodity: str, year: float) -> float:
    """Return a commodity's central price at a date by the conventions above, USD/kg."""
    return float(_nearest(rows[rows["commodity"] == commodity], year)["usd_kg"].median())


def _nearest(group: pd.DataFrame, year: float) -> pd.DataFrame:
    """Return the rows that make the central price at a date."""
    distance = (group["year"] - year).abs()
    within = distance.min() if distance.min() < 1e-6 else max(distance.min(), 0.5)
    return group[distance <= within + 1e-6]


def commodities(rows: pd.DataFrame, year: float = REFERENCE_YEAR) -> dict[str, Commodity]:
    """Return each commodity's price at a date (decimal year) and its interval by the conventions above."""
    floor = volatility(rows)
    found = {}
    for name, group in rows.groupby("commodity"):
        nearest = _nearest(group, year)
        central = float(nearest["usd_kg"].median())
        recent = group[group["year"] >= SPAN_START]
        span = (recent if len(recent) >= 2 else group)["usd_kg"]
        found[str(name)] = Commodity(
            name=str(name),
            formula=str(group["formula"].iloc[0]),
            stage=str(nearest["stage"].iloc[0]),
            grade="; ".join(dict.fromkeys(text for text in nearest["grade"] if text)),
            central=central,
            low=min(float(span.min()), central * math.exp(-floor)),
            high=max(float(span.max()), central * math.exp(floor)),
            year=float(nearest["year"].median()),
            titles=tuple(dict.fromkeys(nearest["title"])),
            addresses=tuple(dict.fromkeys(nearest["address"])),
        )
    return found
