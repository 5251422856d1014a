"""What measured neighbours add to the networks: residual process and ExtraTrees on grouped folds.

python -m benchmarks.near_neighbours

The process is fitted to the residuals of the rows that a fold's network was trained on, never to the fold's
own; its two numbers by its posterior mode on the same rows. Stated spreads are the network's, times the
factor that makes 90% intervals of the other folds by chemical system cover, as shipped calibrations are made.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri
from sklearn.model_selection import GroupKFold

from benchmarks.baselines import extra_trees
from benchmarks.measured import BY, FOLDS, Measured, load_measured
from benchmarks.metrics import over_seeds, spearman
from benchmarks.report import markdown_table, write_section
from softlyte.datasets.columns import INTERVAL_LEVEL
from softlyte.datasets.distances import distances
from softlyte.models.distillation import tabular_features
from softlyte.models.evaluation import halide_rows
from softlyte.models.residual_process import ResidualProcess

Array = NDArray[np.float64]
HALF = float(ndtri(0.5 + INTERVAL_LEVEL / 2))
NETWORKS, PROCESS, TREES, BOTH = (
    "networks",
    "networks and residual process",
    "ExtraTrees",
    "process and ExtraTrees",
)


@dataclass(frozen=True)
class Predicted:
    """Predictions of N rows by what has not seen their fold: mean and standard deviation, [N] each."""

    mean: Array
    sd: Array


def spread_factor(measured: Measured, seed: int) -> Array:
    """Return for each fold by chemical system the factor on spreads that the other folds ask for, [K]."""
    value, fold = measured.value(), measured.fold[BY.index("chemical system")]
    mean, sd = (a[seed] for a in measured.out_of_fold("chemical system"))
    score = np.abs(value - mean) / sd
    return np.array([np.nanquantile(score[fold != k], INTERVAL_LEVEL) / HALF for k in range(FOLDS)])


def with_process(measured: Measured, by: str, seed: int) -> tuple[Predicted, Predicted]:
    """Return predictions of every row out of fold: of the network alone, and with the process."""
    code, value = BY.index(by), measured.value()
    fold, rows = measured.fold[code], measured.rows
    factor = spread_factor(measured, seed)
    alone = Predicted(np.empty(len(value)), np.empty(len(value)))
    near = Predicted(np.empty(len(value)), np.empty(len(value)))
    for k in range(FOLDS):
        mean, sd = measured.mean[code, seed, k], factor[k] * measured.sd[code, seed, k]
        test, train = np.flatnonzero(fold == k), np.flatnonzero((fold != k) & ~np.isnan(value))
        z = (value[train] - mean[train]) / sd[train]
        process = ResidualProcess.fit(rows.compositions[train], rows.phase[train], z)
        shift, narrowed = process.predict(rows.compositions[test], rows.phase[test])
        alone.mean[test], alone.sd[test] = mean[test], sd[test]
        near.mean[test], near.sd[test] = mean[test] + shift * sd[test], sd[test] * narrowed
        print(
            f"{by}, seed {seed}, fold {k}: share {process.share:.2f}, reach {process.reach:.2f}, "
            f"widening {process.widening:.2f}",
            flush=True,
        )
    return alone, near


def by_trees(measured: Measured, by: str, seed: int) -> Array:
    """Return ExtraTrees' predictions of every row out of fold, [N]."""
    value, fold = measured.value(), measured.fold[BY.index(by)]
    features, out = tabular_features(measured.rows), np.empty(len(value))
    for k in range(FOLDS):
        train = (fold != k) & ~np.isnan(value)
        out[fold == k] = extra_trees(seed).fit(features[train], value[train]).predict(features[fold == k])
    return out


def subsets(measured: Measured, by: str) -> dict[str, NDArray[np.bool_]]:
    """Return all rows, the Li/Na halides, and classes by the distance to the nearest row learned from."""
    known, fold = ~np.isnan(measured.value()), measured.fold[BY.index(by)]
    rows = measured.rows
    away = distances(rows.compositions, rows.compositions)
    away[(fold[:, None] == fold) | (rows.phase[:, None] != rows.phase) | ~known[None]] = np.inf
    nearest = away.min(axis=1)
    out = {"all": known, "Li/Na halides": known & halide_rows(rows)}
    for low, high in ((0.0, 0.02), (0.02, 0.05), (0.05, 0.1), (0.1, 1.01)):
        name = f"nearest {low:g}-{min(high, 1):g} away"
        out[name] = known & (nearest >= low) & (nearest < high)
    return out


