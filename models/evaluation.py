"""Metrics of an ensemble on rows that it has not seen."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from softlyte.datasets.columns import INTERVAL_LEVEL, PHASES
from softlyte.datasets.formulas import symbols
from softlyte.models.calibration import Calibration, calibrate
from softlyte.models.predictions import PropertyPrediction
from softlyte.models.predictor import calibrated
from softlyte.models.support import Support, calibration_family, main_anion
from softlyte.models.tasks import TARGET_NAMES, TASKS, YOUNGS_MODULUS
from softlyte.models.training_data import Standardisation, TrainingRows

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


def calibrate_rows(
    rows: TrainingRows,
    member_mean: NDArray[np.float64],
    member_sd: NDArray[np.float64],
    support: Support,
    standard: Standardisation,
) -> Calibration:
    """Calibrate on out-of-fold predictions [E, N, T] of N rows; a censored label, a bound, does not count."""
    least = support.least_sd(main_anion(rows.compositions), rows.phase)
    return calibrate(
        member_mean,
        np.maximum(member_sd, least),
        labels_with_youngs_modulus(rows),
        rows.phase,
        calibration_family(rows.compositions),
        standard.sd[: len(TASKS)],
    )


def cross_calibrated(
    rows: TrainingRows,
    member_mean: NDArray[np.float64],
    member_sd: NDArray[np.float64],
    standard: Standardisation,
    floor: bool = True,
) -> dict[str, PropertyPrediction]:
    """Return the predictions of every row, calibrated on the other folds alone.

    Neither the networks nor the calibration nor the count of relatives has then seen the row's chemical
    system, so that the coverage of these intervals is an honest one.

    Args:
        rows: N labelled rows in K folds.
        member_mean: [E, N, T] of E networks that have not seen the row, in transformed units.
        member_sd: [E, N, T] standard deviations before calibration.
        standard: units of the targets.
        floor: whether the number of relatives asks for a least spread.
    """
    parts, places = [], []
    for fold in np.unique(rows.fold):
        here, others = np.flatnonzero(rows.fold == fold), rows.fold != fold
        known = rows.take(others)
        support = Support.fit(known) if floor else Support.fit(known).without_floor()
        calibration = calibrate_rows(known, member_mean[:, others], member_sd[:, others], support, standard)
        some = rows.take(here)
        parts.append(
            calibrated(
                calibration,
                support,
                some.compositions,
                some.phase,
                member_mean[:, here],
                member_sd[:, here],
            )
        )
        places.append(here)
    order = np.argsort(np.concatenate(places))
    return {
        name: replace(
            first,
            member_mean=np.concatenate([part[name].member_mean for part in parts], axis=1)[:, order],
            member_sd=np.concatenate([part[name].member_sd for part in parts], axis=1)[:, order],
        )
        for name, first in parts[0].items()
    }


def evaluate(
    rows: TrainingRows,
    member_mean: NDArray[np.float64],
    member_sd: NDArray[np.float64],
    standard: Standardisation,
    floor: bool = True,
) -> dict[str, Any]:
    """Return metrics by target and subset (crystal, glass, Li/Na halides).

    Args:
        rows: N labelled rows in K folds.
        member_mean: [E, N, T] of E networks that have not seen the row, in transformed units.
        member_sd: [E, N, T] standard deviations before calibration.
        standard: units of the targets.
        floor: whether the number of relatives asks for a least spread.

    Each entry holds rows, mae (ensemble), mae_members (mean and standard deviation over the members),
    rmse, spearman, coverage of the interval (calibrated on the other folds) and its mean width, in the
    target's transformed unit.
    """
    from scipy.stats import spearmanr

    predicted = cross_calibrated(rows, member_mean, member_sd, standard, floor)
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
