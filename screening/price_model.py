"""Make the table `precursors`: a price, an interval and a basis for each binary precursor.

Run `python -m softlyte.screening.price_model` to write the table again from the cited prices.

Conventions, fixed before any electrolyte was priced:

- Reference date is the middle of 2024. A commodity's central price is the annual average of 2024 where
  one is cited, else the median of the prices cited within half a year of it, else the cited price nearest
  in time.
- The interval spans the cited prices since 2020 (all of them if fewer than two are that recent). Nobody's
  interval is narrower than half the typical five-year swing of an annual average (`Volatility`).
- A precursor that is itself cited, not as an ore, keeps that price (basis `cited`).
- Any other is `estimated`: raw materials per kilogram (the cation's commodity per mole of cation, the
  anion's commodity per mole of anion, oxygen free) plus a conversion cost per kilogram of product, fitted
  on pairs of a product and its raw materials that both have a cited price.
- Metals, refined oxides and carbonates are preferred to ores; an anhydrous halide cannot be made by
  drying a hydrate (ZrOCl2.8H2O ends as ZrO2), so hydrates price oxides only.
- Prices that were inferred from laboratory catalogues or small lots are not used.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from pymatgen.core import Composition
from scipy.optimize import minimize_scalar
from scipy.stats import t as student

from softlyte.datasets.tables import load_table
from softlyte.datasets.writing import BuiltTable
from softlyte.screening.precursor_policy import (
    ANION_SOURCES,
    ANIONS,
    CITED_COMMODITIES,
    LOWER_GUIDES,
    NOT_MADE,
    NOTES,
    ORES,
    OXIDE_SOURCES,
    SOURCES,
    VALENCES,
)

REFERENCE_YEAR = 2024.5
SPAN_START = 2020.0


@dataclass(frozen=True)
class Commodity:
    """One traded commodity: central, low and high price in USD/kg of `formula`, and where they are from."""

    name: str
    formula: str
    ore: bool
    central: float
    low: float
    high: float
    year: float
    titles: tuple[str, ...]
    addresses: tuple[str, ...]

    def per_mole(self, element: str) -> float:
        """Return kilograms of the commodity that hold one mole of an element."""
        composition = Composition(self.formula)
        return float(composition.weight) / composition[element] / 1000


@dataclass(frozen=True)
class ConversionFit:
    """Conversion cost from raw materials to a refined compound.

    Attributes:
        cost_usd_kg: cost added per kilogram of product.
        log_sd: standard deviation of ln(cited price / estimate) over the pairs.
        log_half_width: 90% half width of ln(price) of a new estimate (Student's t, few pairs).
        pairs: product, date, raw materials, price (USD/kg), weight, and ln residual.
        factor, factor_log_sd: the same pairs with a constant factor instead of a constant cost.
    """

    cost_usd_kg: float
    log_sd: float
    log_half_width: float
    pairs: pd.DataFrame
    factor: float
    factor_log_sd: float


def price_rows() -> pd.DataFrame:
    """Return every cited price that is used: commodity, formula, ore, name, year, usd_kg, title, address."""
    ours = load_table("prices_commodities", drop_flagged=True)
    rows = ours[["commodity", "formula", "name", "year"]].copy()
    rows["ore"] = ours["stage"] == "ore"
    rows["usd_kg"] = ours["price_usd_kg"]
    rows["title"], rows["address"] = ours["source_title"], ours["source_address"]
    cited = load_table("prices_cited")
    laboratory = cited["basis"].str.contains("lab") | cited["grade"].str.contains("laborator")
    cited = cited[cited["name"].isin(CITED_COMMODITIES) & ~laboratory]
    more = cited[["formula", "name"]].copy()
    more.insert(0, "commodity", cited["name"].map(CITED_COMMODITIES))
    more["year"] = cited["year_as_stated"].map(decimal_year)
    more["ore"] = more["commodity"].isin(ORES)
    more["usd_kg"] = (cited["price_usd_kg_min"] + cited["price_usd_kg_max"]) / 2
    more["title"], more["address"] = cited["source_title"], cited["source_address"]
    both = pd.concat([rows, more[rows.columns]], ignore_index=True)
    # The same annual average may be cited in both tables.
    return both.dropna(subset=["usd_kg"]).drop_duplicates(["commodity", "year", "usd_kg"], ignore_index=True)


def decimal_year(text: str) -> float:
    """Return "2024" (or "2024 (estimate)") as 2024.5 and "2024-11" as the middle of that month."""
    year, month = text[:4], text[5:7] if text[4:5] == "-" else ""
    return float(year) + ((int(month) - 0.5) / 12 if month else 0.5)


def volatility(rows: pd.DataFrame) -> float:
    """Return half the natural log of highest over lowest annual average, median over commodities."""
    annual = rows[np.isclose(rows["year"] % 1, 0.5) & (rows["year"] >= SPAN_START)]
    swings = [
        math.log(prices.max() / prices.min()) / 2
        for _, prices in annual.groupby("commodity")["usd_kg"]
        if len(prices) >= 5
    ]
    return float(np.median(swings))


def commodities(rows: pd.DataFrame) -> dict[str, Commodity]:
    """Return each commodity's central price and interval by the conventions above."""
    floor = volatility(rows)
    found = {}
    for name, group in rows.groupby("commodity"):
        distance = (group["year"] - REFERENCE_YEAR).abs()
        within = distance.min() if distance.min() < 1e-6 else max(distance.min(), 0.5)
        nearest = group[distance <= within + 1e-6]
        central = float(nearest["usd_kg"].median())
        recent = group[group["year"] >= SPAN_START]
        span = (recent if len(recent) >= 2 else group)["usd_kg"]
        found[str(name)] = Commodity(
            name=str(name),
            formula=str(group["formula"].iloc[0]),
            ore=bool(nearest["ore"].iloc[0]),
            central=central,
            low=min(float(span.min()), central * math.exp(-floor)),
            high=max(float(span.max()), central * math.exp(floor)),
            year=float(nearest["year"].median()),
            titles=tuple(dict.fromkeys(nearest["title"])),
            addresses=tuple(dict.fromkeys(nearest["address"])),
        )
    return found


PAIRS: tuple[tuple[str, str, tuple[tuple[str, str, float], ...]], ...] = (
    ("LiOH", "LiH3O2", (("Li2CO3", "Li", 1),)),
    ("LiF", "LiF", (("Li2CO3", "Li", 1), ("HF", "F", 1))),
    ("ZrOCl2H16O8", "ZrOCl2H16O8", (("ZrSiO4", "Zr", 1), ("Cl2", "Cl", 2))),
    ("Ta2O5", "Ta2O5", (("tantalite", "Ta", 2),)),
    ("K2TaF7", "K2TaF7", (("Ta2O5", "Ta", 1), ("KCl", "K", 2), ("HF", "F", 7))),
    ("TiCl4", "TiCl4", (("titanium concentrate", "Ti", 1), ("Cl2", "Cl", 4))),
)
"""Product, formula as traded, and raw materials as (commodity, element, moles per formula).

All are made by the industrial route named, and all products are Chinese, so chlorine is priced in China.
Metals (sponge, germanium) are left out: their reduction is another kind of process."""


def _near(rows: pd.DataFrame, commodity: str, year: float) -> float:
    group = rows[rows["commodity"] == commodity]
    if commodity == "Cl2":
        group = group[group["name"].str.contains("China")]
    distance = (group["year"] - year).abs()
    return float(group.loc[distance < distance.min() + 1e-6, "usd_kg"].mean())


def fit_conversion(rows: pd.DataFrame) -> ConversionFit:
    """Fit the conversion cost per kilogram that minimises the squared log error over PAIRS.

    Each product weighs the same however many dates it has. Raises ValueError if a commodity is missing.
    """
    known = {name: str(group["formula"].iloc[0]) for name, group in rows.groupby("commodity")}
    found = []
    for product, formula, materials in PAIRS:
        mass = float(Composition(formula).weight)
        dates = rows[rows["commodity"] == product]
        if dates.empty:
            raise ValueError(f"no price of {product} is cited; the conversion cost needs it")
        for year, paid in zip(dates["year"], dates["usd_kg"], strict=True):
            raw = 0.0
            for commodity, element, moles in materials:
                composition = Composition(known[commodity])
                grams = float(composition.weight) / composition[element] * moles
                raw += grams * _near(rows, commodity, year) / mass
            found.append((product, year, raw, paid, 1 / len(dates)))
    pairs = pd.DataFrame(found, columns=["product", "year", "raw_usd_kg", "price_usd_kg", "weight"])
    raws, price, weight = pairs[["raw_usd_kg", "price_usd_kg", "weight"]].to_numpy(dtype=np.float64).T

    def error(cost: float) -> float:
        return float((weight * np.log(price / (raws + cost)) ** 2).sum())

    cost = float(minimize_scalar(error, bounds=(0.0, 20.0), method="bounded", options={"xatol": 1e-6}).x)
    free = weight.sum() - 1
    log_sd = math.sqrt(error(cost) / free)
    pairs["ln_residual"] = np.log(price / (raws + cost))
    ratio = np.log(price / raws)
    factor = float((weight * ratio).sum() / weight.sum())
    return ConversionFit(
        cost_usd_kg=cost,
        log_sd=log_sd,
        log_half_width=float(student.ppf(0.95, free)) * log_sd * math.sqrt(1 + 1 / weight.sum()),
        pairs=pairs,
        factor=math.exp(factor),
        factor_log_sd=math.sqrt(float((weight * (ratio - factor) ** 2).sum()) / free),
    )


def precursor_formula(cation: str, valence: int, anion: str) -> str:
    """Return the binary formula, for example ("Al", 3, "O") -> "Al2O3"."""
    divisor = math.gcd(valence, ANIONS[anion])
    cations, anions = ANIONS[anion] // divisor, valence // divisor
    return f"{cation}{cations if cations > 1 else ''}{anion}{anions if anions > 1 else ''}"


def build_precursors(rows: pd.DataFrame | None = None) -> BuiltTable:
    """Return the precursor table, one row for each cation, valence and anion that can be priced."""
    rows = price_rows() if rows is None else rows
    known, fit = commodities(rows), fit_conversion(rows)
    lines = []
    for cation, valences in VALENCES.items():
        for valence in valences:
            for anion in ANIONS:
                formula = precursor_formula(cation, valence, anion)
                if formula not in NOT_MADE:
                    lines.append(_row(known, fit, cation, valence, anion, formula))
    frame = pd.DataFrame(lines)
    return BuiltTable(frame, dict.fromkeys(("price_usd_kg", "low_usd_kg", "high_usd_kg"), 4) | {"year": 2})


def _row(
    known: dict[str, Commodity], fit: ConversionFit, cation: str, valence: int, anion: str, formula: str
) -> dict[str, object]:
    itself = known.get(formula)
    if itself is not None and not itself.ore:
        used, price, low, high, basis = [itself], itself.central, itself.low, itself.high, "cited"
    else:
        basis = "estimated"
        table = OXIDE_SOURCES if anion == "O" and cation in OXIDE_SOURCES else SOURCES
        used = [known[table[cation]]]
        if anion in ANION_SOURCES:
            used.append(known[ANION_SOURCES[anion]])
        price, low, high = (
            _estimate(fit, formula, cation, anion, used, side) for side in ("central", "low", "high")
        )
        # Market swing and conversion error are independent: their logarithms add in quadrature.
        low = price * math.exp(-math.hypot(math.log(price / low), fit.log_half_width))
        high = price * math.exp(math.hypot(math.log(high / price), fit.log_half_width))
        if cation in LOWER_GUIDES and table is SOURCES:
            guide = [known[LOWER_GUIDES[cation]], *used[1:]]
            low = min(low, _estimate(fit, formula, cation, anion, guide, "central"))
    return {
        "formula": formula,
        "cation": cation,
        "valence": valence,
        "anion": anion,
        "price_usd_kg": price,
        "low_usd_kg": low,
        "high_usd_kg": high,
        "year": used[0].year,
        "basis": basis,
        "made_from": " + ".join(c.name for c in used),
        "source_title": "; ".join(dict.fromkeys(t for c in used for t in c.titles)),
        "source_address": "; ".join(dict.fromkeys(a for c in used for a in c.addresses)),
        "note": NOTES.get(cation, "")
        if basis == "estimated" and not (cation == "Zr" and anion == "O")
        else "",
    }


def _estimate(
    fit: ConversionFit, formula: str, cation: str, anion: str, used: list[Commodity], side: str
) -> float:
    """Return raw materials plus conversion of one kilogram; side is central, low or high."""
    composition = Composition(formula)
    kilograms = float(composition.weight) / 1000
    raw = sum(
        commodity.per_mole(element) * composition[element] * float(getattr(commodity, side))
        for commodity, element in zip(used, (cation, anion), strict=False)
    )
    return raw / kilograms + fit.cost_usd_kg


def main() -> None:
    """Write datasets/tables/precursors.csv and fill in its card."""
    from softlyte.datasets.tables import tables_folder
    from softlyte.datasets.writing import seal_card, write_table

    folder = tables_folder()
    path = write_table(build_precursors(), folder / "precursors.csv")
    seal_card(folder / "precursors.yaml", path)


if __name__ == "__main__":
    main()
