"""Precursor cost of any number of compositions by the cheapest route from binary precursors.

Route: mechanochemical or melt synthesis from anhydrous halides, oxides and sulfides, nothing leaves. Each
cation's charge is served by anions, and each (cation, anion) pair is a precursor. Oxygen goes first into
the alkali oxide (Li2O, Na2O, K2O), because refractory oxides such as ZrO2 and Al2O3 hardly react in a
mill, and only what is left of it into oxides of the framework; everything else goes the cheapest way.
Cost is that of the precursors alone: no processing, yield or solvent.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Element
from scipy.special import ndtri

from softlyte.datasets.columns import INTERVAL_LEVEL
from softlyte.datasets.formulas import MAX_ATOMIC_NUMBER, Compositions, symbols
from softlyte.featurize.charge import CHARGE_TOLERANCE
from softlyte.screening.precursor_policy import ANIONS
from softlyte.screening.prices import MAX_STATES, PriceTable, default_prices
from softlyte.screening.transport import cheapest_flows

FloatArray = NDArray[np.float64]

ALKALI_OXIDE_BONUS = 1e5
"""USD per mole of charge, far above any price: alkali oxide before every other way for oxygen."""

UNPRICED_PENALTY = 1e9
"""USD per mole of charge: a precursor without a price is used only where nothing else will do."""

CHUNK_ROWS = 100_000

NO_ANION = "holds none of F, Cl, Br, I, O, S, which precursors bring in"
UNBALANCED = "charges do not balance with the valences that have prices"

_ANION_SLOT = np.full(MAX_ATOMIC_NUMBER + 1, -1)
_ANION_CHARGE = np.zeros(MAX_ATOMIC_NUMBER + 1)
for _slot, (_symbol, _charge) in enumerate(ANIONS.items()):
    _ANION_SLOT[Element(_symbol).Z], _ANION_CHARGE[Element(_symbol).Z] = _slot, _charge
_OXYGEN = list(ANIONS).index("O")
_ALKALI = np.isin(np.arange(MAX_ATOMIC_NUMBER + 1), [Element(s).Z for s in ("Li", "Na", "K")])


@dataclass(frozen=True)
class CostResult:
    """Precursor cost of N compositions.

    Attributes:
        usd_kg: [N] median cost in USD per kilogram, NaN where it cannot be computed.
        log_sd: [N] standard deviation of ln(cost): prices of different cations vary independently, those
            of one cation together.
        reason: [N] why usd_kg is NaN, "" where it is not.
    """

    usd_kg: FloatArray
    log_sd: FloatArray
    reason: NDArray[np.object_]

    @property
    def log10_sd(self) -> FloatArray:
        """Standard deviation of log10(cost), [N]; with the median usd_kg it gives the lognormal cost."""
        return self.log_sd / np.log(10.0)

    def interval(self, level: float = INTERVAL_LEVEL) -> tuple[FloatArray, FloatArray]:
        """Return the central (lognormal) interval of the cost in USD/kg at a level, two [N] arrays."""
        factor = np.exp(ndtri(0.5 + level / 2) * self.log_sd)
        return self.usd_kg / factor, self.usd_kg * factor


@dataclass(frozen=True)
class Route:
    """One recipe: moles of each precursor for one formula unit, alkali precursors first.

    Attributes:
        moles: formula -> moles; empty where there is no priced recipe.
        estimated: precursors whose own price is not cited.
        reason: why there is no recipe, "" if there is one.
    """

    moles: dict[str, float]
    estimated: tuple[str, ...]
    reason: str

    def __str__(self) -> str:
        return " + ".join(_term(amount, formula) for formula, amount in self.moles.items())


@dataclass(frozen=True)
class _Group:
    """Rows with the same number of cations m and anions k, and the optimum's flows."""

    rows: NDArray[np.int64]
    cation: NDArray[np.int64]  # [n, m] atomic number
    valence: NDArray[np.int64]  # [n, m]
    anion: NDArray[np.int64]  # [n, k] slot in ANIONS
    flows: FloatArray  # [n, m, k] moles of charge per formula unit

    @property
    def at(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Indices into the arrays of a PriceTable, each broadcastable to [n, m, k]."""
        return self.cation[:, :, None], self.valence[:, :, None], self.anion[:, None, :]


def precursor_cost(compositions: Compositions, prices: PriceTable | None = None) -> CostResult:
    """Return the precursor cost of each composition by the cheapest route.

    Args:
        compositions: N compositions; amounts are per formula unit as written.
        prices: None for the shipped table.

    A composition has NaN and a reason if an element has no priced precursor, if it holds no anion that
    precursors bring in, or if its charges do not balance with the priced valences.
    """
    prices = default_prices() if prices is None else prices
    n = len(compositions)
    usd, log_sd, reason = np.full(n, np.nan), np.full(n, np.nan), np.full(n, "", dtype=object)
    for start in range(0, n, CHUNK_ROWS):
        part = compositions[start : start + CHUNK_ROWS]
        kilograms = part.masses() / 1000
        chunk_reason = np.full(len(part), "", dtype=object)
        for group in _optimum(part, prices, chunk_reason):
            spent = group.flows * np.where(group.flows > 0, prices.usd_per_charge[group.at], 0.0)
            by_cation = spent.sum(axis=2)
            total = by_cation.sum(axis=1)
            spread = (spent * np.where(group.flows > 0, prices.log_sd[group.at], 0.0)).sum(axis=2)
            usd[start + group.rows] = total / kilograms[group.rows]
            log_sd[start + group.rows] = np.sqrt((spread**2).sum(axis=1)) / total
            for row, i, k in np.argwhere(np.isnan(spent)):
                pair = f"{symbols()[group.cation[row, i]]} with {list(ANIONS)[group.anion[row, k]]}"
                chunk_reason[group.rows[row]] = f"no cited price for {pair}"
        reason[start : start + CHUNK_ROWS] = chunk_reason
    return CostResult(usd, log_sd, reason)


def precursor_routes(compositions: Compositions, prices: PriceTable | None = None) -> list[Route]:
    """Return the recipe behind `precursor_cost` for each composition (meant for the rows a person reads)."""
    prices = default_prices() if prices is None else prices
    reason = np.full(len(compositions), "", dtype=object)
    moles: list[dict[str, float]] = [{} for _ in range(len(compositions))]
    estimated: list[list[str]] = [[] for _ in range(len(compositions))]
    for group in _optimum(compositions, prices, reason):
        names = prices.names[group.at]
        charges = prices.charges[group.at]
        for row, target in enumerate(group.rows):
            used = np.argwhere(group.flows[row] > 1e-9)
            if any(not names[row, i, k] for i, k in used):
                reason[target] = "a precursor has no cited price"
                continue
            amount = {(i, k): group.flows[row, i, k] / charges[row, i, k] for i, k in used}
            alkali = _ALKALI[group.cation[row]]
            for i, k in sorted(amount, key=lambda at: (not alkali[at[0]], -amount[at], names[row][at])):
                moles[target][names[row, i, k]] = float(amount[i, k])
                if prices.estimated[group.cation[row, i], group.valence[row, i], group.anion[row, k]]:
                    estimated[target].append(names[row, i, k])
    return [Route(m, tuple(e), str(r)) for m, e, r in zip(moles, estimated, reason, strict=True)]


def precursor_route(compositions: Compositions, prices: PriceTable | None = None) -> list[str]:
    """Return each recipe as text, "0.5 Li2O + 0.8333 AlCl3 + 0.0833 Al2O3"; "" where there is none."""
    return [str(route) for route in precursor_routes(compositions, prices)]


def _term(amount: float, formula: str) -> str:
    text = f"{amount:.4f}".rstrip("0").rstrip(".")
    return formula if text == "1" else f"{text} {formula}"


def _optimum(compositions: Compositions, prices: PriceTable, reason: NDArray[np.object_]) -> Iterator[_Group]:
    """Yield groups of rows with their optimal flows; rows left out get their reason written."""
    cation, valence, supply, demand, usable = _charges(compositions, prices, reason)
    front = np.argsort(supply <= 0, axis=1, kind="stable")
    cation, valence = np.take_along_axis(cation, front, axis=1), np.take_along_axis(valence, front, axis=1)
    supply = np.take_along_axis(supply, front, axis=1)
    anion = np.argsort(demand <= 0, axis=1, kind="stable")
    demand = np.take_along_axis(demand, anion, axis=1)
    m, k = (supply > 0).sum(axis=1), (demand > 0).sum(axis=1)
    pattern = np.where(usable, m * (len(ANIONS) + 1) + k, -1)
    for code in np.unique(pattern[usable]):
        rows = np.flatnonzero(pattern == code)
        i, j = divmod(int(code), len(ANIONS) + 1)
        group = _Group(rows, cation[rows, :i], valence[rows, :i], anion[rows, :j], np.zeros((0, i, j)))
        costs = prices.usd_per_charge[group.at]
        costs = np.where(np.isnan(costs), UNPRICED_PENALTY, costs)
        costs -= ALKALI_OXIDE_BONUS * (
            _ALKALI[group.cation][:, :, None] & (group.anion == _OXYGEN)[:, None, :]
        )
        flows = cheapest_flows(costs, supply[rows, :i], demand[rows, :j])
        yield _Group(rows, group.cation, group.valence, group.anion, flows)


def _charges(
    compositions: Compositions, prices: PriceTable, reason: NDArray[np.object_]
) -> tuple[NDArray[np.int64], NDArray[np.int64], FloatArray, FloatArray, NDArray[np.bool_]]:
    """Return cation and valence [N, M+1], supply [N, M+1], demand [N, 6] and which rows are usable [N].

    The extra column takes the second valence of an element that is present in two. A formula whose charge is
    off by no more than CHARGE_TOLERANCE (rounded subscripts) has its anions scaled to fit.
    """
    z = compositions.atomic_numbers.astype(np.int64)
    amounts = compositions.amounts
    slot = np.where(z > 0, _ANION_SLOT[z], -1)
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
    return z, valence, supply, demand, usable


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
