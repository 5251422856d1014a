"""Figures of merit: errors, rank correlation, coverage with its own uncertainty."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri
from scipy.stats import beta, rankdata

FEWEST_ROWS = 10
"""A subset with fewer rows gets no rank correlation and no band."""

LEVELS = (0.50, 0.80, 0.90, 0.95)
"""Levels of the intervals whose coverage is checked."""

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


def mean_absolute_error(predicted: Floats, label: Floats) -> float:
    """Return the mean absolute error; raises ValueError without rows or with a NaN among them."""
    error = np.abs(np.asarray(predicted) - np.asarray(label))
    if not len(error) or np.isnan(error).any():
        raise ValueError(
            f"{len(error)} rows, {int(np.isnan(error).sum())} without a value; choose rows first"
        )
    return float(error.mean())


def spearman(predicted: Floats, label: Floats) -> float:
    """Return Spearman's rank correlation (ties share their mean rank); NaN if either side is constant."""
    a, b = rankdata(predicted), rankdata(label)
    if len(a) < 2 or (a == a[0]).all() or (b == b[0]).all():
        return float("nan")
    return float(np.corrcoef(a, b)[0, 1])


def score(
    predicted: Floats, label: Floats, subsets: Mapping[str, Mask], bound: Mask | None = None
) -> dict[str, dict[str, float]]:
    """Return rows, mae and spearman of every subset that has rows.

    Args:
        predicted: [N] values.
        label: [N] labels, NaN where there is none (left out).
        subsets: name to mask [N].
        bound: [N] True where the label is an upper bound: the error there is by how much the prediction lies
            above it, and the row is left out of the rank correlation.
    """
    out: dict[str, dict[str, float]] = {}
    known = ~np.isnan(label)
    limit = np.zeros(len(label), bool) if bound is None else bound
    for name, mask in subsets.items():
        chosen = known & mask
        if chosen.any():
            p, y = predicted[chosen], label[chosen]
            nearest = np.where(limit[chosen], np.minimum(p, y), y)
            out[name] = {"rows": int(chosen.sum()), "mae": mean_absolute_error(p, nearest)}
            exact = ~limit[chosen]
            if exact.sum() >= FEWEST_ROWS:
                out[name]["spearman"] = spearman(p[exact], y[exact])
    return out


def over_seeds(values: Sequence[float]) -> str:
    """Return 'mean ± standard deviation' of a metric over seeds, without the latter for one seed."""
    text = f"{np.mean(values):.3f}"
    return text if len(values) < 2 else f"{text} ± {np.std(values):.3f}"


def clopper_pearson(hits: int, rows: int, level: float = 0.95) -> tuple[float, float]:
    """Return the exact binomial confidence band of a share (Clopper & Pearson, Biometrika 26, 404, 1934)."""
    if not 0 <= hits <= rows or rows < 1:
        raise ValueError(f"{hits} of {rows} is no share; give 0 <= hits <= rows and rows >= 1")
    tail = (1.0 - level) / 2
    low = 0.0 if hits == 0 else float(beta.ppf(tail, hits, rows - hits + 1))
    high = 1.0 if hits == rows else float(beta.ppf(1 - tail, hits + 1, rows - hits))
    return low, high


def clustered_band(
    values: Floats, groups: Sequence[str], level: float = 0.95, repeats: int = 400, seed: int = 0
) -> tuple[Floats, Floats]:
    """Return the lower and upper end of the bootstrap band of means, drawing whole groups, two [L].

    Rows of one chemical system err alike, so a band that treats them as independent is too narrow.

    Args:
        values: [N, L], for example 1 where an interval of level l covered and 0 where it did not.
        groups: [N] name of each row's group.
        level: of the band.
        repeats: bootstrap samples.
        seed: of the samples.
    """
    _, inverse = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    count = np.bincount(inverse)
    total = np.stack([np.bincount(inverse, weights=column) for column in values.T], axis=1)  # [G, L]
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(len(count), np.full(len(count), 1 / len(count)), size=repeats)  # [R, G]
    means = (drawn @ total) / (drawn @ count)[:, None]
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return low, high


def coverage(error: Floats, sd: Floats, groups: Sequence[str]) -> dict[str, dict[str, float]]:
    """Return the share of rows inside the central normal interval at every level, with two bands.

    `low` and `high` treat rows as independent (Clopper-Pearson), `clustered_low` and `clustered_high` draw
    whole groups (bootstrap).

    Args:
        error: [N] label minus mean.
        sd: [N] stated standard deviation.
        groups: [N] chemical system of each row.
    """
    inside = np.abs(error)[:, None] <= ndtri(0.5 + np.array(LEVELS) / 2) * sd[:, None]  # [N, L]
    clustered = clustered_band(inside.astype(float), groups)
    out = {}
    for place, level in enumerate(LEVELS):
        exact = clopper_pearson(int(inside[:, place].sum()), len(inside))
        out[f"{level:.2f}"] = {
            "covered": float(inside[:, place].mean()),
            "low": exact[0],
            "high": exact[1],
            "clustered_low": float(clustered[0][place]),
            "clustered_high": float(clustered[1][place]),
        }
    return out


def error_against_uncertainty(error: Floats, sd: Floats, bins: int = 5) -> dict[str, Any]:
    """Compare the error with the stated uncertainty.

    Rows are put into `bins` classes of equal size by stated standard deviation.

    Returns:
        stated, found: root mean square of the stated standard deviation and of the error in each class;
        ence: mean of |found - stated| / stated (expected normalised calibration error, Levi et al. 2022,
        doi 10.3390/s22155540); spearman: rank correlation of |error| and stated standard deviation.
    """
    parts = [part for part in np.array_split(np.argsort(sd, kind="stable"), bins) if len(part)]
    stated = [float(np.sqrt((sd[part] ** 2).mean())) for part in parts]
    found = [float(np.sqrt((error[part] ** 2).mean())) for part in parts]
    gaps = [abs(f - s) / s for f, s in zip(found, stated, strict=True)]
    return {
        "stated": stated,
        "found": found,
        "ence": float(np.mean(gaps)),
        "spearman": spearman(sd, np.abs(error)),
    }
