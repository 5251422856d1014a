"""What compositions cost and how they would be made: the function behind `softlyte cost`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from softlyte.datasets.columns import COST_COLUMNS, PHASES
from softlyte.datasets.errors import UserError
from softlyte.datasets.formulas import MAX_ATOMIC_NUMBER, Compositions
from softlyte.models.predictions import PropertyPrediction
from softlyte.models.predictor import Predictor
from softlyte.screening.cost import Synthesis, check_synthesis, per_litre, precursor_cost
from softlyte.screening.cost_reference import REFERENCE_YEAR, probability_below, sulfide_price
from softlyte.screening.evaluate import PropertyPredictor
from softlyte.screening.exchange import per_usd
from softlyte.screening.inputs import InputError, InputRows, RejectedRow, check_rows, rows_from_formulas
from softlyte.screening.precursor_policy import UNPRICED
from softlyte.screening.price_inference import rests_on_itself
from softlyte.screening.price_list import PriceList, load_prices
from softlyte.screening.recipes import Route, alternative_routes, precursor_routes
from softlyte.screening.supply_risk import supply_risk

THICKNESS_UM = 50.0
BATCH_G = 10.0
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
        rejected: rows that were refused.
    """

    table: pd.DataFrame
    recipes: pd.DataFrame
    routes: dict[str, Route]
    rejected: list[RejectedRow]


def quote(
    formulas: Sequence[str],
    phase: str | None = None,
    prices: PriceList | None = None,
    synthesis: Synthesis = "mechanochemical",
    density_g_cm3: float | None = None,
    thickness_um: float = THICKNESS_UM,
    batch_g: float = BATCH_G,
    reference_year: int = REFERENCE_YEAR,
    currency: str = "USD",
    predictor: PropertyPredictor | None = None,
) -> Quotations:
    """Return cost, recipe, alternatives and supply risk of formulas.

    Args:
        formulas: such as ["LiAlCl2.5O0.75"].
        phase: "crystal", "glass" or None for both; decides the density.
        prices: from `load_prices`; None for the shipped ones.
        synthesis: "mechanochemical", or "hydrate" to let H2O, HCl and CO2 leave.
        density_g_cm3: in place of the predicted one.
        thickness_um: of the layer that USD/m2 is of, micrometres.
        batch_g: mass of product that the recipe is for, grams.
        reference_year: of the sulfide price that costs are compared with.
        currency: other than USD adds CURRENCY_COLUMNS, at the average exchange rate of the prices' year.
        predictor: an ensemble already loaded; None loads the shipped weights if a density is needed.

    Raises:
        InputError: a formula cannot be used; the message names the first. `quote_rows` skips them.
        UserError: an option or the prices cannot be used.
    """
    quotations = quote_rows(
        rows_from_formulas(formulas),
        phase,
        prices,
        synthesis,
        density_g_cm3,
        thickness_um,
        batch_g,
        reference_year,
        currency,
        predictor,
    )
    if quotations.rejected:
        first = quotations.rejected[0]
        raise InputError(f"formula {first.row}, {first.value!r}: {first.reason}")
    return quotations


def quote_rows(
    rows: InputRows,
    phase: str | None = None,
    prices: PriceList | None = None,
    synthesis: Synthesis = "mechanochemical",
    density_g_cm3: float | None = None,
    thickness_um: float = THICKNESS_UM,
    batch_g: float = BATCH_G,
    reference_year: int = REFERENCE_YEAR,
    currency: str = "USD",
    predictor: PropertyPredictor | None = None,
) -> Quotations:
    """Quote the rows that can be used; arguments as in `quote`, a phase in the rows goes before `phase`."""
    check_synthesis(synthesis)
    for name, value in (("density", density_g_cm3), ("thickness", thickness_um), ("batch", batch_g)):
        if value is not None and not 0 < value < np.inf:
            raise QuotationError(f"the {name} is {value:g}; give a number above 0")
    prices = load_prices() if prices is None else prices
    rate = per_usd(currency, prices.year)
    inputs = check_rows(rows, np.ones(MAX_ATOMIC_NUMBER + 1, dtype=bool), phase)
    compositions, codes = inputs.compositions, inputs.phase
    table = prices.table()
    cost = precursor_cost(compositions, table, synthesis)
    density = _density(compositions, codes, density_g_cm3, predictor)
    names = compositions.formulas()
    reference = sulfide_price(reference_year)[1]
    risk = supply_risk(compositions)
    scale = thickness_um / 1000  # one square metre of one micrometre holds a thousandth of a litre
    litre = per_litre(cost, density)
    columns: dict[str, object] = {
        "formula": names,
        "phase": np.array(PHASES)[codes],
        **_ends("cost_usd_kg", (cost.usd_kg, *cost.interval())),
        "cost_low_usd_kg": precursor_cost(compositions, prices.table("low"), synthesis).usd_kg,
        "cost_high_usd_kg": precursor_cost(compositions, prices.table("high"), synthesis).usd_kg,
        **_ends("density_g_cm3", (density.median(), *density.interval())),
        **_ends("cost_usd_l", litre),
        **_ends("cost_usd_m2", (litre[0] * scale, litre[1] * scale, litre[2] * scale)),
        "sulfide_usd_kg": np.full(len(names), reference),
        "p_below_sulfide_price": probability_below(cost, reference),
        "hhi_production": risk.production,
        "hhi_reserve": risk.reserve,
    }
    distinct = list(dict.fromkeys(names))
    places = [names.index(name) for name in distinct]
    unique = compositions[np.array(places, dtype=np.int64)]
    routes = dict(zip(distinct, precursor_routes(unique, table, synthesis), strict=True))
    texts = {
        name: _texts(
            name,
            routes[name],
            alternative_routes(unique[position : position + 1], table, synthesis, WITHIN, ALTERNATIVES),
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
    frame = pd.DataFrame(columns)[list(COST_COLUMNS)]
    if currency.upper() != "USD":
        frame["currency"] = currency.upper()
        frame["cost_currency_kg"], frame["cost_currency_l"] = cost.usd_kg * rate, litre[0] * rate
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
    if n == 0:
        return PropertyPrediction(np.zeros((1, 0)), np.zeros((1, 0)), "identity")
    model = Predictor.load() if predictor is None else predictor
    predicted = model.predict(compositions, phase)
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
        "batch_recipe": _grams(route.batch(batch_g)),
        "byproducts": _grams(route.leaving(batch_g)),
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


def _grams(masses: dict[str, float]) -> str:
    """Return "1.1104 g Li2O + 8.2587 g AlCl3"."""
    return " + ".join(f"{grams:.4f} g {name}" for name, grams in masses.items())


def _ends(
    name: str, values: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]
) -> dict[str, object]:
    return dict(zip((name, f"{name}_lower", f"{name}_upper"), values, strict=True))
