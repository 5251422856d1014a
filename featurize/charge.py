"""Charge balance: whether a neutral assignment of common oxidation states exists.

Rows are grouped by chemical system; within one system every assignment of states to elements is one
row of a small matrix, so a million compositions need a few matrix products and no loop over rows.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import product

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Element

from softlyte.datasets.formulas import Compositions, symbols

MAX_ASSIGNMENTS = 20_000
"""Systems with more assignments than this are judged by the interval of possible charges alone."""

CHARGE_TOLERANCE = 0.01
"""Share of the anions' charge that may be missing: subscripts are rounded and measured ones scatter."""

PAULING_TOLERANCE = 0.3
"""A cation may exceed the least electronegative anion by this much on Pauling's scale (PbTe: 0.23)."""

GROUP_VALENCE = frozenset({"Sc", "Y", "La", "Zr", "Hf", "Nb", "Ta", "Zn", "Cd"})
"""d-block elements held to their common state: their lower states are metal clusters, not electrolytes."""

EXTRA_STATES: dict[str, tuple[int, ...]] = {
    "Bi": (5,),
    "Ga": (2,),
    "P": (4,),
    "Pr": (4,),
    "Sm": (2,),
    "Tb": (4,),
    "Yb": (2,),
}
"""States of pymatgen's ICSD list that ionic solids use beside the common ones (Li7BiO6, Li4P2S6, LiGaCl3)."""

ANIONS: dict[str, tuple[int, ...]] = {"F": (-1,), "Cl": (-1,), "Br": (-1,), "I": (-1,), "O": (-2,)}
"""Elements with one anionic state: no peroxide, and halogens are halides unless they are oxidised below."""

OXIDISED_HALOGENS: dict[str, tuple[int, ...]] = {"Cl": (5, 7), "Br": (5, 7), "I": (5, 7)}
"""Halate and perhalate states, allowed where a row has at least three O for each such halogen."""

CAGE_VERTICES = (10, 12)
"""Fewest and most vertices of the closo-(carba)boranes that electrolytes are made of, mixtures included."""


@lru_cache(maxsize=1)
def electronegativities() -> NDArray[np.float64]:
    """Pauling electronegativity by atomic number, NaN where there is none (source: pymatgen)."""
    table = {e.symbol: e.data.get("X") for e in Element}
    values = [table.get(name) for name in symbols()]
    return np.array([np.nan if v is None or isinstance(v, str) else float(v) for v in values])


@lru_cache(maxsize=256)
def oxidation_states(symbol: str, mixed: bool = True) -> tuple[tuple[int, int], ...]:
    """Return the states one element may take as (lowest, highest) pairs.

    A fixed state is a pair of equal numbers. d-block elements outside GROUP_VALENCE mix valences and
    have one pair that spans their positive common and ICSD states; carbon spans -4 to 4, since bonds
    between carbon atoms make any mean state possible. Everything else has its common states
    (pymatgen's `common_oxidation_states`) and EXTRA_STATES. Noble gases have none.

    Args:
        symbol: of the element.
        mixed: d-block elements mix valences; else they have each of these states, one at a time.
    """
    element = Element(symbol)
    if symbol in ANIONS:
        return tuple((s, s) for s in ANIONS[symbol] + OXIDISED_HALOGENS.get(symbol, ()))
    if symbol == "C":
        return ((-4, 4),)
    if element.is_transition_metal and symbol not in GROUP_VALENCE:
        states = [s for s in element.common_oxidation_states + element.icsd_oxidation_states if s > 0]
        if not mixed:
            return tuple((s, s) for s in sorted(set(states)))
        return ((min(states), max(states)),) if states else ()
    fixed = {s for s in element.common_oxidation_states if s} | set(EXTRA_STATES.get(symbol, ()))
    return tuple((s, s) for s in sorted(fixed))


def is_charge_balanced(
    compositions: Compositions, tolerance: float = CHARGE_TOLERANCE, mixed: bool = True
) -> NDArray[np.bool_]:
    """Tell for each row whether oxidation states exist that sum to zero, [N].

    One state per element (see `oxidation_states`), cations less electronegative than anions (Pauling;
    the test of Davies et al., doi:10.1016/j.chempr.2016.09.010), to a hundredth of the anions' charge, so
    that Li2Sc0.6667Cl4 and Li0.33La0.56TiO3 pass. Boron-hydrogen cages are counted by Wade's rules instead:
    n vertices BH or CH take 2n+2 skeletal electrons, hence B12H12(2-) and CB11H12(1-)
    (doi:10.1039/C29710000792).

    Args:
        compositions: [N].
        tolerance: share of the anions' charge that may be missing.
        mixed: d-block elements may mix valences.
    """
    balanced = np.zeros(len(compositions), dtype=bool)
    if not len(compositions):
        return balanced
    systems, inverse = np.unique(compositions.atomic_numbers, axis=0, return_inverse=True)
    order = np.argsort(inverse.ravel(), kind="stable")
    edges = np.searchsorted(inverse.ravel()[order], np.arange(len(systems) + 1))
    for system, start, stop in zip(systems, edges[:-1], edges[1:], strict=True):
        rows = order[start:stop]
        present = system > 0
        names = [symbols()[z] for z in system[present]]
        balanced[rows] = _system_balanced(names, compositions.amounts[rows][:, present], tolerance, mixed)
    return balanced


