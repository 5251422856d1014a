"""How far apart two compositions are: half the sum of absolute differences of their atomic fractions.

0 for the same reduced composition, 1 where no element is shared. A step of 0.05 in a substitution series such
as Li2+x(Zr1-xInx)Cl6 is about 0.005 to 0.01 wide.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from softlyte.datasets.formulas import MAX_ATOMIC_NUMBER, Compositions

CHUNK_ROWS = 1024
"""Rows compared at once: small enough that the table of distances stays in the cache."""


def fraction_table(compositions: Compositions) -> NDArray[np.float64]:
    """Return the atomic fraction of each element (by atomic number) in K compositions, [104, K]."""
    table = np.zeros((MAX_ATOMIC_NUMBER + 1, len(compositions)))
    row = np.broadcast_to(np.arange(len(compositions))[:, None], compositions.atomic_numbers.shape)
    table[compositions.atomic_numbers, row] = compositions.fractions()
    # Padding has atomic number 0; it counts for nothing.
    table[0] = 0.0
    return table


def nearest(
    compositions: Compositions, others: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return which of K others is nearest to each of N compositions, and its distance, two [N].

    Of equally near ones the first is taken.

    Args:
        compositions: N compositions.
        others: `fraction_table` of the K others; K at least 1.
    """
    place = np.zeros(len(compositions), dtype=np.int64)
    shared = np.zeros(len(compositions))
    for start in range(0, len(compositions), CHUNK_ROWS):
        rows = slice(start, start + CHUNK_ROWS)
        common = _common(compositions[rows], others)
        place[rows] = common.argmax(axis=1)
        shared[rows] = common[np.arange(len(common)), place[rows]]
    return place, _distance(shared)


def within(compositions: Compositions, others: Compositions, bound: float) -> NDArray[np.bool_]:
    """Return which of N compositions lie within a distance of any of K others, the bound included, [N]."""
    if not len(others):
        return np.zeros(len(compositions), bool)
    return nearest(compositions, fraction_table(others))[1] <= bound + 1e-9


def distances(compositions: Compositions, others: Compositions) -> NDArray[np.float64]:
    """Return the distance of each of N compositions to each of K others, [N, K]."""
    table = fraction_table(others)
    starts = range(0, max(len(compositions), 1), CHUNK_ROWS)
    parts = [_common(compositions[start : start + CHUNK_ROWS], table) for start in starts]
    return _distance(np.concatenate(parts))


def _common(compositions: Compositions, others: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what each pair shares, [N, K]: half the L1 distance of two distributions is 1 minus that."""
    numbers, fractions = compositions.atomic_numbers, compositions.fractions()
    common = np.zeros((len(numbers), others.shape[1]))
    for column in range(numbers.shape[1]):
        common += np.minimum(fractions[:, column, None], others[numbers[:, column]])
    return common


def _distance(shared: NDArray[np.float64]) -> NDArray[np.float64]:
    distance = np.clip(1.0 - shared, 0.0, 1.0)
    distance[distance < 1e-12] = 0.0
    return distance
