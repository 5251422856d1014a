"""Fit of the trees that judge hull and window heads (`softlyte.screening.hull_trees`), and their storing.

Settings were chosen by five-fold cross-validation by chemical system within the half that is for fitting.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from safetensors.numpy import save
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.model_selection import GroupKFold
from threadpoolctl import threadpool_limits

from benchmarks.unexplored import Array, Case
from softlyte.datasets.formulas import chemical_systems
from softlyte.datasets.writing import write_bytes
from softlyte.models.boosted_trees import BoostedTrees
from softlyte.screening.hull_evidence import HULL_FEATURES, WIDTH_GROUPS, width_group
from softlyte.screening.hull_trees import TREES_FILE, HullTrees
from softlyte.screening.stability import NEAR_HULL_EV_ATOM

LIMITS = {"loss": "absolute_error", "max_iter": 300, "learning_rate": 0.05, "max_leaf_nodes": 16}
LIMITS |= {"max_depth": 7, "min_samples_leaf": 20, "max_features": 0.5}
ERRORS = {"loss": "quantile", "quantile": 0.9, "max_iter": 100, "learning_rate": 0.06, "max_leaf_nodes": 16}
ERRORS |= {"max_depth": 7, "min_samples_leaf": 60, "max_features": 0.5}
NEAR = {"max_iter": 400, "learning_rate": 0.05, "max_leaf_nodes": 24, "max_depth": 8}
NEAR |= {"min_samples_leaf": 20, "max_features": 0.1, "l2_regularization": 5.0}
DISTANCE = {"loss": "absolute_error", "max_iter": 150, "learning_rate": 0.06, "max_leaf_nodes": 16}
DISTANCE |= {"max_depth": 7, "min_samples_leaf": 30, "max_features": 0.5}
"""Settings of scikit-learn's histogram boosting for limits, their errors, stability, distance from 50 meV."""

FOLDS = 5
FLOOR_V, FLOOR_EV_ATOM = 0.01, 0.01
"""Added to errors and distances before their logarithm."""
ABOVE_RANGE = (-0.2, 0.6)
"""eV/atom; a phase further off is far off, that is all."""


def as_trees(model: Any) -> BoostedTrees:
    """Return a fitted histogram boosting of one output as plain arrays; of a classifier its log odds."""
    trees = [stage[0].nodes for stage in model._predictors]
    nodes = max(len(tree) for tree in trees)

    def table(field: str, fill: float, dtype: type) -> np.ndarray:
        out = np.full((len(trees), nodes), fill, dtype=dtype)
        for i, tree in enumerate(trees):
            out[i, : len(tree)] = np.where(tree["is_leaf"], fill, tree[field])
        return out

    left, right, value = (
        table("left", 0, np.int16),
        table("right", 0, np.int16),
        np.zeros((len(trees), nodes)),
    )
    for i, tree in enumerate(trees):
        leaf = tree["is_leaf"].astype(bool)
        itself = np.arange(len(tree))
        left[i, : len(tree)][leaf] = right[i, : len(tree)][leaf] = itself[leaf]
        value[i, : len(tree)][leaf] = tree["value"][leaf]
    return BoostedTrees(
        table("feature_idx", 0, np.int16),
        table("num_threshold", np.inf, np.float64),
        table("missing_go_to_left", 0, np.bool_),
        left,
        right,
        value,
        float(np.ravel(model._baseline_prediction)[0]),
        max(int(tree["depth"].max()) for tree in trees),
    )


def fit_trees(case: Case, features: list[Array], described: list[Array], hull_v: list[Array]) -> HullTrees:
    """Fit on the half that is for fitting, every compound once for each kind of knowledge.

    Args:
        case: N compounds.
        features: [N, F] for each kind of knowledge.
        described: [N, F + 4D] for each.
        hull_v: [2, N] the hull's limits for each.
    """
    # Sums of several threads differ from run to run, and with them the splits.
    with threadpool_limits(1):
        return _fitted(case, features, described, hull_v)


def _fitted(case: Case, features: list[Array], described: list[Array], hull_v: list[Array]) -> HullTrees:
    limits, errors, widths = [], [], []
    groups = np.array(chemical_systems(case.compositions))
    for side in range(2):
        usable = case.fit & np.isfinite(case.window[side])
        x = np.concatenate([f[usable] for f in features])
        y = np.concatenate([(case.window - h)[side, usable] for h in hull_v])
        group = np.tile(groups[usable], len(features))
        missed = np.abs(y - _crossed(LIMITS, x, y, group))
        half = np.exp(_crossed(ERRORS, x, np.log(missed + FLOOR_V), group))
        # The factors with which out-of-fold intervals cover 90% of each group (Mondrian conformal).
        kind = width_group(x)
        of_group = [(missed / half)[kind == k] for k in range(WIDTH_GROUPS)]
        widths.append([float(np.quantile(shares, 0.9)) if len(shares) else 1.0 for shares in of_group])
        limits.append(as_trees(_regressor(LIMITS).fit(x, y)))
        errors.append(as_trees(_regressor(ERRORS).fit(x, np.log(missed + FLOOR_V))))
    near = np.tile(case.above[case.fit] <= NEAR_HULL_EV_ATOM, len(features))
    stable = HistGradientBoostingClassifier(early_stopping=False, random_state=0, **NEAR)
    everything = np.concatenate([d[case.fit] for d in described])
    stable.fit(everything, near)
    x = np.concatenate([f[case.fit] for f in features])
    apart = np.abs(np.clip(case.above, *ABOVE_RANGE) - NEAR_HULL_EV_ATOM)[case.fit]
    y = np.log(np.tile(apart, len(features)) + FLOOR_EV_ATOM)
    distance = as_trees(_regressor(DISTANCE).fit(x, y))
    return HullTrees(
        (limits[0], limits[1]),
        (errors[0], errors[1]),
        np.array(widths),
        as_trees(stable),
        distance,
        1.0,
        NEAR_HULL_EV_ATOM,
    )


def _regressor(settings: dict[str, Any]) -> HistGradientBoostingRegressor:
    return HistGradientBoostingRegressor(early_stopping=False, random_state=0, **settings)


def _crossed(settings: dict[str, Any], x: Array, y: Array, group: np.ndarray) -> Array:
    """Return out-of-fold predictions, folds by chemical system."""
    out = np.empty(len(y))
    for train, test in GroupKFold(FOLDS).split(x, groups=group):
        out[test] = _regressor(settings).fit(x[train], y[train]).predict(x[test])
    return out


def ship(trees: HullTrees) -> None:
    """Write the trees into the package."""
    write_bytes(TREES_FILE, save(trees.tensors(), metadata={"features": ",".join(HULL_FEATURES)}))
