"""Properties with intervals by sampling: what K, G, glass transition and conductivity imply together.

Every ensemble member's quantities are drawn with scrambled Sobol points, the same for every material, sent
through the formulas, and summarised by quantiles. Draws that belong together (a soft and conducting member)
stay together.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri
from scipy.stats import qmc

from softlyte.datasets.columns import INTERVAL_LEVEL
from softlyte.models.predictions import Predictions, PropertyPrediction
from softlyte.screening.mechanics import TABOR, Mechanics, draw_moduli, mechanics
from softlyte.screening.parameters import parameter
from softlyte.screening.pellet import kept_and_fabrication
from softlyte.screening.pressure import relaxed_modulus_gpa

if TYPE_CHECKING:
    from softlyte.screening.decision import Assessment

FloatArray = NDArray[np.float64]

SAMPLED_COLUMNS = (
    "poisson_ratio",
    "pugh_ratio",
    "hardness_tian_gpa",
    "hardness_chen_gpa",
    "yield_strength_gpa",
    "acting_modulus_gpa",
    "conductivity_kept",
    "sigma_at_pressure_ms_cm",
    "fabrication_pressure_mpa",
)

DRAWS = 64
"""Draws for each ensemble member behind an interval."""

CHUNK_ROWS = 2048

_G, _K, _FORM, _TRANSITION, _SIGMA, _PELLET = 0, 1, 2, 3, 4, slice(5, 9)


@lru_cache(maxsize=4)
def normals(members: int, draws: int) -> FloatArray:
    """Return scrambled Sobol points as independent standard normals, [members, draws, 9]."""
    points = qmc.Sobol(9, seed=0).random_base2(int(np.ceil(np.log2(members * draws))))
    normal = ndtri(np.clip(points[: members * draws], 1e-6, 1 - 1e-6))
    return np.asarray(normal.reshape(members, draws, 9))


def sampled_columns(
    assessment: Assessment, draws: int = DRAWS
) -> dict[str, tuple[FloatArray, FloatArray, FloatArray]]:
    """Return median, lower and upper end of each of SAMPLED_COLUMNS, three [N] arrays each.

    Hardness and yield strength are those of the Tian form, moved by its mean offset from measured hardness
    and spread by its scatter; hardness_chen_gpa is the bare form of Chen and Niu, NaN where its median is not
    positive. Where a quantity does not hold (no glass transition for a crystal) the solid's value is taken.

    Args:
        assessment: of N materials; a pellet conducts at the operating pressure of its conditions.
        draws: for each member.
    """
    n = len(assessment)
    out = {name: np.full((3, n), np.nan) for name in SAMPLED_COLUMNS}
    tail = (1 - INTERVAL_LEVEL) / 2
    count = len(assessment.pressure.flow_weight) * draws
    places = np.rint(np.array([0.5, tail, 1 - tail]) * (count - 1)).astype(int)
    z = normals(len(assessment.pressure.flow_weight), draws)
    for start in range(0, n, CHUNK_ROWS):
        rows = slice(start, min(start + CHUNK_ROWS, n))
        for name, sample in _draw(assessment, rows, z).items():
            flat = np.ascontiguousarray(sample.reshape(-1, sample.shape[2]).T)
            flat.partition(np.sort(places), axis=1)
            out[name][:, rows] = flat[:, places].T
    # Both are rising functions of one sampled quantity, whose quantiles they therefore share.
    out["poisson_ratio"] = (3 * out["pugh_ratio"] - 2) / (2 * (3 * out["pugh_ratio"] + 1))
    out["yield_strength_gpa"] = out["hardness_tian_gpa"] / TABOR
    chen = out["hardness_chen_gpa"]
    out["hardness_chen_gpa"] = np.where(chen[0] > 0, np.maximum(chen, 0.0), np.nan)
    return {name: (values[0], values[1], values[2]) for name, values in out.items()}


@dataclass(frozen=True)
class Draws:
    """Draws of what the mechanics and the pellet of N materials follow from, [E, S, N] each.

    Attributes:
        bulk_gpa, shear_gpa: moduli of the crystal, or of the glass.
        solid: what follows from them.
        hardness_log10_offset: [E, S, 1] of measured hardness from the Tian form.
        hardness_gpa: the Tian hardness moved by that offset.
    """

    bulk_gpa: FloatArray
    shear_gpa: FloatArray
    solid: Mechanics
    hardness_log10_offset: FloatArray
    hardness_gpa: FloatArray


def draw_solid(predictions: Predictions, z: FloatArray) -> Draws:
    """Return draws of the solid's mechanics.

    Args:
        predictions: of N materials.
        z: [E, S, 9] from `normals`.
    """
    bulk, shear = predictions["bulk_modulus_gpa"], predictions["shear_modulus_gpa"]
    k, g = draw_moduli(bulk, shear, predictions.modulus_correlation, z[..., [_G, _K]])
    solid = mechanics(k, g)
    form = parameter("hardness_tian_log10_offset")
    offset = form.value + form.sd * z[..., _FORM, None]
    return Draws(k, g, solid, offset, solid.hardness_tian_gpa * 10.0**offset)


def draw_pellet(
    hardness_gpa: FloatArray, pressure_mpa: float, flows: NDArray[np.bool_], z: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return draws [E, S, N] of the kept conductivity and of the fabrication pressure in MPa.

    Args:
        hardness_gpa: [E, S, N] draws.
        pressure_mpa: at which the cell works.
        flows: [E, S, N] draws, or [N], in which the material flows.
        z: [E, S, 9] from `normals`.
    """
    return kept_and_fabrication(hardness_gpa, pressure_mpa, flows, z[..., _PELLET])


def _draw(assessment: Assessment, rows: slice, z: FloatArray) -> dict[str, FloatArray]:
    """Return draws [E, S, rows] of each column that does not follow from another."""
    predictions = assessment.predictions.take(rows)
    drawn = draw_solid(predictions, z)
    kelvin = assessment.conditions.temperature_c + 273.15
    glass = assessment.pressure.glass[rows]
    transition = np.where(glass, _values(predictions["glass_transition_k"], z[..., _TRANSITION]), np.inf)
    # An unknown transition (NaN) is no evidence of flow.
    transition = np.where(np.isnan(transition), np.inf, transition)
    pressure_mpa = assessment.conditions.working_pressure_mpa
    kept, made = draw_pellet(drawn.hardness_gpa, pressure_mpa, transition < kelvin, z)
    sigma = 10.0 ** _values(predictions["sigma_s_cm"], z[..., _SIGMA])
    return {
        "pugh_ratio": drawn.solid.pugh_ratio,
        "hardness_tian_gpa": drawn.hardness_gpa,
        "hardness_chen_gpa": drawn.solid.hardness_chen_gpa,
        "acting_modulus_gpa": relaxed_modulus_gpa(drawn.solid.youngs_modulus_gpa, transition, kelvin),
        "conductivity_kept": kept,
        "sigma_at_pressure_ms_cm": sigma * kept * 1e3,
        "fabrication_pressure_mpa": made,
    }


def _values(prediction: PropertyPrediction, z: FloatArray) -> FloatArray:
    """Return draws of one property in its transformed unit, [E, S, N]."""
    return prediction.member_mean[:, None] + prediction.member_sd[:, None] * z[..., None]
