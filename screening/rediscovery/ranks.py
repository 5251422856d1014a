"""Where discoveries stand in a ranking: percentile, enrichment, recall, and how sure these are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

SHARES = (0.001, 0.01, 0.1)
"""Parts of the ranking that enrichment is reported for."""

RECALL_AT = (100, 1_000, 10_000, 100_000)
"""First candidates of the whole ranking that recall is reported for."""

DRAWS = 2000
"""Bootstrap samples of the discoveries."""


@dataclass(frozen=True)
class Ranks:
    """Where D discoveries stand among the others.

    Attributes:
        share: [D] share of the others' weight that ranks before each, ties counted half.
        total: weight of the others: compositions in the whole ranking.
    """

    share: FloatArray
    total: float

    def enrichment(self, part: float) -> float:
        """Return the discoveries in the first part over what chance would put there."""
        return float((self.share < part).mean() / part)

    def enrichment_interval(self, part: float, level: float = 0.9, seed: int = 0) -> tuple[float, float]:
        """Return the bootstrap interval of the enrichment, drawing discoveries with replacement."""
        found = np.random.default_rng(seed).binomial(
            len(self.share), float((self.share < part).mean()), size=DRAWS
        )
        low, high = np.quantile(found / len(self.share) / part, [(1 - level) / 2, (1 + level) / 2])
        return float(low), float(high)

    def recall(self, first: int) -> float:
        """Return the share of the discoveries among the first candidates."""
        return float((self.share * self.total < first).mean())


def ranks(
    score: FloatArray, weight: FloatArray, place: NDArray[np.int64], others: NDArray[np.bool_]
) -> Ranks:
    """Rank some compositions among others.

    Args:
        score: [N] higher is better, -inf for what was refused.
        weight: [N] compositions that each stands for.
        place: [D] the compositions to rank.
        others: [N] True for what they are ranked among; none of them themselves.

    Raises:
        ValueError: there is nothing to rank among.
    """
    values, mass = score[others], weight[others]
    total = float(mass.sum())
    if not total:
        raise ValueError("there is nothing to rank among; draw a sample of the spaces")
    levels, where = np.unique(values, return_inverse=True)
    at = np.bincount(where.ravel(), mass, len(levels))
    above = total - np.cumsum(at)
    asked = score[place]
    level = np.searchsorted(levels, asked)
    same = np.isin(asked, levels)
    level_safe = np.minimum(level, len(levels) - 1)
    # What lies at or above the first level not below the score; ties are counted half.
    before = np.where(level < len(levels), above[level_safe] + np.where(same, 0.5, 1.0) * at[level_safe], 0.0)
    return Ranks(before / total, total)
