"""One linear programme for many right-hand sides.

min c x with A x = b, x >= 0: an optimum's dual solution does not depend on b, so every other b that the same
columns can make with non-negative amounts is solved by them too. Each solve thus answers all rows that share
its columns; a chemical system needs a handful of solves for any number of compositions.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog

FloatArray = NDArray[np.float64]

USED = 1e-9
"""Share of the right-hand side below which an amount is none (HiGHS is accurate to 1e-7)."""

EXACT = 1e-11
"""Residual, as a share of the right-hand side, up to which columns make a right-hand side."""


def cheapest_amounts(matrix: FloatArray, costs: FloatArray, wanted: FloatArray) -> FloatArray:
    """Return the cheapest non-negative amounts, [N, columns]; NaN rows where there are none.

    Args:
        matrix: [rows, columns], what one unit of each column brings.
        costs: [columns], finite.
        wanted: [N, rows] right-hand sides.

    Each answer makes its right-hand side within EXACT of it.
    """
    n, columns = len(wanted), matrix.shape[1]
    amounts = np.full((n, columns), np.nan)
    scale = np.maximum(np.abs(wanted).sum(axis=1), 1e-300)
    left = np.ones(n, dtype=bool)
    while left.any():
        first = int(np.argmax(left))
        left[first] = False
        found = linprog(costs, A_eq=matrix, b_eq=wanted[first] / scale[first], method="highs-ds")
        if found.status != 0:
            continue
        support = np.flatnonzero(found.x > USED)
        inverse = np.linalg.pinv(matrix[:, support])
        rows = np.concatenate([[first], np.flatnonzero(left)])
        solved = wanted[rows] @ inverse.T
        residual = np.abs(solved @ matrix[:, support].T - wanted[rows]).max(axis=1)
        good = (solved.min(axis=1, initial=0.0) > -EXACT * scale[rows]) & (residual < EXACT * scale[rows])
        if not good[0]:
            raise ArithmeticError("the linear programme lost precision; its columns are nearly dependent")
        rows, solved = rows[good], solved[good]
        amounts[rows] = 0.0
        amounts[np.ix_(rows, support)] = np.maximum(solved, 0.0)
        left[rows] = False
    return amounts
