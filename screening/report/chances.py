"""Probability of each target, read off the columns of candidates.csv.

`p_all_targets` is computed from the ensemble's whole distributions. The probability of a single target is
written for the stack pressure and for 0.05 eV/atom above the hull; for the others it is read back from
median and interval as that of a normal distribution with a different width on either side (of the logarithm
for quantities that are lognormal), and said to be approximate.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from softlyte.datasets.columns import INTERVAL_LEVEL
from softlyte.screening.targets import Target, Targets

FloatArray = NDArray[np.float64]

LINEAR = frozenset(
    {
        "e_above_hull_ev_atom",
        "formation_energy_ev_atom",
        "glass_transition_k",
        "log10_sigma_s_cm",
        "oxidation_v",
        "poisson_ratio",
        "reduction_v",
    }
)
"""Columns with a symmetric error; those of the others are symmetric in the logarithm."""

NEAR_HULL_EV_ATOM = 0.05
"""Limit that the column p_within_50_mev is of."""


@dataclass(frozen=True)
class Chance:
    """Probability that one target is met, for N rows.

    Attributes:
        target: the condition.
        probability: [N], NaN where the row holds nothing to judge by.
        exact: True if the ranking wrote it, False if read back from median and interval.
    """

    target: Target
    probability: FloatArray
    exact: bool


def chances(candidates: pd.DataFrame, targets: Targets) -> list[Chance]:
    """Return the probability of each target for the rows of candidates.csv, in the targets' order."""
    return [_chance(candidates, target, targets.pressure_mpa()) for target in targets.target]


def _chance(candidates: pd.DataFrame, target: Target, pressure_mpa: float) -> Chance:
    column = _written(target, pressure_mpa)
    if column in candidates:
        return Chance(target, candidates[column].to_numpy(np.float64), exact=True)
    names = [target.column, f"{target.column}_lower", f"{target.column}_upper"]
    if any(name not in candidates for name in names):
        return Chance(target, np.full(len(candidates), np.nan), exact=False)
    median, low, high = (candidates[name].to_numpy(np.float64) for name in names)
    below = probability_below(target.value, median, low, high, target.column in LINEAR)
    return Chance(target, below if target.wants_low else 1.0 - below, exact=False)


def _written(target: Target, pressure_mpa: float) -> str:
    """Return the column that holds the probability of a target, "" if there is none."""
    if target.column == "stack_pressure_mpa" and target.wants_low and target.value == pressure_mpa:
        return "p_below_target_pressure"
    if target.column == "e_above_hull_ev_atom" and target.wants_low and target.value == NEAR_HULL_EV_ATOM:
        return "p_within_50_mev"
    return ""


def probability_below(
    limit: float, median: FloatArray, low: FloatArray, high: FloatArray, linear: bool
) -> FloatArray:
    """Return P(value < limit), [N], from medians and the ends of the central interval of INTERVAL_LEVEL.

    Args:
        limit: in the column's unit.
        median: [N].
        low: [N] lower ends.
        high: [N] upper ends.
        linear: False for a quantity whose logarithm is normal.
    """
    if not linear:
        if limit <= 0:
            return np.where(np.isnan(median), np.nan, 0.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            limit, median, low, high = float(np.log(limit)), np.log(median), np.log(low), np.log(high)
    quantile = ndtri(0.5 + INTERVAL_LEVEL / 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        width = np.where(limit < median, median - low, high - median) / quantile
        z = (limit - median) / width
    # Without a width on that side the value is the median itself.
    certain = np.where(np.isnan(median), np.nan, np.where(limit >= median, 1.0, 0.0))
    return np.where(width > 0, ndtr(z), certain)
