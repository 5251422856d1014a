"""Chemical systems of many compositions: grouping by set of elements, and sets of elements as bits."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from softlyte.datasets.formulas import Compositions

Rows = NDArray[np.int64]


def chemical_system_groups(
    compositions: Compositions, usable: NDArray[np.bool_]
) -> Iterator[tuple[tuple[int, ...], Rows]]:
    """Yield each chemical system's atomic numbers, ascending, with its usable rows."""
    rows = np.flatnonzero(usable)
    systems, inverse = np.unique(compositions.atomic_numbers[rows], axis=0, return_inverse=True)
    order = np.argsort(inverse.ravel(), kind="stable")
    ends = np.cumsum(np.bincount(inverse.ravel(), minlength=len(systems)))
    for system, group in zip(systems, np.split(rows[order], ends[:-1]), strict=False):
        yield tuple(int(z) for z in system if z), group


def element_masks(atomic_numbers: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Return the set of elements of each row as bits, [N, 2]."""
    masks = np.zeros((len(atomic_numbers), 2), dtype=np.uint64)
    for column in atomic_numbers.T:
        bit = np.uint64(1) << (column % 64).astype(np.uint64)
        masks[np.arange(len(column)), column // 64] |= np.where(column > 0, bit, np.uint64(0))
    return masks
