"""Cold-pressed pellets: the conductivity they keep at a pressure, and the pressure that makes them dense.

Conductivity against stack pressure follows a Hill curve, kept = 1/(1 + (P_half/P)^m), with P_half in
proportion to the hardness; both numbers are fitted on six measured curves of sulfide pellets (Cronau et al.
2021; Miss et al. 2026). Below about 30-50 MPa those curves hold the contact to the electrodes too, as a
cell's pressure does.

Density follows Heckel, ln(1/porosity) = P/P_y + A (Heckel, Trans. Metall. Soc. AIME 221, 671, 1961), with the
mean yield pressure P_y in proportion to the hardness: 246 MPa for Li5.5PS4.5Cl1.5; A from the 18% porosity
that Li6PS5Cl has at 370 MPa (Doux et al. 2020).
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import least_squares

from softlyte.screening.parameters import parameter

FloatArray = NDArray[np.float64]

RELATIVE_DENSITY = 0.9
"""Relative density that the fabrication pressure is asked for."""

FLOW_FABRICATION_MPA = 5.0
"""What a glass above its transition is pressed with: LiAlCl2.5O0.75 (Dai et al. 2023, doi
10.1038/s41560-023-01356-y)."""

LEAST_PLATEAU_MPA = 250.0
"""Only curves that reach this pressure show their plateau."""


def conductivity_kept(
    pressure_mpa: float, half_pressure_mpa: FloatArray, exponent: FloatArray | float
) -> FloatArray:
    """Return the share of its plateau that a pellet's conductivity has at a pressure, shape of P_half."""
    if pressure_mpa <= 0:
        return np.zeros_like(half_pressure_mpa)
    return np.asarray(1.0 / (1.0 + (half_pressure_mpa / pressure_mpa) ** exponent))


def fabrication_pressure_mpa(
    yield_pressure_mpa: FloatArray, intercept: FloatArray | float, relative_density: float = RELATIVE_DENSITY
) -> FloatArray:
    """Return P = P_y (ln(1/porosity) - A) in MPa for a relative density in 0..1; 0 where A suffices."""
    wanted = np.log(1.0 / (1.0 - relative_density))
    return np.asarray(yield_pressure_mpa * np.maximum(wanted - intercept, 0.0))


def kept_and_fabrication(
    hardness_gpa: FloatArray, pressure_mpa: float, flows: NDArray[np.bool_], z: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return draws of the kept fraction and of the fabrication pressure in MPa.

    Args:
        hardness_gpa: [E, S, N] draws.
        pressure_mpa: at which the cell works.
        flows: [E, S, N] draws in which the material is a glass above its transition: it keeps its full
            contact.
        z: [E, S, 4] independent standard normals for the four fitted numbers.
    """
    half, exponent = parameter("pellet_log10_half_over_hardness"), parameter("pellet_exponent")
    heckel, intercept = parameter("heckel_log10_yield_over_hardness"), parameter("heckel_intercept")
    draw = [p.value + p.sd * z[..., i, None] for i, p in enumerate((half, exponent, heckel, intercept))]
    kept = conductivity_kept(pressure_mpa, hardness_gpa * 10.0 ** draw[0] * 1e3, np.maximum(draw[1], 0.2))
    made = fabrication_pressure_mpa(hardness_gpa * 10.0 ** draw[2] * 1e3, draw[3])
    return np.where(flows, 1.0, kept), np.where(flows, FLOW_FABRICATION_MPA * np.ones_like(made), made)


def fit_curve(pressure_mpa: FloatArray, sigma: FloatArray) -> tuple[float, float]:
    """Return P_half in MPa and the exponent of one measured curve (least squares in log conductivity)."""

    def residual(x: FloatArray) -> FloatArray:
        kept = conductivity_kept_log(np.log(pressure_mpa), x[0], x[1])
        return np.asarray(kept + x[2] - np.log(sigma))

    start = np.array([np.log(np.median(pressure_mpa)), 1.0, np.log(sigma.max())])
    found = least_squares(residual, start, bounds=([0.0, 0.3, -20.0], [8.0, 4.0, 20.0]))
    return float(np.exp(found.x[0])), float(found.x[1])


def conductivity_kept_log(log_pressure: FloatArray, log_half: float, exponent: float) -> FloatArray:
    """Return ln of the kept fraction, stable for any pressure."""
    return np.asarray(-np.logaddexp(0.0, exponent * (log_half - log_pressure)))


def fit_curves(curves: pd.DataFrame, hardness_gpa: dict[str, float]) -> pd.DataFrame:
    """Fit every curve that reaches its plateau.

    Args:
        curves: columns name, formula, fabrication_pressure_mpa, stack_pressure_mpa, sigma_ms_cm,
            source_title; a point a row.
        hardness_gpa: by formula.

    Returns name, half_pressure_mpa, exponent and half_over_hardness for each curve.
    """
    # An in-situ curve was fabricated at each of its own pressures: it is one curve.
    in_situ = curves["fabrication_pressure_mpa"] == curves["stack_pressure_mpa"]
    pressed = curves["fabrication_pressure_mpa"].where(~in_situ.groupby(curves["name"]).transform("all"), 0.0)
    lines = []
    for (name, _), points in curves.groupby([curves["name"], pressed], sort=True):
        if points["stack_pressure_mpa"].max() < LEAST_PLATEAU_MPA or len(points) < 6:
            continue
        half, exponent = fit_curve(
            points["stack_pressure_mpa"].to_numpy(float), points["sigma_ms_cm"].to_numpy(float)
        )
        hardness = hardness_gpa[str(points["formula"].iloc[0])]
        lines.append(
            {
                "name": name,
                "half_pressure_mpa": half,
                "exponent": exponent,
                "half_over_hardness": half / (1e3 * hardness),
            }
        )
    return pd.DataFrame(lines)
