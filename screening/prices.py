"""Precursor prices as arrays: what one mole of charge costs in each binary precursor."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pymatgen.core import Element

from softlyte.datasets.errors import UserError
from softlyte.datasets.formulas import MAX_ATOMIC_NUMBER, Compositions
from softlyte.datasets.tables import load_table
from softlyte.screening.precursor_policy import ANIONS

FloatArray = NDArray[np.float64]

MAX_VALENCE = 6
MAX_STATES = 3

INTERVAL_WIDTH = 2 * 1.6448536269514722
"""Standard deviations between the low and the high price, a 90% interval."""


class PriceError(UserError):
    """A price table that cannot be used; the message names the row and the remedy."""


@dataclass(frozen=True)
class PriceTable:
    """Prices of binary precursors, indexed by atomic number, valence and anion (order of ANIONS).

    Attributes:
        states: [104, 3] valences in which an element has prices, the common one first, 0 where none.
        usd_per_charge: [104, 7, 6] USD for the precursor that exchanges one mole of charge, NaN if unpriced.
        log_sd: [104, 7, 6] standard deviation of ln(price).
        charges: [104, 7, 6] moles of charge exchanged in one mole of precursor (6 for Al2O3), 0 if unpriced.
        names: [104, 7, 6] formula of the precursor, "" if unpriced.
        estimated: [104, 7, 6] True unless the price of the compound itself is cited.
    """

    states: NDArray[np.int64]
    usd_per_charge: FloatArray
    log_sd: FloatArray
    charges: FloatArray
    names: NDArray[np.object_]
    estimated: NDArray[np.bool_]

    @classmethod
    def from_frame(cls, frame: pd.DataFrame) -> PriceTable:
        """Build from rows with formula, cation, valence, anion, price_usd_kg, low_usd_kg, high_usd_kg, basis.

        Raises PriceError naming the first row that is unreadable, not positive or out of order.
        """
        shape = (MAX_ATOMIC_NUMBER + 1, MAX_VALENCE + 1, len(ANIONS))
        states = np.zeros((MAX_ATOMIC_NUMBER + 1, MAX_STATES), dtype=np.int64)
        usd, log_sd, charges = np.full(shape, np.nan), np.full(shape, np.nan), np.zeros(shape)
        names, estimated = np.full(shape, "", dtype=object), np.zeros(shape, dtype=bool)
        order = list(ANIONS)
        masses = Compositions.from_formulas(frame["formula"]).masses()
        text = frame[["formula", "cation", "anion", "basis"]].to_numpy(dtype=str)
        usd_kg = frame[["low_usd_kg", "price_usd_kg", "high_usd_kg"]].to_numpy(dtype=np.float64)
        valences = frame["valence"].to_numpy(dtype=np.int64)
        for row, (formula, cation, anion, basis) in enumerate(text):
            low, price, high = usd_kg[row]
            if not 0 < low <= price <= high < np.inf:
                raise PriceError(
                    f"{formula} has low, central and high prices {low:g}, {price:g}, {high:g} USD/kg; "
                    "give low <= price <= high, all above 0"
                )
            z, valence = Element(cation).Z, int(valences[row])
            if anion not in order or not 1 <= valence <= MAX_VALENCE:
                raise PriceError(
                    f"the precursor {formula} has valence {valence} and anion {anion!r}; "
                    f"valences are 1 to {MAX_VALENCE} and anions {', '.join(order)}"
                )
            if valence not in states[z]:
                free = np.flatnonzero(states[z] == 0)
                if not len(free):
                    raise PriceError(f"{cation} has more than {MAX_STATES} valences; drop the rarest")
                states[z, free[0]] = valence
            at = z, valence, order.index(anion)
            charges[at] = np.lcm(valence, ANIONS[anion])
            usd[at] = price * masses[row] / 1000 / charges[at]
            log_sd[at] = np.log(high / low) / INTERVAL_WIDTH
            names[at], estimated[at] = formula, basis != "cited"
        return cls(states, usd, log_sd, charges, names, estimated)


@lru_cache(maxsize=1)
def default_prices() -> PriceTable:
    """Return the shipped prices (table `precursors`), read once."""
    return PriceTable.from_frame(load_table("precursors"))
