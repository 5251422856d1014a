"""The whole-number stoichiometry behind decimal subscripts."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from softlyte.datasets.formulas import DECIMALS, Compositions
from softlyte.featurize.charge import is_charge_balanced

MAX_DENOMINATOR = 120
"""Largest common denominator looked for: covers thirds, sevenths, fortieths."""

_HALF_DIGIT = 0.5 * 10.0**-DECIMALS
_COARSEST = 0.5e-2  # one decimal says a composition, not a rounding
_NEUTRAL = 1e-6  # share of the anions' charge: none, but for floating point
_BLOCK = 4096

Array = NDArray[np.float64]


def whole_number_stoichiometry(compositions: Compositions) -> Compositions:
    """Return compositions with whole amounts where a common denominator explains the written decimals.

    Li0.3333La0.5556TiO3 becomes Li3La5Ti9O27. A hull needs it: the rounding leaves a trace of charge, the
    trace would have to be a phase with a reduced or oxidised cation, and that phase would close the
    electrochemical window. Amounts move by no more than half of the last kept decimal. A row that is not
    neutral as written, though with two decimals or more, may move by half of the last decimal that it is
    written with, if that makes it neutral: Li0.33La0.56TiO3 is Li3La5Ti9O27 too. Neutral means in
    common oxidation states, no element in two at once (`is_charge_balanced`).

    Args:
        compositions: [N].

    Returns:
        [N], the same elements; rows that no denominator up to MAX_DENOMINATOR explains stay as they are.
    """
    written = compositions.amounts
    amounts = written.copy()
    decimal = np.flatnonzero((written != np.rint(written)).any(axis=1))
    for start in range(0, len(decimal), _BLOCK):
        rows = decimal[start : start + _BLOCK]
        amounts[rows] = _whole(written[rows], np.full(len(rows), _HALF_DIGIT))
    found = Compositions(compositions.atomic_numbers, amounts)
    charged = decimal[~is_charge_balanced(found[decimal], _NEUTRAL, mixed=False)]
    half_digit = 0.5 * 10.0 ** -_decimals(written[charged])
    rounded = (half_digit > _HALF_DIGIT) & (half_digit <= _COARSEST)
    for row, half in zip(charged[rounded], half_digit[rounded], strict=True):
        amounts[row] = _neutral(compositions.atomic_numbers[row], written[row], half, amounts[row])
    return found


def _whole(amounts: Array, half_digit: Array) -> Array:
    """Return [n, M] amounts as multiples of the smallest denominator that fits, as they are where none does.

    Args:
        amounts: [n, M].
        half_digit: [n], by how much each row's amounts may move.
    """
    out, left = amounts.copy(), np.arange(len(amounts))
    for denominator in range(1, MAX_DENOMINATOR + 1):
        fits, whole = _multiples(amounts[left], denominator, half_digit[left])
        out[left[fits]] = whole[fits]
        left = left[~fits]
        if not len(left):
            break
    return out


def _multiples(amounts: Array, denominator: int, half_digit: Array) -> tuple[NDArray[np.bool_], Array]:
    """Return which of [n, M] amounts are whole multiples of 1/denominator, [n], and these multiples."""
    multiple = amounts * denominator
    whole = np.rint(multiple)
    # An amount must not vanish, and rounding of the product itself is forgiven.
    near = np.abs(multiple - whole) <= denominator * half_digit[:, None] * (1 + 1e-6)
    return (near & ((whole > 0) | (multiple == 0))).all(axis=1), whole


def _neutral(numbers: NDArray[np.uint8], written: Array, half_digit: float, otherwise: Array) -> Array:
    """Return the neutral stoichiometry of the smallest denominator that explains [M] rounded amounts.

    Args:
        numbers: [M] atomic numbers.
        written: [M] amounts.
        half_digit: by how much they may move.
        otherwise: [M], returned if there is none.
    """
    # Beyond half a unit of the product any number is explained.
    most = min(MAX_DENOMINATOR, int(0.5 / half_digit) - 1)
    tried = [_multiples(written[None], n, np.array([half_digit])) for n in range(1, most + 1)]
    whole = np.array([amounts[0] for fits, amounts in tried if fits[0]]).reshape(-1, len(numbers))
    neutral = is_charge_balanced(
        Compositions(np.tile(numbers, (len(whole), 1)), whole), _NEUTRAL, mixed=False
    )
    return whole[np.argmax(neutral)] if neutral.any() else otherwise


def _decimals(amounts: Array) -> NDArray[np.int64]:
    """Return how many decimals [n, M] amounts are written with, [n]."""
    out = np.zeros(len(amounts), dtype=np.int64)
    for digits in range(DECIMALS, 0, -1):
        scaled = amounts * 10.0**digits
        exact = (np.abs(scaled - np.rint(scaled)) < 1e-6).all(axis=1)
        # The fewest decimals that write the row exactly; those kept, where none do.
        out = np.where(exact, digits, out)
    return np.where(out == 0, DECIMALS, out)
