"""Valences and charges of compositions, as far as precursors are priced in them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Element

from softlyte.datasets.formulas import MAX_ATOMIC_NUMBER, Compositions, symbols
from softlyte.featurize.charge import CHARGE_TOLERANCE
from softlyte.screening.precursor_policy import ANIONS
from softlyte.screening.prices import MAX_STATES, PriceTable

FloatArray = NDArray[np.float64]

NO_ANION = "holds none of F, Cl, Br, I, O, S, which precursors bring in"
UNBALANCED = "charges do not balance with the valences that have prices"

ANION_SLOT = np.full(MAX_ATOMIC_NUMBER + 1, -1)
"""Position of an element in ANIONS, -1 for cations."""

_ANION_CHARGE = np.zeros(MAX_ATOMIC_NUMBER + 1)
for _slot, (_symbol, _charge) in enumerate(ANIONS.items()):
    ANION_SLOT[Element(_symbol).Z], _ANION_CHARGE[Element(_symbol).Z] = _slot, _charge


@dataclass(frozen=True)
class Charges:
    """Charges of N compositions with M elements at most.

    Attributes:
        cation: [N, M+1] atomic number, 0 where padded. The extra column takes the second valence of an
            element that is present in two.
        valence: [N, M+1] charge of one cation.
        supply: [N, M+1] moles of positive charge per formula unit, 0 for anions.
        demand: [N, 6] moles of negative charge by anion (order of ANIONS), scaled to the supply.
        usable: [N] False where charges cannot be assigned.
    """

    cation: NDArray[np.int64]
    valence: NDArray[np.int64]
    supply: FloatArray
    demand: FloatArray
    usable: NDArray[np.bool_]


def assign_charges(compositions: Compositions, prices: PriceTable, reason: NDArray[np.object_]) -> Charges:
    """Give each cation the priced valence that balances the charges; rows left out get their reason written.

    A formula whose charge is off by no more than CHARGE_TOLERANCE (rounded subscripts) has its anions scaled
    to fit.
    """
    z = compositions.atomic_numbers.astype(np.int64)
    amounts = compositions.amounts
    slot = np.where(z > 0, ANION_SLOT[z], -1)
    is_cation = (z > 0) & (slot < 0)
    demand = np.stack(
        [np.where(slot == s, amounts * _ANION_CHARGE[z], 0.0).sum(axis=1) for s in range(len(ANIONS))], axis=1
    )
    valence = np.where(is_cation, prices.states[z, 0], 0)
    unpriced = is_cation & (valence == 0)
    for row in np.flatnonzero(unpriced.any(axis=1)):
        reason[row] = f"no cited price for a precursor of {symbols()[z[row][unpriced[row]][0]]}"
    total = demand.sum(axis=1)
    reason[(total <= 0) & ~unpriced.any(axis=1)] = NO_ANION
    usable = (total > 0) & ~unpriced.any(axis=1)
    extra = np.zeros((len(z), 1), dtype=np.int64)
    z, valence = np.concatenate([z, extra], axis=1), np.concatenate([valence, extra], axis=1)
    supply = np.concatenate([amounts, extra], axis=1) * valence
    missing = total - supply.sum(axis=1)
    off = np.flatnonzero(usable & (np.abs(missing) > CHARGE_TOLERANCE * total))
    if len(off):
        solved = _other_valence(off, z, valence, supply, amounts, missing, prices, several=False)
        rest = off[~solved]
        solved[~solved] = _other_valence(rest, z, valence, supply, amounts, missing, prices, several=True)
        usable[off[~solved]] = False
        reason[off[~solved]] = UNBALANCED
    with np.errstate(invalid="ignore", divide="ignore"):
        demand = np.where(usable[:, None], demand * (supply.sum(axis=1) / total)[:, None], 0.0)
    return Charges(z, valence, supply, demand, usable)


def _other_valence(
    rows: NDArray[np.int64],
    z: NDArray[np.int64],
    valence: NDArray[np.int64],
    supply: FloatArray,
    amounts: FloatArray,
    missing: FloatArray,
    prices: PriceTable,
    several: bool,
) -> NDArray[np.bool_]:
    """Balance rows by giving the first element that can another valence, or a mixture of two, in place.

    With several, elements that cannot do it alone go to their extreme valence and the next one helps (the
    Fe and Sn of Li8FeSnCl12). Returns which of the rows now balance.
    """
    solved = np.zeros(len(rows), dtype=bool)
    slack = CHARGE_TOLERANCE * np.abs(supply[rows]).sum(axis=1)
    each = np.arange(len(rows))
    missing = missing[rows]
    for column in range(amounts.shape[1]):
        priced = prices.states[z[rows, column]]
        states = np.sort(np.where(priced == 0, 99, priced), axis=1)
        lowest, highest = states[:, 0], priced.max(axis=1)
        amount = np.maximum(amounts[rows, column], 1e-12)
        old = valence[rows, column]
        needed = old + missing / amount
        margin = slack / amount
        variable = ~solved & (lowest < highest)
        fits = variable & (needed >= lowest - margin) & (needed <= highest + margin)
        needed = np.clip(needed, lowest, highest)
        below = np.clip((states <= needed[:, None] + 1e-9).sum(axis=1) - 1, 0, MAX_STATES - 1)
        low = states[each, below]
        high = np.where(low >= highest, low, states[each, np.minimum(below + 1, MAX_STATES - 1)])
        share = np.where(high > low, (needed - low) / np.maximum(high - low, 1), 0.0)
        change = variable if several else fits
        at = rows[change]
        valence[at, column], valence[at, -1] = low[change], high[change]
        supply[at, column] = (amount * (1 - share) * low)[change]
        supply[at, -1] = (amount * share * high)[change]
        z[at, -1] = z[at, column]
        missing = np.where(change, missing - amount * (needed - old), missing)
        solved |= fits
    return solved
