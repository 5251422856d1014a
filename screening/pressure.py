"""Stack pressure that a cell must keep up, as a distribution: solid contact, or viscous flow of a glass.

Solid: the pressure at which rough surfaces keep a wanted contact, elastic or plastic, whichever is smaller
(`softlyte.screening.contact`), moved by a law fitted on censored published pressures and anchored on the
sulfides (`softlyte.screening.pressure_fit`). No pressure above the hardness is ever needed: there the contact
is full.

Flow: a glass above its glass transition keeps contact by flowing, whatever its instantaneous modulus:
LiAlCl2.5O0.75 and NaAlCl2.5O0.75 ran below 0.1 MPa with storage moduli of 1.5 and 3.2 GPa (Dai et al. 2023,
doi 10.1038/s41560-023-01356-y).

A prediction is the mixture of both with the weight P(Tg < use temperature), 0 for crystals, within each
ensemble member; the member's K and G are carried through the contact models at five points each.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from softlyte.datasets.columns import INTERVAL_LEVEL, PHASES
from softlyte.models.predictions import Predictions, PropertyPrediction
from softlyte.screening.contact import DEFAULT_CONTACT, ContactError, check_fraction
from softlyte.screening.mechanics import draw_moduli
from softlyte.screening.parameters import parameter
from softlyte.screening.pressure_panel import contact_log10_mpa

FloatArray = NDArray[np.float64]

MECHANISMS = ("elastic", "plastic", "flow")
"""What keeps the contact; the position is the code used in arrays."""

MODULI = ("pellet from DFT crystal", "glass", "flow")
"""Which modulus a pressure was computed from; the position is the code used in arrays."""

DEFAULT_PRESSURE_MPA = 2.0
"""Stack pressure that a cell maker accepts where no target says otherwise."""

GLASS = PHASES.index("glass")

_ROOT3 = np.sqrt(3.0)
NODES = np.array([[0.0, 0.0], [_ROOT3, 0.0], [-_ROOT3, 0.0], [0.0, _ROOT3], [0.0, -_ROOT3]])
"""[S, 2] points for two independent standard normals; with NODE_WEIGHTS exact to the third power."""

NODE_WEIGHTS = np.array([1 / 3, 1 / 6, 1 / 6, 1 / 6, 1 / 6])

_SEARCH = (-6.0, 6.0)
"""Range of log10(P/MPa) that quantiles are looked for in; no hardness is above 1e6 MPa."""

_HALVINGS = 12
"""Bisection steps, down to 0.003 decades; a straight line between the last two points gives the rest."""


@dataclass(frozen=True)
class Conditions:
    """Under which the electrolyte is asked to work.

    Attributes:
        temperature_c: use temperature, C; above absolute zero.
        contact: wanted real over nominal contact area, between 0 and 1.
        alkali_metal: True if an alkali-metal electrode lies against it, which creeps into the gaps.
        pressure_mpa: at which the cell works and a pellet conducts, above 0; None for the limit that the
            targets set on the stack pressure (`softlyte.screening.targets.Targets.working_conditions`), or
            DEFAULT_PRESSURE_MPA.
    """

    temperature_c: float = 25.0
    contact: float = DEFAULT_CONTACT
    alkali_metal: bool = False
    pressure_mpa: float | None = None

    def __post_init__(self) -> None:
        check_fraction(self.contact)
        if not -273.15 < self.temperature_c < np.inf:
            raise ContactError(f"the use temperature is {self.temperature_c:g} C; give one above -273.15")
        if self.pressure_mpa is not None and not 0 < self.pressure_mpa < np.inf:
            raise ContactError(f"the operating pressure is {self.pressure_mpa:g} MPa; give one above 0")

    @property
    def working_pressure_mpa(self) -> float:
        """Pressure at which the cell works, MPa."""
        return DEFAULT_PRESSURE_MPA if self.pressure_mpa is None else self.pressure_mpa


@dataclass(frozen=True)
class StackPressure:
    """Required stack pressure of N materials, a mixture for each ensemble member.

    Attributes:
        solid_mean, solid_sd: [E, S, N] log10(P/MPa) of solid contact at each of the S points of NODES.
        ceiling: [E, S, N] log10 of the hardness in MPa.
        plastic_share: [E, N] weight of the points at which plastic contact governs.
        flow_weight: [E, N] probability that the material flows at the use temperature.
        glass: [N] True where the modulus is that of the glass.
    """

    solid_mean: FloatArray
    solid_sd: FloatArray
    ceiling: FloatArray
    plastic_share: FloatArray
    flow_weight: FloatArray
    glass: NDArray[np.bool_]

    def __len__(self) -> int:
        return self.flow_weight.shape[1]

    def member_probability_below(self, pressure_mpa: float) -> FloatArray:
        """Return each member's probability of a required pressure below a value in MPa, [E, N]."""
        if pressure_mpa <= 0:
            return np.zeros_like(self.flow_weight)
        return self._member_cdf(np.full(len(self), np.log10(pressure_mpa)))

    def probability_below(self, pressure_mpa: float) -> FloatArray:
        """Return the probability of a required pressure below a value in MPa, [N]."""
        return self.member_probability_below(pressure_mpa).mean(axis=0)

    def quantile(self, probability: float) -> FloatArray:
        """Return the quantile of the required pressure in MPa, [N], by bisection of the mixture."""
        low, high = np.full(len(self), _SEARCH[0]), np.full(len(self), _SEARCH[1])
        at_low, at_high = np.zeros(len(self)), np.ones(len(self))
        for _ in range(_HALVINGS):
            centre = (low + high) / 2
            reached = self._member_cdf(centre).mean(axis=0)
            below = reached < probability
            low, high = np.where(below, centre, low), np.where(below, high, centre)
            at_low, at_high = np.where(below, reached, at_low), np.where(below, at_high, reached)
        share = (probability - at_low) / np.maximum(at_high - at_low, 1e-12)
        return np.asarray(10.0 ** (low + np.clip(share, 0.0, 1.0) * (high - low)))

    def median(self) -> FloatArray:
        """Return the median required pressure in MPa, [N]."""
        return self.quantile(0.5)

    def interval(self, level: float = INTERVAL_LEVEL) -> tuple[FloatArray, FloatArray]:
        """Return the central interval in MPa at a level, two [N] arrays."""
        return self.quantile(0.5 - level / 2), self.quantile(0.5 + level / 2)

    def mechanism(self) -> NDArray[np.uint8]:
        """Return what more probably keeps the contact, [N] index into MECHANISMS."""
        flow = self.flow_weight.mean(axis=0)
        solid = np.where(self.plastic_share.mean(axis=0) >= 0.5, 1, 0)
        return np.where(flow > 0.5, 2, solid).astype(np.uint8)

    def modulus(self) -> NDArray[np.uint8]:
        """Return which modulus the pressure was mostly computed from, [N] index into MODULI."""
        flow = self.flow_weight.mean(axis=0) > 0.5
        return np.where(flow, 2, np.where(self.glass, 1, 0)).astype(np.uint8)

    def p_flow(self) -> FloatArray:
        """Return P(glass transition below the use temperature), [N]; 0 for crystals."""
        return self.flow_weight.mean(axis=0)

    def take(self, rows: slice | NDArray[np.int64] | NDArray[np.bool_]) -> StackPressure:
        """Return the chosen materials."""
        return StackPressure(
            self.solid_mean[..., rows],
            self.solid_sd[..., rows],
            self.ceiling[..., rows],
            self.plastic_share[:, rows],
            self.flow_weight[:, rows],
            self.glass[rows],
        )

    def _member_cdf(self, log10_p: FloatArray) -> FloatArray:
        solid = solid_below(log10_p, self.solid_mean, self.solid_sd, self.ceiling)
        mixed = np.einsum("s,esn->en", NODE_WEIGHTS, solid)
        return mixed + self.flow_weight * (flow_below(log10_p) - mixed)


