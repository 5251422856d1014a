"""Make the tables `precursors` and `precursors_hydrate`: price, interval and basis of each precursor.

Run `python -m softlyte.screening.price_model` to write them again from the cited prices.

Conventions, besides those of `commodities`:

- A precursor that is itself cited, not as an ore, keeps that price (basis `cited`). If the quotation lies
  more than MOVED_AFTER from the date, the price moves by what its raw materials cost more or less then.
- Any other is `estimated`: raw materials per kilogram (the cation's commodity per mole of cation, the
  anion's commodity per mole of anion, oxygen free) plus a conversion cost per kilogram of product, fitted
  on pairs of a product and its raw materials that both have a cited price (`price_conversion`).
- Metals, refined oxides and carbonates are preferred to ores. A metal that is made from its chloride
  (zirconium and hafnium sponge) prices that chloride as the metal less the cost of its reduction.
- An anhydrous halide cannot be made by drying a hydrate (ZrOCl2.8H2O ends as ZrO2), so hydrates price
  oxides only; as precursors that give off water they stand in the table `precursors_hydrate`.
"""

from __future__ import annotations

import math

import pandas as pd
from pymatgen.core import Composition

from softlyte.datasets.writing import BuiltTable
from softlyte.screening.commodities import (
    REFERENCE_YEAR,
    Commodity,
    central_price,
    commodities,
    price_rows,
    year_text,
)
from softlyte.screening.precursor_policy import (
    ANION_SOURCES,
    ANIONS,
    HYDRATES,
    LOWER_GUIDES,
    NOT_MADE,
    NOTES,
    OXIDE_SOURCES,
    REDUCED_FROM_CHLORIDE,
    SOURCES,
    VALENCES,
)
from softlyte.screening.price_conversion import ConversionFit, fit_conversion, reduction_cost

MOVED_AFTER = 1.0
"""Years between a quotation and the date asked for, above which it follows its raw materials."""

DECIMALS = dict.fromkeys(("price_usd_kg", "low_usd_kg", "high_usd_kg"), 4) | {"year": 2}


def precursor_formula(cation: str, valence: int, anion: str) -> str:
    """Return the binary formula, for example ("Al", 3, "O") -> "Al2O3"."""
    divisor = math.gcd(valence, ANIONS[anion])
    cations, anions = ANIONS[anion] // divisor, valence // divisor
    return f"{cation}{cations if cations > 1 else ''}{anion}{anions if anions > 1 else ''}"


def build_precursors(rows: pd.DataFrame | None = None, year: float = REFERENCE_YEAR) -> BuiltTable:
    """Return the price of each binary precursor at a date, one row for each cation, valence and anion.

    Args:
        rows: cited prices; None for all of the tables.
        year: decimal year, 2024.5 is the middle (or the annual average) of 2024.
    """
    rows = price_rows() if rows is None else rows
    model = _Model(rows, year)
    lines = []
    for cation, valences in VALENCES.items():
        for valence in valences:
            for anion in ANIONS:
                formula = precursor_formula(cation, valence, anion)
                if formula not in NOT_MADE:
                    lines.append(model.row(cation, valence, anion, formula))
    return BuiltTable(pd.DataFrame(lines), DECIMALS)


def build_hydrates(rows: pd.DataFrame | None = None, year: float = REFERENCE_YEAR) -> BuiltTable:
    """Return the price of each precursor that gives off water or carbon dioxide (HYDRATES), at a date.

    All are cited. A price swings at least as much as the commodity that brings the same cation elsewhere:
    lithium hydroxide was quoted at few dates, yet it follows the carbonate.

    Arguments as in `build_precursors`.
    """
    model = _Model(price_rows() if rows is None else rows, year)
    lines = []
    for formula, (name, commodity, cation) in HYDRATES.items():
        price, source = model.known[commodity], model.known[SOURCES[cation]]
        central, note = model.moved(price, formula, cation, "")
        lines.append(
            {
                "formula": formula,
                "name": name,
                "cation": cation,
                "price_usd_kg": central,
                "low_usd_kg": central * min(price.low / price.central, source.low / source.central),
                "high_usd_kg": central * max(price.high / price.central, source.high / source.central),
                **_provenance([price], "cited"),
                "note": note,
            }
        )
    return BuiltTable(pd.DataFrame(lines), DECIMALS)


