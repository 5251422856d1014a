"""The whole-number stoichiometry behind decimal subscripts."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from softlyte.datasets.formulas import DECIMALS, Compositions

MAX_DENOMINATOR = 120
"""Largest common denominator looked for: covers thirds, sevenths, fortieths."""

_HALF_DIGIT = 0.5 * 10.0**-DECIMALS
_BLOCK = 4096


def whole_number_stoichiometry(compositions: Compositions) -> Compositions:
    """Return compositions with whole amounts where a common denominator explains the written decimals.

    Li0.3333La0.5556TiO3 becomes Li3La5Ti9O27. A hull needs it: the rounding leaves a trace of charge, the
    trace would have to be a phase with a reduced or oxidised cation, and that phase would close the
    electrochemical window. Amounts move by no more than half of the last kept decimal.

    Args:
        compositions: [N].

    Returns:
        [N], the same elements; rows that no denominator up to MAX_DENOMINATOR explains stay as they are.
    """
    amounts = compositions.amounts.copy()
    decimal = np.flatnonzero((amounts != np.rint(amounts)).any(axis=1))
    for start in range(0, len(decimal), _BLOCK):
        rows = decimal[start : start + _BLOCK]
        _clear_denominators(amounts, rows)
    return Compositions(compositions.atomic_numbers, amounts)


def _clear_denominators(amounts: NDArray[np.float64], rows: NDArray[np.int64]) -> None:
    """Replace the given rows of amounts, in place, by multiples of the smallest denominator that fits."""
    left = rows
    for denominator in range(1, MAX_DENOMINATOR + 1):
        multiple = amounts[left] * denominator
        whole = np.rint(multiple)
        # An amount must not vanish, and rounding of the product itself is forgiven.
        near = np.abs(multiple - whole) <= denominator * _HALF_DIGIT * (1 + 1e-6)
        fits = (near & ((whole > 0) | (multiple == 0))).all(axis=1)
        amounts[left[fits]] = whole[fits]
        left = left[~fits]
        if not len(left):
            return
