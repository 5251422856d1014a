"""How far repeat measurements of one material lie apart: what a difference must be judged by."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def pooled_sd(group: NDArray, value: NDArray[np.float64]) -> tuple[float, int]:
    """Return the pooled standard deviation of values within groups, and its degrees of freedom.

    The same value twice in a group is one measurement that is quoted twice, and counts once.

    Args:
        group: [N] name of each value's material and conditions.
        value: [N], none NaN.

    Returns:
        (0.0, 0) where no group holds two different values.
    """
    if not len(value):
        return 0.0, 0
    _, code = np.unique(group, return_inverse=True)
    distinct = np.unique(np.stack([code.ravel().astype(np.float64), value], axis=1), axis=0)
    _, member, count = np.unique(distinct[:, 0], return_inverse=True, return_counts=True)
    freedom = len(distinct) - len(count)
    if freedom < 1:
        return 0.0, 0
    mean = np.bincount(member.ravel(), distinct[:, 1]) / count
    return float(np.sqrt(((distinct[:, 1] - mean[member.ravel()]) ** 2).sum() / freedom)), freedom
