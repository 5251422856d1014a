"""Precursor prices as arrays: what one mole of charge costs in each binary precursor."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pymatgen.core import Element

from softlyte.datasets.errors import UserError
from softlyte.datasets.formulas import MAX_ATOMIC_NUMBER, Compositions, atomic_masses
from softlyte.datasets.tables import load_table
from softlyte.screening.precursor_policy import ANIONS

FloatArray = NDArray[np.float64]

MAX_VALENCE = 6
MAX_STATES = 3

INTERVAL_WIDTH = 2 * 1.6448536269514722
"""Standard deviations between the low and the high price, a 90% interval."""

FIRM_BASES = ("cited", "user")
"""Bases on which a price is that of the compound itself; any other is an estimate or inferred."""


class PriceError(UserError):
    """A price table that cannot be used; the message names the row and the remedy."""


@dataclass(frozen=True)
class Hydrate:
    """A precursor that gives off water, hydrogen chloride or carbon dioxide.

    Attributes:
        formula: as traded.
        cation: atomic number of its cation.
        amounts: [104] atoms of each element in one formula unit.
        usd_per_mole, log_sd: median price and standard deviation of ln(price).
        basis: cited | user | inferred.
    """

    formula: str
    cation: int
    amounts: FloatArray
    usd_per_mole: float
    log_sd: float
    basis: str


@dataclass(frozen=True)
class PriceTable:
    """Prices of binary precursors, indexed by atomic number, valence and anion (order of ANIONS).

    Attributes:
        states: [104, 3] valences in which an element has prices, the common one first, 0 where none.
        usd_per_charge: [104, 7, 6] USD for the precursor that exchanges one mole of charge, NaN if unpriced.
        log_sd: [104, 7, 6] standard deviation of ln(price).
        charges: [104, 7, 6] moles of charge exchanged in one mole of precursor (6 for Al2O3), 0 if unpriced.
        names: [104, 7, 6] formula of the precursor, "" if unpriced.
        basis: [104, 7, 6] cited | estimated | inferred | user, "" if unpriced.
        hydrates: precursors of the hydrate route.
    """

    states: NDArray[np.int64]
    usd_per_charge: FloatArray
    log_sd: FloatArray
    charges: FloatArray
    names: NDArray[np.object_]
    basis: NDArray[np.object_]
    hydrates: tuple[Hydrate, ...] = ()

    @classmethod
    def from_frame(cls, frame: pd.DataFrame, hydrates: pd.DataFrame | None = None) -> PriceTable:
        """Build from rows with formula, cation, valence, anion, price_usd_kg, low_usd_kg, high_usd_kg, basis.

        Args:
            frame: binary precursors.
            hydrates: precursors of the hydrate route: the same columns without valence and anion.

        Raises PriceError naming the first row that is unreadable, not positive or out of order.
        """
        shape = (MAX_ATOMIC_NUMBER + 1, MAX_VALENCE + 1, len(ANIONS))
        states = np.zeros((MAX_ATOMIC_NUMBER + 1, MAX_STATES), dtype=np.int64)
        usd, log_sd, charges = np.full(shape, np.nan), np.full(shape, np.nan), np.zeros(shape)
        names, bases = np.full(shape, "", dtype=object), np.full(shape, "", dtype=object)
        order = list(ANIONS)
        text = frame[["formula", "cation", "anion", "basis"]].to_numpy(dtype=str)
        median, spread = _checked(frame)
        valences = frame["valence"].to_numpy(dtype=np.int64)
        for row, (formula, cation, anion, basis) in enumerate(text):
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
            usd[at], log_sd[at] = median[row] / charges[at], spread[row]
            names[at], bases[at] = formula, basis
        wet = () if hydrates is None else _hydrates(hydrates)
        return cls(states, usd, log_sd, charges, names, bases, wet)

    def usd_per_kg_of_element(self) -> FloatArray:
        """Return USD per kilogram of each cation in its cheapest binary precursor, [104], NaN if unpriced."""
        charge = np.arange(MAX_VALENCE + 1)[None, :, None]
        with np.errstate(divide="ignore", invalid="ignore"):
            usd = self.usd_per_charge * charge / atomic_masses()[:, None, None] * 1000
        least = np.where(np.isnan(usd), np.inf, usd).min(axis=(1, 2))
        return np.where(np.isfinite(least), least, np.nan)


def _checked(frame: pd.DataFrame) -> tuple[FloatArray, FloatArray]:
    """Return USD per mole and standard deviation of ln(price), [N]; raises PriceError for a bad price."""
    usd_kg = frame[["low_usd_kg", "price_usd_kg", "high_usd_kg"]].to_numpy(dtype=np.float64)
    low, price, high = usd_kg.T
    for row in np.flatnonzero(~((low > 0) & (low <= price) & (price <= high) & (high < np.inf))):
        raise PriceError(
            f"{frame['formula'].iloc[row]} has low, central and high prices "
            f"{low[row]:g}, {price[row]:g}, {high[row]:g} USD/kg; "
            "give low <= price <= high, all above 0"
        )
    masses = Compositions.from_formulas(frame["formula"]).masses()
    return price * masses / 1000, np.log(high / low) / INTERVAL_WIDTH


def _hydrates(frame: pd.DataFrame) -> tuple[Hydrate, ...]:
    median, spread = _checked(frame)
    compositions = Compositions.from_formulas(frame["formula"])
    amounts = np.zeros((len(frame), MAX_ATOMIC_NUMBER + 1))
    np.put_along_axis(amounts, compositions.atomic_numbers.astype(np.int64), compositions.amounts, axis=1)
    amounts[:, 0] = 0.0
    text = frame[["formula", "cation", "basis"]].to_numpy(dtype=str)
    return tuple(
        Hydrate(formula, Element(cation).Z, amounts[row], float(median[row]), float(spread[row]), basis)
        for row, (formula, cation, basis) in enumerate(text)
    )


@lru_cache(maxsize=1)
def default_prices() -> PriceTable:
    """Return the shipped prices (tables `precursors` and `precursors_hydrate`), read once."""
    return PriceTable.from_frame(load_table("precursors"), load_table("precursors_hydrate"))
