"""What half of the unexplored systems teaches: the calibration of predicted stability and windows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from scipy.optimize import minimize

from benchmarks.unexplored import Array, Case
from softlyte.models.predictions import PropertyPrediction
from softlyte.screening.stability import (
    NEAR_HULL_EV_ATOM,
    REACTION_ENERGY_SD,
    Stability,
    StabilityCalibration,
)

Place = Callable[[Case, StabilityCalibration, bool], Stability]
"""Compounds, calibration, with the window heads or without -> where they stand."""

NEUTRAL = StabilityCalibration(0.0, 1.0, (0.0, 0.0))
SHARES = (0.0, 0.05, 0.1, 0.2, 0.35, 0.5, 1.0)
"""Shares of a predicted depth below the hull that are tried."""
WEIGHTS = np.linspace(0.0, 1.0, 41)
"""Weights of the window heads that are tried."""
DISAGREEMENTS = np.linspace(0.0, 1.5, 31)
"""Shares of the distance between hull and head in the standard deviation that are tried."""
EXTRA_SD_V = np.linspace(0.0, 1.5, 301)
Z90 = 1.6449
"""Half the width of a normal distribution's 90% interval in standard deviations."""


def fit_all(place: Place, case: Case) -> StabilityCalibration:
    """Return the calibration, fitted step by step on the half of the systems that is for it."""
    chosen = case.take(case.fit)
    before = place(chosen, NEUTRAL, False)
    shift, scale = fit_energy(before, chosen)
    moved = replace(NEUTRAL, shift_ev_atom=shift, scale=scale)
    moved = replace(moved, depth_share=fit_depth(place, chosen, moved))
    alone = place(chosen, moved, False)
    moved = replace(moved, head_weight=fit_heads(alone, chosen))
    share, extra = fit_spread(alone, place(chosen, moved, True), chosen)
    return replace(moved, disagreement=share, window_sd_v=extra)


def fit_energy(found: Stability, case: Case) -> tuple[float, float]:
    """Return shift and scale that make P(within 50 meV) likeliest."""
    mean, sd = found.e_above_hull.mean(), _own_sd(found)
    near = case.above <= NEAR_HULL_EV_ATOM

    def loss(parameters: Array) -> float:
        shift, log_scale = parameters
        p = PropertyPrediction(mean[None] + shift, np.exp(log_scale) * sd[None]).probability_below(
            NEAR_HULL_EV_ATOM
        )
        p = np.clip(p, 1e-6, 1 - 1e-6)
        return float(-np.where(near, np.log(p), np.log1p(-p)).mean())

    # Bounds, so that forecasts without any information do not run off to infinity.
    best = minimize(loss, np.zeros(2), method="Nelder-Mead", bounds=[(-0.2, 0.2), (np.log(0.3), np.log(3.0))])
    return float(best.x[0]), float(np.exp(best.x[1]))


def _own_sd(found: Stability) -> Array:
    """Return the spread of the predicted energy alone, [N] eV/atom."""
    return np.sqrt(np.maximum(found.e_above_hull.sd() ** 2 - REACTION_ENERGY_SD**2, 1e-8))


def probability(found: Stability, limit: float) -> Array:
    """Return P(energy above hull <= limit) against DFT's own truth, [N]: without DFT's error of reactions."""
    return PropertyPrediction(found.e_above_hull.mean()[None], _own_sd(found)[None]).probability_below(limit)


def fit_depth(place: Place, case: Case, fit: StabilityCalibration) -> float:
    """Return the share of a depth below the hull that serves the windows best."""
    chosen = case.take(np.isfinite(case.window).all(axis=0))
    errors = {}
    for share in SHARES:
        found = place(chosen, replace(fit, depth_share=share), False)
        limits = np.stack([found.reduction_v.mean(), found.oxidation_v.mean()])
        errors[share] = float(np.nanmean(np.abs(limits - chosen.window)))
    return min(errors, key=lambda share: errors[share])


def fit_heads(found: Stability, case: Case) -> tuple[float, float]:
    """Return the weights of the window heads beside the hull that serve the case best."""
    out = []
    for side, hull in enumerate((found.reduction_v, found.oxidation_v)):
        rows = np.isfinite(case.window[side]) & np.isfinite(hull.mean())
        truth, by_hull, by_head = (x[rows] for x in (case.window[side], hull.mean(), case.heads[side].mean()))
        errors = [np.abs((1 - w) * by_hull + w * by_head - truth).mean() for w in WEIGHTS]
        out.append(float(WEIGHTS[int(np.argmin(errors))]))
    return out[0], out[1]


def fit_spread(
    hull: Stability, drawn: Stability, case: Case
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return the share of the disagreement of hull and head and the further deviation of both limits.

    Among the pairs whose 90% intervals cover 90%, the one with the least interval score
    (Gneiting & Raftery, J. Am. Stat. Assoc. 102, 359 (2007), doi 10.1198/016214506000001437).

    Args:
        hull: placed without the heads.
        drawn: placed with them, without a share of the disagreement and a further standard deviation.
        case: the compounds.
    """
    shares, extras = [], []
    for side, (alone, both) in enumerate(
        ((hull.reduction_v, drawn.reduction_v), (hull.oxidation_v, drawn.oxidation_v))
    ):
        rows = np.isfinite(case.window[side]) & np.isfinite(both.mean())
        error, sd = np.abs(both.mean() - case.window[side])[rows], both.sd()[rows]
        apart = np.abs(alone.mean() - case.heads[side].mean())[rows]
        best = (np.inf, 0.0, 0.0)
        for share in DISAGREEMENTS:
            for extra in EXTRA_SD_V:
                half = Z90 * np.sqrt(sd**2 + (share * apart) ** 2 + extra**2)
                if (error <= half).mean() >= 0.9:  # the first that covers is the narrowest
                    score = float((2 * half + 20 * np.maximum(error - half, 0)).mean())
                    best = min(best, (score, float(share), float(extra)))
                    break
        shares.append(best[1])
        extras.append(best[2])
    return (shares[0], shares[1]), (extras[0], extras[1])
