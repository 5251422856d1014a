"""Targets that rest on the same quantities, judged together: what a pellet conducts, mechanics, pressure.

The conductivity at the operating pressure follows from conductivity, hardness and flow; the required stack
pressure from hardness, modulus and flow. As independent factors the joint probability would count a soft,
flowing material as one stroke of luck for each of its targets. Here one draw of a member's moduli, hardness
and pellet answers all of these targets at once. Given the draw, conductivity, glass transition and the
scatter of the pressure law are independent normals and are integrated exactly, so that even a small
probability is smooth; only what is fixed by the draw itself is counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from softlyte.models.predictions import PropertyPrediction
from softlyte.screening.mechanics import TABOR
from softlyte.screening.pressure import flow_below, solid_below, solid_contact
from softlyte.screening.sampled import CHUNK_ROWS, DRAWS, Draws, draw_pellet, draw_solid, normals
from softlyte.screening.targets import DRAWN_COLUMNS, Target

if TYPE_CHECKING:
    from softlyte.screening.decision import Assessment

FloatArray = NDArray[np.float64]

ALSO_SHARED = (
    "sigma_ms_cm",
    "log10_sigma_s_cm",
    "stack_pressure_mpa",
    "glass_transition_k",
    "bulk_modulus_gpa",
    "shear_modulus_gpa",
    "youngs_modulus_gpa",
)
"""Columns with a distribution of their own that the same quantities decide."""


def shares_draws(column: str) -> bool:
    """Tell whether a target column can be judged together with DRAWN_COLUMNS."""
    return column in DRAWN_COLUMNS or column in ALSO_SHARED


def shared_probability(assessment: Assessment, targets: Sequence[Target], draws: int = DRAWS) -> FloatArray:
    """Return each member's probability that all of these targets hold, [E, N].

    Args:
        assessment: of N materials; a pellet conducts at the operating pressure of its conditions.
        targets: of columns that `shares_draws` accepts.
        draws: for each member.
    """
    members, n = assessment.pressure.flow_weight.shape
    z = normals(members, draws)
    found = np.zeros((members, n))
    for start in range(0, n, CHUNK_ROWS):
        rows = slice(start, min(start + CHUNK_ROWS, n))
        found[:, rows] = _of_rows(assessment, rows, targets, z)
    return found


def _of_rows(assessment: Assessment, rows: slice, targets: Sequence[Target], z: FloatArray) -> FloatArray:
    """Return the probability of some rows, [E, rows]: solid and flowing are two cases with their weights."""
    drawn = draw_solid(assessment.predictions.take(rows), z)
    glass = assessment.pressure.glass[rows]
    solid_weight, flow_weight = _weights(assessment, rows, targets)
    total = solid_weight * _case(assessment, rows, targets, z, drawn, flows=False)
    if glass.any():
        flowing = _case(assessment, rows, targets, z, drawn, flows=True)
        total = total + np.where(glass, flow_weight * flowing, 0.0)
    return total


def _weights(assessment: Assessment, rows: slice, targets: Sequence[Target]) -> tuple[FloatArray, FloatArray]:
    """Return the probability of not flowing and of flowing with the glass transition on target, [E, rows]."""
    flow = assessment.pressure.flow_weight[:, rows]
    wanted = [t for t in targets if t.column == "glass_transition_k"]
    if not wanted:
        return 1.0 - flow, flow
    kelvin = assessment.conditions.temperature_c + 273.15
    transition = assessment.predictions["glass_transition_k"].take(rows)
    glass = assessment.pressure.glass[rows]
    low, high = _limits(wanted)
    solid = _between(transition, max(low, kelvin), high)
    flowing = _between(transition, low, min(high, kelvin))
    # A crystal has no glass transition, and an unknown one meets no target.
    return np.where(glass, np.nan_to_num(solid), 0.0), np.where(glass, np.nan_to_num(flowing), 0.0)


def _case(
    assessment: Assessment,
    rows: slice,
    targets: Sequence[Target],
    z: FloatArray,
    drawn: Draws,
    flows: bool,
) -> FloatArray:
    """Return the probability that the targets but the glass transition's hold if a row flows or not."""
    conditions, glass = assessment.conditions, assessment.pressure.glass[rows]
    flowing = np.full(len(glass), flows)
    kept, made = draw_pellet(drawn.hardness_gpa, conditions.working_pressure_mpa, flowing, z)
    fixed = {
        "bulk_modulus_gpa": drawn.bulk_gpa,
        "shear_modulus_gpa": drawn.shear_gpa,
        "poisson_ratio": drawn.solid.poisson_ratio,
        "pugh_ratio": drawn.solid.pugh_ratio,
        "hardness_tian_gpa": drawn.hardness_gpa,
        "yield_strength_gpa": drawn.hardness_gpa / TABOR,
        "conductivity_kept": kept,
        "fabrication_pressure_mpa": made,
    }
    chance = np.ones_like(kept)
    low, high = np.full_like(kept, -np.inf), np.full_like(kept, np.inf)
    pressure, conducts = [t for t in targets if t.column == "stack_pressure_mpa"], False
    for target in targets:
        if target.column in fixed:
            chance *= target.met(fixed[target.column])
        elif target.column == "youngs_modulus_gpa":
            own = assessment.predictions["youngs_modulus_gpa"].take(rows)
            chance *= target.met(_on_own_scale(drawn.solid.youngs_modulus_gpa, own))
        elif target.column in ("sigma_ms_cm", "log10_sigma_s_cm", "sigma_at_pressure_ms_cm"):
            limit = _log10_sigma(target)
            if target.column == "sigma_at_pressure_ms_cm":
                limit = limit - np.log10(kept)
            if target.wants_low:
                high = np.minimum(high, limit)
            else:
                low = np.maximum(low, limit)
            conducts = True
    if conducts:
        sigma = assessment.predictions["sigma_s_cm"].take(rows)
        mean, sd = sigma.member_mean[:, None], sigma.member_sd[:, None]
        # An unknown conductivity (NaN) meets no target.
        chance *= np.nan_to_num(np.maximum(ndtr((high - mean) / sd) - ndtr((low - mean) / sd), 0.0))
    if pressure:
        least, most = (_log10(limit) for limit in _limits(pressure))
        if flows:
            chance *= max(float(flow_below(most)) - float(flow_below(least)), 0.0)
        else:
            law = solid_contact(
                drawn.bulk_gpa, drawn.shear_gpa, glass, conditions, drawn.hardness_log10_offset, 0.0
            )[:3]
            chance *= np.maximum(solid_below(most, *law) - solid_below(least, *law), 0.0)
    return np.asarray(chance.mean(axis=1))


