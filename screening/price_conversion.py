"""Cost of turning raw materials into a refined compound, fitted on compounds that have both prices.

Two processes. *Conversion*: a salt or oxide from its raw materials adds a constant cost per kilogram of
product (`fit_conversion`). *Reduction*: a metal sponge is made from its chloride (Kroll process), so the
chloride is worth the sponge less the cost of the reduction (`reduction_cost`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from pymatgen.core import Composition
from scipy.optimize import minimize_scalar
from scipy.stats import t as student


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
Metals are left out: their reduction is another kind of process, see REDUCTIONS."""


REDUCTIONS: tuple[tuple[str, str, str], ...] = (("titanium sponge, China", "Ti", "TiCl4"),)
"""Metal sponge, its element, and the chloride that it is made from; both priced on one day in one market."""


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


def reduction_cost(rows: pd.DataFrame) -> float:
    """Return the cost of reducing a chloride to sponge in USD per kilogram of metal, mean over REDUCTIONS.

    Price of the sponge less that of the chloride in it, both per kilogram of metal at the chloride's date.
    Raises ValueError if a commodity is missing.
    """
    costs = []
    for sponge, element, chloride in REDUCTIONS:
        dates = rows.loc[rows["commodity"] == chloride, ["year", "usd_kg"]]
        if dates.empty or not (rows["commodity"] == sponge).any():
            raise ValueError(f"the reduction cost needs a cited price of {sponge} and of {chloride}")
        share = Composition(chloride).get_wt_fraction(element)
        for year, paid in dates.to_numpy(dtype=np.float64):
            costs.append(_near(rows, sponge, year) - paid / share)
    return float(np.mean(costs))