def charge_imbalance(compositions: Compositions) -> NDArray[np.float64]:
    """Return the charge per formula unit that the best assignment of states leaves over, [N].

    Signed, in elementary charges; NaN if an element has no common state. Cages are not counted, so this
    explains a refusal of `is_charge_balanced` and does not replace it.
    """
    left = np.full(len(compositions), np.nan)
    for row in range(len(compositions)):
        present = compositions.atomic_numbers[row] > 0
        lowest, highest = _assignments(tuple(symbols()[z] for z in compositions.atomic_numbers[row][present]))
        if len(lowest):
            amounts = compositions.amounts[row][present]
            # The part of each assignment's charge interval that lies nearest to zero.
            charges = np.maximum(lowest @ amounts, 0) + np.minimum(highest @ amounts, 0)
            left[row] = charges[np.argmin(np.abs(charges))]
    return left


def _system_balanced(
    names: list[str], amounts: NDArray[np.float64], tolerance: float, mixed: bool
) -> NDArray[np.bool_]:
    """Judge rows of one chemical system; amounts are [n, elements]."""
    lowest, highest = _assignments(tuple(names), mixed)
    balanced: NDArray[np.bool_] = np.zeros(len(amounts), dtype=bool)
    if len(lowest):
        anions = tolerance * amounts @ np.minimum(lowest, 0).T
        fits = _sums_to_zero(amounts @ lowest.T, amounts @ highest.T, anions)
        for halogen in OXIDISED_HALOGENS.keys() & set(names):
            column = names.index(halogen)
            oxygen = amounts[:, names.index("O")] if "O" in names else np.zeros(len(amounts))
            enough = oxygen >= 3 * amounts[:, column]
            fits &= enough[:, None] | (lowest[:, column] < 0)[None, :]
        balanced |= fits.any(axis=1)
    if "B" in names and "H" in names:
        balanced |= _cage_balanced(names, amounts, tolerance)
    return balanced


def _sums_to_zero(
    low: NDArray[np.float64], high: NDArray[np.float64], missing: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Tell whether the interval of total charge holds zero, but for a charge (of any sign) that may miss."""
    allowed = np.abs(missing)
    return (low <= allowed) & (high >= -allowed)


@lru_cache(maxsize=100_000)
def _assignments(
    names: tuple[str, ...], mixed: bool = True
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return lowest and highest state of each element in each admissible assignment, [A, elements]."""
    options = [oxidation_states(name, mixed) for name in names]
    none = np.zeros((0, len(names)))
    if not all(options):
        return none, none
    if np.prod([float(len(o)) for o in options]) > MAX_ASSIGNMENTS:
        ends = [(min(s[0] for s in o), max(s[1] for s in o)) for o in options]
        table = np.array([ends], dtype=np.float64)
        return table[..., 0], table[..., 1]
    table = np.array(list(product(*options)), dtype=np.float64)
    x = electronegativities()[[Element(n).Z for n in names]]
    most_positive = np.where(table[..., 0] > 0, x, -np.inf)
    least_negative = np.where(table[..., 1] < 0, x, np.inf)
    ordered = most_positive.max(axis=1) <= least_negative.min(axis=1) + PAULING_TOLERANCE
    kept = table[ordered | np.isnan(most_positive).any(axis=1) | np.isnan(least_negative).any(axis=1)]
    return kept[..., 0], kept[..., 1]


def _cage_balanced(names: list[str], amounts: NDArray[np.float64], tolerance: float) -> NDArray[np.bool_]:
    """Judge rows whose B, C and H all sit in closo cages (one H on every vertex), [n]."""

    def total(symbol: str) -> NDArray[np.float64]:
        return amounts[:, names.index(symbol)] if symbol in names else np.zeros(len(amounts))

    others = [n for n in names if n not in {"B", "C", "H"}]
    if not others:
        return np.zeros(len(amounts), dtype=bool)
    vertices, carbons = total("B") + total("C"), total("C")
    caged = np.abs(vertices - total("H")) <= tolerance * vertices
    rest = amounts[:, [names.index(n) for n in others]]
    lowest, highest = _assignments(tuple(others))
    # 2n+2 skeletal electrons of n vertices, BH gives 2, CH gives 3: charge -(2 - carbons) per cage.
    most, least = (-(2 * vertices / size - carbons)[:, None] for size in CAGE_VERTICES)
    fits = _sums_to_zero(rest @ lowest.T + most, rest @ highest.T + least, tolerance * most)
    return caged & fits.any(axis=1)
