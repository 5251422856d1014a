"""Other divisions of the chemical systems than the one by which the shipped trees were fitted and judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.special import expit
from sklearn.metrics import average_precision_score

from benchmarks.hull_trees_fit import fit_trees
from benchmarks.report import markdown_table
from benchmarks.unexplored import KNOWLEDGE, Array, Case
from softlyte.datasets.formulas import chemical_systems
from softlyte.datasets.splits import split_by_group
from softlyte.screening.hull_evidence import HULL_FEATURES
from softlyte.screening.stability import NEAR_HULL_EV_ATOM

SEEDS = (11, 12, 13, 14, 15)
"""Of the divisions; the shipped one has another seed."""

_HALIDE = HULL_FEATURES.index("halide")


def splits_section(
    case: Case, features: Sequence[Array], described: Sequence[Array], hull_v: Sequence[Array]
) -> str:
    """Return errors and coverage of trees fitted anew on one half of each division, as a Markdown table.

    Each is judged on its other half. With and without what was added when the second half of the shipped
    division was no longer unseen: the feature that tells halides, and with it the widths by group.

    Args:
        case: N compounds.
        features: [N, F] for each of KNOWLEDGE.
        described: [N, F + 4D] for each.
        hull_v: [2, N] the hull's limits in V for each.
    """
    found: dict[tuple[str, str], list[list[float]]] = {}
    for seed in SEEDS:
        half = split_by_group(chemical_systems(case.compositions), (0.5, 0.0, 0.5), seed=seed) == "train"
        divided = replace(case, fit=half)
        for added in (True, False):
            seen = features if added else [_without_halide(table) for table in features]
            told = described if added else [_without_halide(table) for table in described]
            trees = fit_trees(divided, list(seen), list(told), list(hull_v))
            for knowledge, table, wide, volts in zip(KNOWLEDGE, seen, told, hull_v, strict=True):
                limits = np.stack([np.maximum(volts[s] + trees.limits[s](table), 0.0) for s in range(2)])
                limits[0] = np.minimum(*limits)
                halves = np.stack([trees.half_width(s, table) for s in range(2)])
                odds = expit(trees.near(wide))
                row = _scores(divided, features[0][:, _HALIDE] > 0, limits, halves, odds)
                found.setdefault((knowledge, "with" if added else "without"), []).append(row)
    body = [
        [knowledge, added, *(f"{m:.3f} ± {s:.3f}" for m, s in zip(*_spread(rows), strict=True))]
        for (knowledge, added), rows in found.items()
    ]
    head = ["unknown", "halide feature", "reduction, V", "oxidation, V", "oxidation of halides, V"]
    head += ["covered: reduction", "oxidation", "oxidation of halides", "Brier", "average precision"]
    return markdown_table(head, body)


def _without_halide(table: Array) -> Array:
    """Return a copy in which no row is a halide, which also makes the groups of the widths two."""
    out = table.copy()
    out[:, _HALIDE] = 0.0
    return out


def _scores(case: Case, halide: Array, limits: Array, halves: Array, odds: Array) -> list[float]:
    """Return the columns of the table on the half that was not fitted on."""
    error = np.abs(limits - case.window)
    # Windows that do not exist have no error: NaN falls out of each mean.
    inside = np.where(np.isnan(error), np.nan, error <= halves)
    test, halides = ~case.fit, ~case.fit & halide
    near = case.above[test] <= NEAR_HULL_EV_ATOM
    return [
        float(np.nanmean(error[0, test])),
        float(np.nanmean(error[1, test])),
        float(np.nanmean(error[1, halides])),
        float(np.nanmean(inside[0, test])),
        float(np.nanmean(inside[1, test])),
        float(np.nanmean(inside[1, halides])),
        float(((odds[test] - near) ** 2).mean()),
        float(average_precision_score(near, odds[test])),
    ]


def _spread(rows: list[list[float]]) -> tuple[Array, Array]:
    table = np.array(rows)
    return table.mean(axis=0), table.std(axis=0, ddof=1)
