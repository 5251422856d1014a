"""What follows from the bulk and shear modulus: Young's modulus, ductility, hardness, yield strength.

The formulas hold for an isotropic solid; K and G are Voigt-Reuss-Hill averages, of a network, a structure's
elastic tensor or a measurement alike. `softlyte.screening.sampled` sends draws of them through the formulas
for intervals.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from softlyte.models.predictions import PropertyPrediction

FloatArray = NDArray[np.float64]

TABOR = 2.8
"""Hardness over yield strength (Tabor, The Hardness of Metals, 1951)."""


@dataclass(frozen=True)
class Mechanics:
    """Elastic and plastic properties, arrays of one shape.

    Attributes:
        youngs_modulus_gpa: E = 9KG/(3K+G).
        poisson_ratio: (3K-2G)/(2(3K+G)), between -1 and 0.5.
        pugh_ratio: K/G; ductile above about 1.75 (Pugh, Phil. Mag. 45, 823, 1954).
        plane_modulus_gpa: E/(1-nu^2), what an elastic contact with a rigid body feels.
        hardness_chen_gpa: 2 (k^2 G)^0.585 - 3 with k = G/K (Chen, Niu et al., Intermetallics 19, 1275, 2011);
            below 0 for very soft solids, for which the form does not hold.
        hardness_tian_gpa: 0.92 k^1.137 G^0.708 (Tian et al., Int. J. Refract. Met. Hard Mater. 33, 93, 2012).
        yield_strength_gpa: the Tian hardness over 2.8.
    """

    youngs_modulus_gpa: FloatArray
    poisson_ratio: FloatArray
    pugh_ratio: FloatArray
    plane_modulus_gpa: FloatArray
    hardness_chen_gpa: FloatArray
    hardness_tian_gpa: FloatArray
    yield_strength_gpa: FloatArray


def mechanics(bulk_gpa: FloatArray | float, shear_gpa: FloatArray | float) -> Mechanics:
    """Return what follows from K and G in GPa, arrays of one shape.

    Raises ValueError where a modulus is not positive: no stable solid has such a one.
    """
    k, g = np.asarray(bulk_gpa, dtype=np.float64), np.asarray(shear_gpa, dtype=np.float64)
    if not ((k > 0) & (g > 0)).all():
        raise ValueError("bulk and shear modulus must be positive numbers of GPa; check the row")
    ratio = g / k
    tian = 0.92 * ratio**1.137 * g**0.708
    return Mechanics(
        youngs_modulus_gpa=9 * k * g / (3 * k + g),
        poisson_ratio=(3 * k - 2 * g) / (2 * (3 * k + g)),
        pugh_ratio=k / g,
        plane_modulus_gpa=4 * g * (3 * k + g) / (3 * k + 4 * g),
        hardness_chen_gpa=2 * (ratio**2 * g) ** 0.585 - 3,
        hardness_tian_gpa=tian,
        yield_strength_gpa=tian / TABOR,
    )


def moduli_from_youngs(youngs_gpa: FloatArray | float, poisson: float) -> tuple[FloatArray, FloatArray]:
    """Return K = E/(3(1-2 nu)) and G = E/(2(1+nu)) in GPa, for a measurement that gives E alone.

    Raises ValueError where E is not positive or nu not between -1 and 0.5: no stable solid has such ones.
    """
    e = np.asarray(youngs_gpa, dtype=np.float64)
    if not (e > 0).all() or not -1 < poisson < 0.5:
        raise ValueError("Young's modulus must be above 0 and Poisson's ratio between -1 and 0.5")
    return e / (3 * (1 - 2 * poisson)), e / (2 * (1 + poisson))


def draw_moduli(
    bulk: PropertyPrediction, shear: PropertyPrediction, correlation: float, z: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return draws of K and G in GPa, two [E, S, N].

    Args:
        bulk: log10 K, [E, N].
        shear: log10 G, [E, N].
        correlation: of their residuals, -1..1.
        z: [S, 2] or, for members with draws of their own, [E, S, 2] independent standard normals.
    """
    first, second = z[..., 0, None], z[..., 1, None]
    g = shear.member_mean[:, None] + shear.member_sd[:, None] * first
    mixed = correlation * first + np.sqrt(1 - correlation**2) * second
    k = bulk.member_mean[:, None] + bulk.member_sd[:, None] * mixed
    return 10.0**k, 10.0**g
