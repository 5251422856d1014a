"""Where on a map of Young's modulus the stack-pressure target lies.

A pressure is no function of the modulus alone: it asks for both moduli and hardness, scatters by decades
between published cells, and a glass above its transition keeps contact by flow whatever its instantaneous
modulus. So a line is drawn for solid contact only: the modulus at which the median of the pressure law equals
the target for a material with the Poisson's ratio that the law was fitted with, and a band to where the
probability of staying below the target is 95% and 5%.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from softlyte.datasets.columns import INTERVAL_LEVEL, PHASES
from softlyte.screening.contact import DEFAULT_CONTACT
from softlyte.screening.mechanics import moduli_from_youngs
from softlyte.screening.parameters import parameter
from softlyte.screening.pressure import Conditions, law
from softlyte.screening.pressure_panel import ASSUMED_POISSON, contact_log10_mpa

_GRID_GPA = np.logspace(-4, 3, 1401)


@dataclass(frozen=True)
class PressureLine:
    """Young's modulus below which a solid that does not flow meets the pressure target.

    Attributes:
        phase: crystal (DFT modulus, brought to that of a pellet) or glass.
        youngs_gpa: where the probability of meeting the target is one half, GPa.
        low_gpa: where it is 95%, NaN below 0.0001 GPa.
        high_gpa: where it is 5%, NaN above 1000 GPa.
    """

    phase: str
    youngs_gpa: float
    low_gpa: float
    high_gpa: float


def pressure_lines(target_mpa: float, conditions: Conditions) -> list[PressureLine]:
    """Return the line of each phase whose median reaches the target between 0.0001 and 1000 GPa.

    Args:
        target_mpa: stack pressure in MPa, above 0.
        conditions: wanted contact and electrode, as in `stack_pressure`.
    """
    pellet, form = parameter("pellet_log10_offset"), parameter("hardness_tian_log10_offset")
    slope, shift = parameter("law_slope").value, parameter("alkali_metal_shift")
    quantile = float(ndtri(0.5 + INTERVAL_LEVEL / 2))
    lines = []
    for phase in PHASES:
        crystal = phase == "crystal"
        youngs = _GRID_GPA * (10.0**pellet.value if crystal else 1.0)
        k, g = moduli_from_youngs(youngs, ASSUMED_POISSON)
        contact, plastic, _ = contact_log10_mpa(np.asarray(k), np.asarray(g), form.value)
        mean, sd = law(contact)
        if conditions.contact != DEFAULT_CONTACT:
            asked, plastic, _ = contact_log10_mpa(
                np.asarray(k), np.asarray(g), form.value, conditions.contact
            )
            mean = mean + asked - contact
        variance = sd**2 + np.where(plastic, (slope * form.sd) ** 2, 0.0)
        if crystal:
            variance = variance + (slope * pellet.sd) ** 2
        if conditions.alkali_metal:
            mean, variance = mean + shift.value, variance + shift.sd**2
        width = quantile * np.sqrt(variance)
        middle, low, high = (_crossing(curve, target_mpa) for curve in (mean, mean + width, mean - width))
        if not np.isnan(middle):
            lines.append(PressureLine(phase, middle, low, high))
    return lines


def _crossing(log10_mpa: np.ndarray, target_mpa: float) -> float:
    """Return the first modulus in GPa at which a curve over _GRID_GPA rises through the target, or NaN."""
    above = log10_mpa >= np.log10(target_mpa)
    if above[0] or not above.any():
        return float("nan")
    at = int(above.argmax())
    share = (np.log10(target_mpa) - log10_mpa[at - 1]) / (log10_mpa[at] - log10_mpa[at - 1])
    log10_gpa = np.log10(_GRID_GPA)
    return float(10.0 ** (log10_gpa[at - 1] + share * (log10_gpa[at] - log10_gpa[at - 1])))
