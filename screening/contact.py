"""Rough contact: which pressure makes which real contact, and what an interface resistance asks for.

Elastic contact of rough surfaces (Persson; limits: Yastrebov 2017, arXiv 1704.05650; for batteries Tian and
Qi, J. Electrochem. Soc. 2017): A/A0 = erf(sqrt(2) P / (E* h')), h' the root-mean-square slope of the surface.
Plastic
contact: A/A0 = P/H (Bowden and Tabor). At a given contact the smaller of the two pressures governs.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf, erfinv

from softlyte.datasets.errors import UserError

FloatArray = NDArray[np.float64]

DEFAULT_CONTACT = 0.1
"""Real over nominal contact area that a cell is asked to keep. Sulfides at 50-200 MPa are at 5-20%: P/H."""

RMS_SLOPE = 0.1
"""Root-mean-square slope of the pressed surface; its error is part of the fitted offset of the pressure
law."""

SPOT_RADIUS_UM = 1.0
"""Radius of a contact spot where none is stated: that of the fine powders that electrolytes are pressed
from."""


class ContactError(UserError):
    """A wanted contact that no pressure gives; the message says what is possible."""


def check_fraction(fraction: float) -> float:
    """Return the fraction; raises ContactError unless it lies between 0 and 1, both excluded."""
    if not 0 < fraction < 1:
        raise ContactError(
            f"the contact fraction is {fraction:g}; give a number between 0 and 1, such as 0.1"
        )
    return fraction


def elastic_pressure_mpa(
    plane_modulus_gpa: FloatArray, fraction: float, rms_slope: float = RMS_SLOPE
) -> FloatArray:
    """Return P = E* h' erfinv(f) / sqrt(2) in MPa, same shape as E* = E/(1-nu^2) in GPa.

    Raises ContactError for a contact fraction that no pressure gives.
    """
    check_fraction(fraction)
    return np.asarray(plane_modulus_gpa) * (1e3 * rms_slope * float(erfinv(fraction)) / np.sqrt(2.0))


def plastic_pressure_mpa(hardness_gpa: FloatArray, fraction: float) -> FloatArray:
    """Return P = f H in MPa, same shape as the hardness in GPa.

    Raises ContactError for a contact fraction that no pressure gives.
    """
    check_fraction(fraction)
    return np.asarray(hardness_gpa) * (1e3 * fraction)


def contact_fraction(
    pressure_mpa: FloatArray,
    plane_modulus_gpa: FloatArray,
    hardness_gpa: FloatArray,
    rms_slope: float = RMS_SLOPE,
) -> FloatArray:
    """Return the real over nominal contact area at a pressure, the larger of both modes and at most 1."""
    p = np.asarray(pressure_mpa, dtype=np.float64) / 1e3
    elastic = erf(np.sqrt(2.0) * p / (np.asarray(plane_modulus_gpa) * rms_slope))
    return np.minimum(np.maximum(elastic, p / np.asarray(hardness_gpa)), 1.0)


def contact_for_resistance(
    resistance_ohm_cm2: float, sigma_s_cm: FloatArray | float, spot_radius_um: float = SPOT_RADIUS_UM
) -> FloatArray:
    """Return the contact fraction at which constriction costs a given area resistance.

    A spot of radius a has the resistance 1/(4 sigma a) on the electrolyte's side (Holm); f/(pi a^2) spots an
    area work in parallel, so f = pi a / (4 sigma R). At most 0.99.

    Raises:
        ContactError: the resistance is not positive, or infinite.
    """
    if not 0 < resistance_ohm_cm2 < np.inf:
        raise ContactError(
            f"the interface resistance is {resistance_ohm_cm2:g} ohm cm2; give a positive number"
        )
    radius_cm = spot_radius_um * 1e-4
    return np.minimum(np.pi * radius_cm / (4 * np.asarray(sigma_s_cm) * resistance_ohm_cm2), 0.99)


def yield_interference_um(
    hardness_gpa: float, plane_modulus_gpa: float, poisson_ratio: float, radius_um: float
) -> float:
    """Return the approach of an asperity of a radius at which it begins to yield, in um.

    (pi K H / (2 E*))^2 R with K = 0.454 + 0.41 nu; at 110 times that it is fully plastic and the mean
    pressure is H (Kogut and Etsion, J. Appl. Mech. 69, 657, 2002, doi 10.1115/1.1490373).
    """
    k = 0.454 + 0.41 * poisson_ratio
    return float((np.pi * k * hardness_gpa / (2 * plane_modulus_gpa)) ** 2 * radius_um)


def copper_interface_stress_gpa(
    strain: float,
    sphere_radius_um: float,
    copper_thickness_um: float,
    youngs_gpa: float,
    poisson_ratio: float,
) -> float:
    """Return the stress at the interface of plated lithium and a copper shell in GPa.

    P = eps E/(1-nu) {3 (r+t)^3 / (2 [(r+t)^3 - r^3]) - nu/(1-nu)}, eps, E, nu strain, Young's modulus and
    Poisson's ratio of the copper, r radius of the lithium sphere, t thickness of the copper (Zhang et al.,
    Adv. Mater. 2024, eq. 1, doi 10.1002/adma.202413499, after Cheng et al., Nat. Nanotechnol. 18, 1448,
    2023). The review quotes 0.151 to 0.503 GPa in copper as the strain rises from 0.024 to 0.052.
    """
    outer, inner = (sphere_radius_um + copper_thickness_um) ** 3, sphere_radius_um**3
    shape = 3 * outer / (2 * (outer - inner)) - poisson_ratio / (1 - poisson_ratio)
    return strain * youngs_gpa / (1 - poisson_ratio) * shape
