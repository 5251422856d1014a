"""Metrics of an ensemble on rows that it has not seen."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from softlyte.datasets.columns import INTERVAL_LEVEL, PHASES
from softlyte.datasets.formulas import symbols
from softlyte.models.predictions import PropertyPrediction
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


def predict_targets(
    predictor: Predictor, rows: TrainingRows, batch_size: int = 4096
) -> tuple[dict[str, PropertyPrediction], NDArray[np.float64]]:
    """Predict every target under each row's own phase and fidelity.

    Returns:
        The calibrated ensemble, and the members' own means before calibration, [E, N, T + 1].
    """
    means, sds = [], []
    for start in range(0, len(rows), batch_size):
        part = slice(start, start + batch_size)
        mean, sd = predictor.raw(
            rows.compositions[part], rows.phase[part], rows.fidelity[part], rows.temperature_c[part]
        )
        means.append(mean)
        sds.append(sd)
    members = np.concatenate(means, axis=1)
    calibrated = predictor.calibrated(rows.compositions, rows.phase, members, np.concatenate(sds, axis=1))
    return calibrated, np.concatenate([members, log10_youngs_modulus(members)[..., None]], axis=2)


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


def evaluate(predictor: Predictor, rows: TrainingRows) -> dict[str, Any]:
    """Return metrics by target and subset (crystal, glass, Li/Na halides).

    Each holds rows, mae (ensemble), mae_members (mean and standard deviation over the members),
    rmse, spearman, coverage of the interval and its mean width, in the
    target's transformed unit.
    """
    from scipy.stats import spearmanr

    predicted, member_mean = predict_targets(predictor, rows)
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
