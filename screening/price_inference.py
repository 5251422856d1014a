"""Prices worked back from the published cost of an electrolyte: marked, and never a check of themselves."""

from __future__ import annotations

import pandas as pd
from pymatgen.core import Composition

from softlyte.datasets.formulas import Compositions
from softlyte.screening.cost import Synthesis
from softlyte.screening.price_list import PriceList
from softlyte.screening.prices import PriceError
from softlyte.screening.recipes import Route, precursor_routes


def inferred_price(
    precursor: str,
    electrolyte: str,
    usd_kg: float,
    prices: PriceList,
    synthesis: Synthesis = "mechanochemical",
) -> pd.DataFrame:
    """Return the price of a precursor that makes an electrolyte cost what was published, as an own-price row.

    The recipe is the one of the prices as they are; every other price stays. The row has the basis
    `inferred` and names the electrolyte, so that `rests_on_itself` can refuse the check.

    Args:
        precursor: formula as the recipe writes it, such as "ZrCl4".
        electrolyte: formula.
        usd_kg: published precursor cost, USD per kilogram.
        prices: what the other precursors cost.
        synthesis: route of the recipe.

    Raises PriceError if the recipe does not hold the precursor, or the others already cost more.
    """
    (route,) = precursor_routes(Compositions.from_formulas([electrolyte]), prices.table(), synthesis)
    if precursor not in route.moles:
        raise PriceError(
            f"the recipe of {electrolyte} ({route or route.reason}) does not use {precursor}; "
            "infer the price of one of its precursors"
        )
    others = sum(usd for name, usd in route.usd.items() if name != precursor)
    left = usd_kg * route.product_g / 1000 - others
    if left <= 0:
        raise PriceError(
            f"the other precursors of {electrolyte} already cost "
            f"{others / route.product_g * 1000:.3g} USD/kg, not less than {usd_kg:g}; "
            f"no price of {precursor} can be inferred"
        )
    kilograms = route.moles[precursor] * float(Composition(precursor).weight) / 1000
    row = {"formula": precursor, "price_per_kg": left / kilograms, "basis": "inferred"}
    return pd.DataFrame([row | {"inferred_from": electrolyte, "source": f"published cost of {electrolyte}"}])


def rests_on_itself(route: Route, electrolyte: str, prices: PriceList) -> bool:
    """Tell whether a recipe's price was inferred from the cost of this very electrolyte."""
    origins = [str(prices.row(name)["inferred_from"]) for name in route.moles]
    named = [origin for origin in origins if origin]
    if not named:
        return False
    keys = Compositions.from_formulas([electrolyte, *named]).keys()
    return bool((keys[1:] == keys[0]).any())
