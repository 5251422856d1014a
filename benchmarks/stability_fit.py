"""What half of the unexplored systems teaches: the calibration of predicted stability and windows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from scipy.optimize import minimize

from benchmarks.unexplored import Array, Case
from softlyte.models.predictions import PropertyPrediction
from softlyte.screening.hull_evidence import REACTION_ENERGY_SD
from softlyte.screening.stability import NEAR_HULL_EV_ATOM, Stability, StabilityCalibration

Place = Callable[[Case, StabilityCalibration], Stability]
"""Compounds, calibration -> where they stand on the hull."""

NEUTRAL = StabilityCalibration(0.0, 1.0, (0.0, 0.0))
SHARES = (0.0, 0.05, 0.1, 0.2, 0.35, 0.5, 1.0)
"""Shares of a predicted depth below the hull that are tried."""
EXTRA_SD_V = np.linspace(0.0, 1.5, 301)
Z90 = 1.6449
"""Half the width of a normal distribution's 90% interval in standard deviations."""


def fit_all(place: Place, case: Case) -> StabilityCalibration:
    """Return the calibration, fitted step by step on the half of the systems that is for it."""
    chosen = case.take(case.fit)
    before = place(chosen, NEUTRAL)
    shift, scale = fit_energy(before, chosen)
    moved = replace(NEUTRAL, shift_ev_atom=shift, scale=scale)
    moved = replace(moved, depth_share=fit_depth(place, chosen, moved))
    return replace(moved, window_sd_v=fit_spread(place(chosen, moved), chosen))


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
        found = place(chosen, replace(fit, depth_share=share))
        limits = np.stack([found.reduction_v.mean(), found.oxidation_v.mean()])
        errors[share] = float(np.nanmean(np.abs(limits - chosen.window)))
    return min(errors, key=lambda share: errors[share])


def fit_spread(found: Stability, case: Case) -> tuple[float, float]:
    """Return the further standard deviation of both limits whose 90% intervals cover 90%."""
    out = []
    for side, limit in enumerate((found.reduction_v, found.oxidation_v)):
        rows = np.isfinite(case.window[side]) & np.isfinite(limit.mean())
        error, sd = np.abs(limit.mean() - case.window[side])[rows], limit.sd()[rows]
        covered = [(error <= Z90 * np.hypot(sd, extra)).mean() >= 0.9 for extra in EXTRA_SD_V]
        out.append(float(EXTRA_SD_V[int(np.argmax(covered))] if any(covered) else EXTRA_SD_V[-1]))
    return out[0], out[1]