def section(measured: Measured) -> str:
    """Return the Markdown table of both kinds of folds."""
    value, seeds = measured.value(), range(measured.mean.shape[1])
    body = []
    for by in BY:
        pairs = [with_process(measured, by, seed) for seed in seeds]
        trees = [by_trees(measured, by, seed) for seed in range(3)]
        ensemble = Predicted(
            np.mean([p.mean for _, p in pairs], axis=0),
            np.sqrt(
                np.mean([p.sd**2 for _, p in pairs], axis=0) + np.var([p.mean for _, p in pairs], axis=0)
            ),
        )
        both = (ensemble.mean + np.mean(trees, axis=0)) / 2
        for name, rows in subsets(measured, by).items():
            if rows.sum() < 10:
                continue
            inside = [
                float((np.abs(value - p.mean) <= HALF * p.sd)[rows].mean())
                for p in (pairs[0][0], pairs[0][1])
            ]
            width = [float(2 * HALF * p.sd[rows].mean()) for p in pairs[0]]
            body.append(
                [
                    by,
                    name,
                    str(int(rows.sum())),
                    over_seeds([float(np.abs(p.mean - value)[rows].mean()) for p, _ in pairs]),
                    over_seeds([float(np.abs(p.mean - value)[rows].mean()) for _, p in pairs]),
                    over_seeds([float(np.abs(t - value)[rows].mean()) for t in trees]),
                    f"{np.abs(both - value)[rows].mean():.3f}",
                    f"{spearman(ensemble.mean[rows], value[rows]):.2f}",
                    f"{inside[0]:.0%} / {inside[1]:.0%}",
                    f"{width[0]:.1f} / {width[1]:.1f}",
                ]
            )
    head = ["folds by", "rows", "number", NETWORKS, PROCESS, TREES, BOTH, "Spearman (process)"]
    head += ["in 90% before / after", "width before / after"]
    return markdown_table(head, body)


def own_fold(measured: Measured, seed: int) -> Predicted:
    """Return predictions of every row by the network that has not seen its system, and the fold's other rows.

    The process is that of `softlyte.models.neighbour_layers`: on the residuals of the fold's rows, all out of
    fold, the composition itself left out.
    """
    code, value = BY.index("chemical system"), measured.value()
    fold, known = measured.fold[code], ~np.isnan(value)
    base, spread = (a[seed] for a in measured.out_of_fold("chemical system"))
    mean, sd = base.copy(), spread_factor(measured, seed)[fold] * spread
    for k in range(FOLDS):
        here = np.flatnonzero((fold == k) & known)
        process = ResidualProcess.fit(
            measured.rows.compositions[here], measured.rows.phase[here], (value[here] - base[here]) / sd[here]
        )
        shift, narrowed = process.leave_one_out()
        mean[here], sd[here] = base[here] + shift * sd[here], sd[here] * narrowed
    return Predicted(mean, sd)


def trees_without_the_formula(measured: Measured, seed: int, folds: int = 20) -> Array:
    """Return ExtraTrees' predictions of every row, all rows of its composition left out, [N]."""
    value, features = measured.value(), tabular_features(measured.rows)
    group = measured.rows.compositions.groups()
    out = np.empty(len(value))
    for train, test in GroupKFold(folds, shuffle=True, random_state=seed).split(features, groups=group):
        seen = train[~np.isnan(value[train])]
        out[test] = extra_trees(seed).fit(features[seen], value[seen]).predict(features[test])
    return out


def own_fold_section(measured: Measured) -> str:
    """Return the table of what ships with `neighbours = true`, judged on each composition left out."""
    value, seeds = measured.value(), range(measured.mean.shape[1])
    known = ~np.isnan(value)
    alone = measured.out_of_fold("chemical system")[0]
    near = [own_fold(measured, seed) for seed in seeds]
    trees = [trees_without_the_formula(measured, seed) for seed in range(3)]
    body = []
    for name, rows in (("all", known), ("Li/Na halides", known & halide_rows(measured.rows))):
        inside = np.mean([(np.abs(value - p.mean) <= HALF * p.sd)[rows].mean() for p in near])
        body.append(
            [
                name,
                str(int(rows.sum())),
                over_seeds([float(np.abs(alone[s] - value)[rows].mean()) for s in seeds]),
                over_seeds([float(np.abs(p.mean - value)[rows].mean()) for p in near]),
                over_seeds([float(np.abs(t - value)[rows].mean()) for t in trees]),
                f"{inside:.0%}",
                f"{np.mean([2 * HALF * p.sd[rows].mean() for p in near]):.1f}",
            ]
        )
    head = ["rows", "number", "network, system unseen", "with the fold's other rows", TREES]
    return markdown_table([*head, "in 90%", "width"], body)


if __name__ == "__main__":
    kept = load_measured()
    print(text := section(kept))
    write_section("near_neighbours", text)
    print(text := own_fold_section(kept))
    write_section("neighbours-own-fold", text)
