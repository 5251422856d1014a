"""Splits that keep what is alike on one side.

Sides come from a hash of the group's name and the seed, not from a shuffle: a chemical system lands on the
same side in every table, today and after rows were added.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from softlyte.datasets.formulas import Compositions, chemical_systems

SIDES = ("train", "validation", "test")
MATBENCH_SEED = 18012019
"""Random state of the folds of Matbench v0.1 (Dunn et al. 2020, doi 10.1038/s41524-020-00406-3)."""


def split_by_chemical_system(
    formulas: Compositions | Iterable[str],
    fractions: Sequence[float] = (0.8, 0.1, 0.1),
    seed: int = 0,
) -> NDArray[np.str_]:
    """Return 'train', 'validation' or 'test' for each row, [N]; one chemical system is on one side.

    The chemical system is the set of elements, so polymorphs, hydrates of one phase diagram and scaled
    formulas stay together. Fractions hold in expectation over systems, not exactly over rows. Raises
    ValueError for fractions that are not three numbers >= 0 with the sum 1.
    """
    return split_by_group(chemical_systems(_as_compositions(formulas)), fractions, seed)


def split_by_formula(
    formulas: Compositions | Iterable[str],
    fractions: Sequence[float] = (0.8, 0.1, 0.1),
    seed: int = 0,
) -> NDArray[np.str_]:
    """Return the side of each row, [N]; rows of one reduced composition are on one side."""
    keys = _as_compositions(formulas).keys()
    return split_by_group([key.tobytes().hex() for key in keys], fractions, seed)


def split_by_group(
    groups: Sequence[str], fractions: Sequence[float] = (0.8, 0.1, 0.1), seed: int = 0
) -> NDArray[np.str_]:
    """Return the side of each row, [N], from the hash of its group's name."""
    shares = np.asarray(fractions, dtype=np.float64)
    if shares.shape != (3,) or (shares < 0).any() or not np.isclose(shares.sum(), 1.0):
        raise ValueError(f"fractions are {tuple(fractions)}; give three numbers >= 0 that sum to 1")
    names, inverse = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    position = np.array([_hash_position(name, seed) for name in names])
    # The last limit is the exact end, so rounding of the sum never leaves a group without a side.
    limits = np.array([shares[0], shares[0] + shares[1]])
    side = np.searchsorted(limits, position, side="right")
    # With a share of 0 at the end, positions beyond the limits by rounding belong to the last used side.
    side = np.minimum(side, int(np.flatnonzero(shares > 0).max()))
    return np.array(SIDES)[side][inverse.ravel()]


def grouped_folds(groups: Sequence[str], k: int = 5, seed: int = 0) -> NDArray[np.int64]:
    """Return the fold 0..k-1 of each row, [N]; rows of one group share a fold.

    Groups are ordered by hash and dealt, largest first, to the smallest fold so far, so folds hold about
    the same number of rows. Raises ValueError if there are fewer groups than folds.
    """
    names, inverse, sizes = np.unique(np.asarray(groups, dtype=str), return_inverse=True, return_counts=True)
    if k < 2 or len(names) < k:
        raise ValueError(f"{k} folds need k >= 2 and at least {k} groups; there are {len(names)}")
    position = np.array([_hash_position(name, seed) for name in names])
    fold_of = np.zeros(len(names), dtype=np.int64)
    filled = np.zeros(k, dtype=np.int64)
    for group in np.lexsort((position, -sizes)):
        fold_of[group] = np.argmin(filled)
        filled[fold_of[group]] += sizes[group]
    return fold_of[inverse.ravel()]


def matbench_folds(n: int) -> NDArray[np.int64]:
    """Return the official Matbench v0.1 fold 0..4 of each row, [N] (table order must be Matbench's).

    Matbench uses scikit-learn's KFold(5, shuffle=True, random_state=18012019) for regression tasks (Dunn et
    al. 2020, doi 10.1038/s41524-020-00406-3).
    """
    from sklearn.model_selection import KFold

    fold = np.empty(n, dtype=np.int64)
    splitter = KFold(n_splits=5, shuffle=True, random_state=MATBENCH_SEED)
    for number, (_, test) in enumerate(splitter.split(np.zeros(n))):
        fold[test] = number
    return fold


def _hash_position(name: str, seed: int) -> float:
    """Return a number in [0, 1) that depends on name and seed only."""
    digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


def _as_compositions(formulas: Compositions | Iterable[str]) -> Compositions:
    return formulas if isinstance(formulas, Compositions) else Compositions.from_formulas(formulas)