def solid_below(
    log10_p: FloatArray | float, mean: FloatArray, sd: FloatArray, ceiling: FloatArray
) -> FloatArray:
    """Return the probability that solid contact asks for less than a pressure, shape of the mean.

    Args:
        log10_p: of the pressure in MPa.
        mean: of log10(P/MPa) that solid contact asks for.
        sd: its standard deviation.
        ceiling: log10 of the hardness in MPa, at which the contact is full.
    """
    below: FloatArray = ndtr((log10_p - mean) / sd)
    np.copyto(below, 1.0, where=log10_p >= ceiling)
    return below


def flow_below(log10_p: FloatArray | float) -> FloatArray:
    """Return the probability that a material that flows asks for less than a pressure (log10 of MPa)."""
    flow = parameter("flow_log10_mpa")
    below: FloatArray = ndtr((log10_p - flow.value) / flow.sd)
    return below


def law(contact_log10_mpa: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return mean and standard deviation of log10(P/MPa) at a contact pressure, arrays of its shape.

    The contact pressure is that at DEFAULT_CONTACT. The standard deviation holds the scatter between
    materials and the error of the fit, and is never below the leave-one-material-out residual.
    """
    distance = contact_log10_mpa - parameter("law_anchor").value
    mean = (
        parameter("law_anchor").value
        + parameter("law_intercept").value
        + parameter("law_slope").value * distance
    )
    c0, c1, c2 = (parameter(f"law_variance_{power}").value for power in range(3))
    least = parameter("law_loo_rms").value ** 2
    return mean, np.sqrt(np.maximum(c0 + c1 * distance + c2 * distance**2, least))


def solid_contact(
    bulk_gpa: FloatArray,
    shear_gpa: FloatArray,
    glass: NDArray[np.bool_],
    conditions: Conditions,
    hardness_log10_offset: FloatArray | float,
    hardness_log10_sd: float,
) -> tuple[FloatArray, FloatArray, FloatArray, NDArray[np.bool_]]:
    """Return mean and standard deviation of log10(P/MPa), log10 of the hardness in MPa, and what is plastic.

    Args:
        bulk_gpa: bulk modulus of the crystal, or of the glass, [..., N].
        shear_gpa: shear modulus, same shape.
        glass: [N] True for glasses; a crystal's DFT moduli are brought to those of a pellet.
        conditions: wanted contact and electrode.
        hardness_log10_offset: offset of measured hardness from the Tian form, its mean or draws of it.
        hardness_log10_sd: scatter of that offset; 0 where it is drawn.
    """
    pellet = parameter("pellet_log10_offset")
    scale = np.where(glass, 1.0, 10.0**pellet.value)
    k, g = bulk_gpa * scale, shear_gpa * scale
    contact, plastic, ceiling = contact_log10_mpa(k, g, hardness_log10_offset)
    mean, sd = law(contact)
    slope = parameter("law_slope").value
    # The fitted scatter does not hold the hardness form's, which differs from row to row, nor the pellet's.
    variance = (
        sd**2
        + np.where(plastic, (slope * hardness_log10_sd) ** 2, 0.0)
        + np.where(glass, 0.0, (slope * pellet.sd) ** 2)
    )
    if conditions.contact != DEFAULT_CONTACT:
        wanted, plastic, _ = contact_log10_mpa(k, g, hardness_log10_offset, conditions.contact)
        mean = mean + wanted - contact
    if conditions.alkali_metal:
        shift = parameter("alkali_metal_shift")
        mean, variance = mean + shift.value, variance + shift.sd**2
    return mean, np.sqrt(variance), ceiling, plastic


def stack_pressure(
    predictions: Predictions, phase: NDArray[np.uint8], conditions: Conditions | None = None
) -> StackPressure:
    """Return the required stack pressure of each material.

    A crystal's DFT moduli are brought to those of a pellet (parameter pellet_log10_offset, with its scatter);
    a glass's are the network's for measured glasses. The law holds at DEFAULT_CONTACT; another wanted contact
    changes the pressure as the contact models say.

    Args:
        predictions: must hold bulk_modulus_gpa, shear_modulus_gpa, and glass_transition_k where a row is a
            glass (`softlyte.screening.glass_transition.glass_transition` gives the one to use).
        phase: [N] index into PHASES; only glasses can flow.
        conditions: None for 25 C, a tenth of contact and no alkali metal.
    """
    conditions = Conditions() if conditions is None else conditions
    bulk, shear = predictions["bulk_modulus_gpa"], predictions["shear_modulus_gpa"]
    glass = np.asarray(phase) == GLASS
    k, g = draw_moduli(bulk, shear, predictions.modulus_correlation, NODES)
    form = parameter("hardness_tian_log10_offset")
    mean, sd, ceiling, plastic = solid_contact(k, g, glass, conditions, form.value, form.sd)
    weight = np.zeros_like(bulk.member_mean)
    if glass.any():
        transition: PropertyPrediction = predictions["glass_transition_k"].take(glass)
        below = transition.member_probability_below(conditions.temperature_c + 273.15)
        weight[:, glass] = np.nan_to_num(below)
    share = np.einsum("s,esn->en", NODE_WEIGHTS, plastic.astype(np.float64))
    return StackPressure(mean, sd, ceiling, share, weight, glass)


def relaxed_modulus_gpa(
    instantaneous_gpa: FloatArray,
    glass_transition_k: FloatArray,
    temperature_k: float,
    seconds: float = 3600.0,
) -> FloatArray:
    """Return the modulus that acts after a time, same shape: instantaneous below the transition, flow above.

    Above Tg a melt relaxes to 3 eta/t with log10(eta/Pa s) = 12 - 17.44 (T-Tg)/(51.6 + T-Tg) (Williams,
    Landel and Ferry, J. Am. Chem. Soc. 77, 3701, 1955; 1e12 Pa s at Tg), never below 1e-9 GPa, where a melt
    has no modulus to speak of.

    Args:
        instantaneous_gpa: Young's modulus.
        glass_transition_k: inf for a solid that does not flow.
        temperature_k: use temperature.
        seconds: time that the contact has to form; an hour.
    """
    above = np.maximum(temperature_k - np.asarray(glass_transition_k), 0.0)
    viscosity = 10.0 ** (12.0 - 17.44 * above / (51.6 + above))
    flowing = np.maximum(3.0 * viscosity / seconds / 1e9, 1e-9)
    return np.where(above > 0, np.minimum(flowing, instantaneous_gpa), instantaneous_gpa)