class _Model:
    """Prices of commodities at a date and the two fitted costs, from which precursors are priced."""

    def __init__(self, rows: pd.DataFrame, year: float) -> None:
        self.rows, self.year = rows, year
        self.known = commodities(rows, year)
        self.fit: ConversionFit = fit_conversion(rows)
        self.reduction = reduction_cost(rows)

    def row(self, cation: str, valence: int, anion: str, formula: str) -> dict[str, object]:
        """Return one row of the table `precursors`."""
        itself = self.known.get(formula)
        note = ""
        if itself is not None and not itself.ore:
            used, basis = [itself], "cited"
            price, note = self.moved(itself, formula, cation, anion)
            low, high = (price * end / itself.central for end in (itself.low, itself.high))
        else:
            basis = "estimated"
            of_oxide = anion == "O" and cation in OXIDE_SOURCES
            used = [self.known[(OXIDE_SOURCES if of_oxide else SOURCES)[cation]]]
            if anion in ANION_SOURCES:
                used.append(self.known[ANION_SOURCES[anion]])
            price, low, high = (
                self._estimate(formula, cation, anion, used, side) for side in ("central", "low", "high")
            )
            # Market swing and conversion error are independent: their logarithms add in quadrature.
            low = price * math.exp(-math.hypot(math.log(price / low), self.fit.log_half_width))
            high = price * math.exp(math.hypot(math.log(high / price), self.fit.log_half_width))
            if cation in LOWER_GUIDES and not of_oxide:
                guide = [self.known[LOWER_GUIDES[cation]], *used[1:]]
                low = min(low, self._estimate(formula, cation, anion, guide, "central"))
            note = "" if of_oxide else NOTES.get(cation, "")
        return {
            "formula": formula,
            "cation": cation,
            "valence": valence,
            "anion": anion,
            "price_usd_kg": price,
            "low_usd_kg": low,
            "high_usd_kg": high,
            **_provenance(used, basis),
            "note": note,
        }

    def moved(self, quoted: Commodity, formula: str, cation: str, anion: str) -> tuple[float, str]:
        """Return the price of a quoted compound at the date, USD/kg, and a note if it had to move."""
        if abs(quoted.year - self.year) <= MOVED_AFTER or quoted.name == SOURCES[cation]:
            return quoted.central, ""
        composition, raw = Composition(formula), 0.0
        for name, element in ((SOURCES[cation], cation), (ANION_SOURCES.get(anion, ""), anion)):
            if name:
                change = self.known[name].central - central_price(self.rows, name, quoted.year)
                raw += self.known[name].per_mole(element) * composition[element] * change
        # Even where raw materials were far cheaper, half the quotation is the least.
        price = max(quoted.central + raw / _kilograms(formula), quoted.central / 2)
        return (
            price,
            f"quoted {year_text(quoted.year)}, moved with its raw materials to {year_text(self.year)}",
        )

    def _estimate(self, formula: str, cation: str, anion: str, used: list[Commodity], side: str) -> float:
        """Return raw materials plus conversion of one kilogram; side is central, low or high."""
        composition = Composition(formula)
        raw = 0.0
        for commodity, element in zip(used, (cation, anion), strict=False):
            price = float(getattr(commodity, side))
            if element in REDUCED_FROM_CHLORIDE and commodity.name == element:
                price -= self.reduction
                if anion == "Cl":
                    # What the reduction started from is the chloride itself, chlorine and all.
                    return price * composition.get_wt_fraction(element)
            raw += commodity.per_mole(element) * composition[element] * price
        return raw / _kilograms(formula) + self.fit.cost_usd_kg


def _kilograms(formula: str) -> float:
    """Return the mass of one mole."""
    return float(Composition(formula).weight) / 1000


def _provenance(used: list[Commodity], basis: str) -> dict[str, object]:
    """Return the columns that say where a price is from; year and grade are of the cation's commodity."""
    return {
        "year": used[0].year,
        "grade": used[0].grade,
        "basis": basis,
        "made_from": " + ".join(c.name for c in used),
        "source_title": "; ".join(dict.fromkeys(t for c in used for t in c.titles)),
        "source_address": "; ".join(dict.fromkeys(a for c in used for a in c.addresses)),
    }


def main() -> None:
    """Write precursors.csv and precursors_hydrate.csv into datasets/tables and fill in their cards."""
    from softlyte.datasets.tables import tables_folder
    from softlyte.datasets.writing import seal_card, write_table

    folder = tables_folder()
    for name, built in (("precursors", build_precursors()), ("precursors_hydrate", build_hydrates())):
        seal_card(folder / f"{name}.yaml", write_table(built, folder / f"{name}.csv"))


if __name__ == "__main__":
    main()