def _limits(targets: Sequence[Target]) -> tuple[float, float]:
    """Return between which values the targets of one column hold."""
    low = max([t.value for t in targets if not t.wants_low], default=-np.inf)
    return low, min([t.value for t in targets if t.wants_low], default=np.inf)


def _between(prediction: PropertyPrediction, low: float, high: float) -> FloatArray:
    """Return each member's probability of a value between two, [E, N]; 0 where there is no room."""
    if high <= low:
        return np.zeros_like(prediction.member_mean)
    return prediction.member_probability_below(high) - prediction.member_probability_below(low)


def _log10(value: float) -> float:
    return float(np.log10(value)) if value > 0 else -np.inf


def _log10_sigma(target: Target) -> FloatArray:
    """Return a conductivity target's value as log10 of S/cm."""
    if target.column == "log10_sigma_s_cm":
        return np.asarray(target.value)
    return np.asarray(_log10(target.value * 1e-3))


def _on_own_scale(drawn: FloatArray, own: PropertyPrediction) -> FloatArray:
    """Return draws of Young's modulus with the mean and spread of its own calibrated distribution.

    Args:
        drawn: [E, S, N] from K and G, whose order they keep.
        own: of Young's modulus, log10.
    """
    log10 = np.log10(drawn)
    centre, spread = log10.mean(axis=1, keepdims=True), log10.std(axis=1, keepdims=True)
    score = (log10 - centre) / np.maximum(spread, 1e-12)
    return np.asarray(10.0 ** (own.member_mean[:, None] + own.member_sd[:, None] * score))
