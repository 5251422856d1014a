"""What compositions cost and how they would be made: the function behind `softlyte cost`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from softlyte.datasets.columns import COST_COLUMNS, PHASES
from softlyte.datasets.errors import UserError
from softlyte.datasets.formulas import MAX_ATOMIC_NUMBER, Compositions
from softlyte.models.predictions import PropertyPrediction
from softlyte.models.predictor import Predictor
from softlyte.screening.cost import precursor_cost
from softlyte.screening.cost_reference import (
    REFERENCE_YEAR,
    probability_below,
    sulfide_price,
    sulfide_road_map,
)
from softlyte.screening.costing import Costing, default_costing
from softlyte.screening.evaluate import PropertyPredictor
from softlyte.screening.inputs import InputRows, RejectedRow, check_rows, rows_from_formulas, usable
from softlyte.screening.precursor_policy import UNPRICED
from softlyte.screening.price_inference import rests_on_itself
from softlyte.screening.price_list import PriceList
from softlyte.screening.recipes import Route, alternative_routes
from softlyte.screening.supply_risk import supply_risk

BATCH_G = 10.0
_DENSITY = ("density_g_cm3", "density_g_cm3_lower", "density_g_cm3_upper")
WITHIN = 0.2
"""Alternatives cost at most this share more."""

ALTERNATIVES = 5
"""Alternatives that are shown at most."""

RECIPE_COLUMNS = (
    "formula",
    "precursor",
    "moles",
    "grams",
    "cost_share",
    "price_usd_kg",
    "low_usd_kg",
    "high_usd_kg",
    "basis",
    "year",
    "grade",
    "made_from",
    "source_title",
)


class QuotationError(UserError):
    """An option of a quotation that cannot be used; the message names it and the remedy."""


@dataclass(frozen=True)
class Quotations:
    """Costs and recipes of the usable rows.

    Attributes:
        table: COST_COLUMNS (and CURRENCY_COLUMNS if asked for), a row for each formula and phase.
        recipes: RECIPE_COLUMNS, a row for each formula and precursor: moles for one formula unit, grams for
            the batch, and where its price is from.
        routes: formula -> recipe.
        rejected: rows that were refused or repeat another.
    """

    table: pd.DataFrame
    recipes: pd.DataFrame
    routes: dict[str, Route]
    rejected: list[RejectedRow]


def quote(
    formulas: Sequence[str],
    phase: str | None = None,
    costing: Costing | None = None,
    density_g_cm3: float | None = None,
    batch_g: float = BATCH_G,
    reference_year: int = REFERENCE_YEAR,
    predictor: PropertyPredictor | None = None,
    weights: Path | str | None = None,
    device: str = "auto",
) -> Quotations:
    """Return cost, recipe, alternatives and supply risk of formulas.

    Args:
        formulas: such as ["LiAlCl2.5O0.75"].
        phase: "crystal", "glass" or None for both; decides the density.
        costing: from `softlyte.screening.costing.load_costing`; None for the shipped prices. A currency
            other than USD adds CURRENCY_COLUMNS.
        density_g_cm3: in place of the predicted one.
        batch_g: mass of product that the recipe is for, grams.
        reference_year: of the sulfide price that costs are compared with, 2023 to 2030.
        predictor: an ensemble already loaded; None loads `weights` if a density is needed.
        weights: folder of trained weights; None for the shipped ones.
        device: "auto", "cpu" or "cuda", for loading weights.

    Raises:
        InputError: a formula cannot be used; the message names the first. `quote_rows` skips them.
        UserError: an option or the prices cannot be used.
    """
    quotations = quote_rows(
        rows_from_formulas(formulas),
        phase,
        costing,
        density_g_cm3,
        batch_g,
        reference_year,
        predictor,
        weights,
        device,
    )
    usable(quotations.rejected)
    return quotations


def quote_rows(
    rows: InputRows,
    phase: str | None = None,
    costing: Costing | None = None,
    density_g_cm3: float | None = None,
    batch_g: float = BATCH_G,
    reference_year: int = REFERENCE_YEAR,
    predictor: PropertyPredictor | None = None,
    weights: Path | str | None = None,
    device: str = "auto",
) -> Quotations:
    """Quote the rows that can be used; arguments as in `quote`, a phase in the rows goes before `phase`."""
    for name, value in (("density", density_g_cm3), ("batch", batch_g)):
        if value is not None and not 0 < value < np.inf:
            raise QuotationError(f"the {name} is {value:g}; give a number above 0")
    first, last = sulfide_road_map()["year"].iloc[[0, -1]]
    if not first <= reference_year <= last:
        raise QuotationError(
            f"the reference year is {reference_year:g}; the price of sulfides is known from {first} to {last}"
        )
    costing = default_costing() if costing is None else costing
    prices, table, route = costing.prices, costing.table, costing.route
    inputs = check_rows(rows, np.ones(MAX_ATOMIC_NUMBER + 1, dtype=bool), phase)
    compositions, codes = inputs.compositions, inputs.phase
    cost = costing.cost(compositions)
    if predictor is None and density_g_cm3 is None and len(codes):
        predictor = Predictor.load(weights, device)
    density = _density(compositions, codes, density_g_cm3, predictor)
    names = compositions.formulas()
    reference = sulfide_price(reference_year)[1]
    risk = supply_risk(compositions)
    costs = costing.columns(cost, density)
    currency = costing.currency_columns(costs)
    columns: dict[str, object] = {
        "formula": names,
        "phase": np.array(PHASES)[codes],
        **costs,
        "cost_low_usd_kg": precursor_cost(compositions, prices.table("low"), route).usd_kg,
        "cost_high_usd_kg": precursor_cost(compositions, prices.table("high"), route).usd_kg,
        **dict(zip(_DENSITY, (density.median(), *density.interval()), strict=True)),
        "sulfide_usd_kg": np.full(len(names), reference),
        "p_below_sulfide_price": probability_below(cost, reference),
        "hhi_production": risk.production,
        "hhi_reserve": risk.reserve,
    }
    distinct = list(dict.fromkeys(names))
    places = [names.index(name) for name in distinct]
    unique = compositions[np.array(places, dtype=np.int64)]
    routes = dict(zip(distinct, costing.routes(unique), strict=True))
    texts = {
        name: _texts(
            name,
            routes[name],
            alternative_routes(unique[position : position + 1], table, route, WITHIN, ALTERNATIVES),
            prices,
            batch_g,
        )
        for position, name in enumerate(distinct)
    }
    for column in ("dearest_precursor", "dearest_share", "precursor_route", "batch_recipe", "byproducts"):
        columns[column] = [texts[name][column] for name in names]
    columns["alternative_routes"] = [texts[name]["alternative_routes"] for name in names]
    columns["flags"] = [
        "; ".join(filter(None, (str(texts[name]["flags"]), "" if known else "no density: unknown element")))
        for name, known in zip(names, ~np.isnan(density.median()), strict=True)
    ]
    frame = pd.DataFrame(columns | currency)[[*COST_COLUMNS, *currency]]
    return Quotations(frame, _recipe_rows(routes, prices, batch_g), routes, inputs.rejected)


def _density(
    compositions: Compositions,
    phase: NDArray[np.uint8],
    given: float | None,
    predictor: PropertyPredictor | None,
) -> PropertyPrediction:
    """Return the density, the given one without scatter; NaN for elements outside the training data."""
    n = len(compositions)
    if given is not None:
        return PropertyPrediction(np.full((1, n), given), np.zeros((1, n)), "identity")
    if predictor is None:  # there is no row
        return PropertyPrediction(np.zeros((1, 0)), np.zeros((1, 0)), "identity")
    predicted = predictor.predict(compositions, phase)
    density = predicted["density_g_cm3"]
    mean = np.where(predicted.unknown_elements, np.nan, density.member_mean)
    return PropertyPrediction(mean, density.member_sd, density.transform)


def _texts(
    name: str, route: Route, others: list[Route], prices: PriceList, batch_g: float
) -> dict[str, object]:
    """Return the text columns of one composition."""
    dearest, share = route.dearest
    extra = [f"{other} (+{max(other.usd_kg / route.usd_kg - 1, 0.0):.0%})" for other in others]
    return {
        "dearest_precursor": dearest,
        "dearest_share": share,
        "precursor_route": str(route),
        "batch_recipe": masses_text(route.batch(batch_g)),
        "byproducts": masses_text(route.leaving(batch_g)),
        "alternative_routes": "; ".join(extra),
        "flags": _flags(name, route, prices),
    }


def _flags(name: str, route: Route, prices: PriceList) -> str:
    if route.reason:
        why = [note for symbol, note in UNPRICED.items() if symbol in route.reason.split()]
        return "; ".join([f"no cost: {route.reason}", *why])
    flags = []
    for basis in ("estimated", "inferred"):
        of_basis = [precursor for precursor, own in route.basis.items() if own == basis]
        if of_basis:
            flags.append(f"cost: {basis} price of {', '.join(of_basis)}")
    if rests_on_itself(route, name, prices):
        flags.append("a price was inferred from this electrolyte's own published cost: no check of it")
    return "; ".join(flags)


def _recipe_rows(routes: dict[str, Route], prices: PriceList, batch_g: float) -> pd.DataFrame:
    lines = []
    for formula, route in routes.items():
        grams, total = route.batch(batch_g), sum(route.usd.values())
        for precursor, moles in route.moles.items():
            row = prices.row(precursor)
            provenance = {column: row[column] for column in RECIPE_COLUMNS if column in row}
            lines.append(
                provenance
                | {
                    "formula": formula,
                    "precursor": precursor,
                    "moles": moles,
                    "grams": grams[precursor],
                    "cost_share": route.usd[precursor] / total,
                }
            )
    return pd.DataFrame(lines, columns=list(RECIPE_COLUMNS))


def masses_text(masses: dict[str, float]) -> str:
    """Return "1.1104 g Li2O + 8.2587 g AlCl3"."""
    return " + ".join(f"{grams:.4f} g {name}" for name, grams in masses.items())
