"""Metrics of an ensemble on rows that it has not seen."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from softlyte.datasets.columns import INTERVAL_LEVEL, PHASES
from softlyte.datasets.formulas import symbols
from softlyte.models.predictor import Predictor
from softlyte.models.tasks import TARGET_NAMES, YOUNGS_MODULUS
from softlyte.models.training_data import TrainingRows

FEWEST_ROWS = 10
"""A subset with fewer test rows gets no metrics."""
HALOGENS = ("F", "Cl", "Br", "I")


def halide_rows(rows: TrainingRows) -> NDArray[np.bool_]:
    """Return which rows hold Li or Na together with a halogen, [N]: the chemistry that Softlyte is for."""
    number = {symbol: z for z, symbol in enumerate(symbols())}
    mobile = np.isin(rows.compositions.atomic_numbers, [number["Li"], number["Na"]]).any(axis=1)
    halogen = np.isin(rows.compositions.atomic_numbers, [number[h] for h in HALOGENS]).any(axis=1)
    return np.asarray(mobile & halogen)


def log10_youngs_modulus(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return log10 E = log10(9KG/(3K+G)) from values [..., T] that begin with log10 K and log10 G."""
    k, g = 10.0 ** values[..., 0], 10.0 ** values[..., 1]
    return np.log10(9 * k * g / (3 * k + g))


def labels_with_youngs_modulus(rows: TrainingRows) -> NDArray[np.float64]:
    """Return the labels, [N, T + 1], with log10 E filled in where K and G are known; censored rows NaN."""
    labels = np.where(rows.censored[:, None], np.nan, rows.targets)
    last = TARGET_NAMES.index(YOUNGS_MODULUS)
    labels[:, last] = np.where(np.isnan(labels[:, last]), log10_youngs_modulus(labels), labels[:, last])
    return labels


def evaluate(
    predictor: Predictor,
    rows: TrainingRows,
    member_mean: NDArray[np.float64],
    member_sd: NDArray[np.float64],
) -> dict[str, Any]:
    """Return metrics by target and subset (crystal, glass, Li/Na halides).

    Args:
        predictor: for its calibration.
        rows: N labelled rows.
        member_mean: [E, N, T] of E networks that have not seen the row, in transformed units.
        member_sd: [E, N, T] standard deviations before calibration.

    Each entry holds rows, mae (ensemble), mae_members (mean and standard deviation over the members),
    rmse, spearman, coverage of the interval and its mean width, in the
    target's transformed unit.
    """
    from scipy.stats import spearmanr

    predicted = predictor.calibrated(rows.compositions, rows.phase, member_mean, member_sd)
    member_mean = np.concatenate([member_mean, log10_youngs_modulus(member_mean)[..., None]], axis=2)
    labels = labels_with_youngs_modulus(rows)
    halides = halide_rows(rows)
    subsets = {name: rows.phase == code for code, name in enumerate(PHASES)} | {"Li/Na halides": halides}
    out: dict[str, Any] = {}
    for column, target in enumerate(TARGET_NAMES):
        known = ~np.isnan(labels[:, column])
        prediction = predicted[target]
        for name, mask in subsets.items():
            chosen = known & mask
            if chosen.sum() < FEWEST_ROWS:
                continue
            p, y = prediction.take(chosen), labels[chosen, column]
            half = ndtri(0.5 + INTERVAL_LEVEL / 2) * p.sd()
            members = np.abs(member_mean[:, chosen, column] - y).mean(axis=1)
            out.setdefault(target, {})[name] = {
                "rows": int(chosen.sum()),
                "mae": float(np.abs(p.mean() - y).mean()),
                "mae_members": [float(members.mean()), float(members.std())],
                "rmse": float(np.sqrt(((p.mean() - y) ** 2).mean())),
                "spearman": float(spearmanr(p.mean(), y).statistic),
                "coverage": float((np.abs(p.mean() - y) <= half).mean()),
                "interval_width": float(2 * half.mean()),
            }
    return out
