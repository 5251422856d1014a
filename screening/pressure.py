"""First stack-pressure model: a modulus law for elastic contact and a separate term for viscous flow.

Elastic contact: log10 P = a + b log10 E, fitted here on six material-only anchors of the cited tables (a
published pressure is one that worked, so the law errs on the high side). The scatter about the law, almost
a decade on four degrees of freedom, stays in every prediction: E alone ranks families and no more.

Flow: a glass above its glass transition keeps contact by flowing, whatever its instantaneous modulus. The
two glasses known to do so, LiAlCl2.5O0.75 and NaAlCl2.5O0.75 (Dai et al. 2023, doi
10.1038/s41560-023-01356-y), ran below 0.1 MPa with storage moduli of 1.5 and 3.2 GPa.

A prediction is the mixture of both with the weight P(Tg < use temperature), 0 for crystals. Plastic contact
(P = H A/A0 with hardness H; Bowden and Tabor) would cap the elastic pressure of soft metals and salts; for
the moduli and hardnesses of electrolytes both are of the same order, and the anchors hold either.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri
from scipy.stats import t as student

from softlyte.datasets.columns import INTERVAL_LEVEL, PHASES
from softlyte.datasets.tables import load_table
from softlyte.models.predictions import Predictions, PropertyPrediction

FloatArray = NDArray[np.float64]

MECHANISMS = ("elastic", "flow")
"""What keeps the contact; the position is the code used in arrays."""

FLOW_PRESSURE_MPA = 0.1
"""Median pressure under flow: the published upper bound for LACO and NACO, so on the high side."""

FLOW_LOG10_SD = 0.3
"""Scatter of the pressure under flow, a factor of two; no data beyond the bound itself."""

SOFT_SHARE = 0.25
"""Modulus of 1.4Li2O-0.75ZrCl4-0.25AlCl3 over that of sulfides: below a quarter (press; no GPa given)."""

GLASS = PHASES.index("glass")

_SEARCH = (-6.0, 9.0)
"""Range of log10(P/MPa) that quantiles are looked for in."""

_HALVINGS = 26
"""Bisection steps, down to 1e-6 of a decade."""


@dataclass(frozen=True)
class Anchor:
    """One point of the fit: rows of the cited tables that agree in material and carry no other lever.

    Attributes:
        label: what it is.
        pressure_name: `name` of the rows of pressure_cited that are taken (geometric mean of their bounds).
        modulus_formula: `formula` of the unflagged rows of mechanics_cited that give the modulus.
        modulus_factor: factor on that modulus.
    """

    label: str
    pressure_name: str
    modulus_formula: str
    modulus_factor: float = 1.0


ANCHORS = (
    Anchor("sulfides", "sulfide electrolytes (industry)", "Li6PS5Cl"),
    Anchor("LZAOC", "LZAOC 1.4Li2O-0.75ZrCl4-0.25AlCl3", "Li6PS5Cl", SOFT_SHARE),
    Anchor("LACO powder", "powdery LACO", "Li2Al0.9Cl3.3O0.7"),
    Anchor("LACO glass", "LACO", "LiAlCl2.5O0.75"),
    Anchor("NACO glass", "NACO", "NaAlCl2.5O0.75"),
    Anchor("closo-borate", "NCBB", "NaB6H6"),
)
"""Rows where the electrolyte itself, not an interlayer, binder, spring or temperature, set the pressure."""

_STRATEGIES_LEFT_OUT = ("pressure limit",)
"""Strategies of the named rows that are not the pressure that contact needs."""


@dataclass(frozen=True)
class PressureLaw:
    """log10(P/MPa) = intercept + slope log10(E/GPa) with small-sample scatter.

    Attributes:
        residual_sd: standard deviation of the residuals in decades, n-2 degrees of freedom.
        anchors: label, youngs_modulus_gpa, stack_pressure_mpa, residual (decades).
    """

    intercept: float
    slope: float
    residual_sd: float
    mean_log10_e: float
    spread_log10_e: float
    anchors: pd.DataFrame

    def sd(self, log10_e: FloatArray) -> FloatArray:
        """Return the predictive standard deviation at a known modulus, in decades, same shape.

        Scatter, the error of the fitted line, and Student's t against the normal at 90% (4 degrees of
        freedom: 1.30), so that a normal of this width has the t interval.
        """
        count = len(self.anchors)
        widening = student.ppf(0.95, count - 2) / ndtri(0.95)
        leverage = 1 + 1 / count + (log10_e - self.mean_log10_e) ** 2 / self.spread_log10_e
        return self.residual_sd * widening * np.sqrt(leverage)


def anchor_points(
    pressure: pd.DataFrame | None = None, mechanics: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Return the anchors: label, youngs_modulus_gpa, stack_pressure_mpa, upper_bound.

    The modulus is the mean of the rows' Young's modulus, or 9KG/(3K+G) where only K and G are cited.
    Raises ValueError naming an anchor that the tables do not hold.
    """
    pressure = load_table("pressure_cited") if pressure is None else pressure
    mechanics = load_table("mechanics_cited") if mechanics is None else mechanics
    lines = []
    for anchor in ANCHORS:
        rows = pressure[(pressure["name"] == anchor.pressure_name) & (pressure["flag"] == "")]
        rows = rows[~rows["strategy"].isin(_STRATEGIES_LEFT_OUT)]
        elastic = mechanics[(mechanics["formula"] == anchor.modulus_formula) & (mechanics["flag"] == "")]
        if rows.empty or elastic.empty:
            raise ValueError(f"the cited tables hold no pressure or no modulus for the anchor {anchor.label}")
        bounds = np.log(rows[["stack_pressure_mpa_min", "stack_pressure_mpa_max"]].to_numpy(dtype=np.float64))
        k = elastic[["bulk_modulus_gpa_min", "bulk_modulus_gpa_max"]].mean(axis=1)
        g = elastic[["shear_modulus_gpa_min", "shear_modulus_gpa_max"]].mean(axis=1)
        e = elastic[["youngs_modulus_gpa_min", "youngs_modulus_gpa_max"]].mean(axis=1)
        e = e.fillna(9 * k * g / (3 * k + g))
        lines.append(
            {
                "label": anchor.label,
                "youngs_modulus_gpa": float(e.mean()) * anchor.modulus_factor,
                "stack_pressure_mpa": float(np.exp(bounds.mean())),
                "upper_bound": bool(rows["stack_pressure_is_upper_bound"].all()),
            }
        )
    return pd.DataFrame(lines)


def fit_law(anchors: pd.DataFrame) -> PressureLaw:
    """Fit the law by least squares in log10 P on log10 E."""
    x = np.log10(anchors["youngs_modulus_gpa"].to_numpy(dtype=np.float64))
    y = np.log10(anchors["stack_pressure_mpa"].to_numpy(dtype=np.float64))
    spread = float(((x - x.mean()) ** 2).sum())
    slope = float(((x - x.mean()) * (y - y.mean())).sum() / spread)
    intercept = float(y.mean() - slope * x.mean())
    residual = y - intercept - slope * x
    return PressureLaw(
        intercept=intercept,
        slope=slope,
        residual_sd=float(np.sqrt((residual**2).sum() / (len(x) - 2))),
        mean_log10_e=float(x.mean()),
        spread_log10_e=spread,
        anchors=anchors.assign(residual=residual),
    )


@lru_cache(maxsize=1)
def default_law() -> PressureLaw:
    """Return the law fitted on the shipped tables, once."""
    return fit_law(anchor_points())


@dataclass(frozen=True)
class StackPressure:
    """Required stack pressure of N materials, a mixture of two lognormals for each ensemble member.

    Attributes:
        elastic_mean, elastic_sd: [E, N] log10(P/MPa) of elastic contact.
        flow_weight: [E, N] probability that the material flows at the use temperature.
    """

    elastic_mean: FloatArray
    elastic_sd: FloatArray
    flow_weight: FloatArray

    def __len__(self) -> int:
        return self.elastic_mean.shape[1]

    def member_probability_below(self, pressure_mpa: float) -> FloatArray:
        """Return each member's probability of a required pressure below a value in MPa, [E, N]."""
        if pressure_mpa <= 0:
            return np.zeros_like(self.elastic_mean)
        return self._member_cdf(np.full(len(self), np.log10(pressure_mpa)))

    def probability_below(self, pressure_mpa: float) -> FloatArray:
        """Return the probability of a required pressure below a value in MPa, [N]."""
        return self.member_probability_below(pressure_mpa).mean(axis=0)

    def quantile(self, probability: float) -> FloatArray:
        """Return the quantile of the required pressure in MPa, [N], by bisection of the mixture."""
        low = np.full(len(self), _SEARCH[0])
        high = np.full(len(self), _SEARCH[1])
        for _ in range(_HALVINGS):
            centre = (low + high) / 2
            below = self._member_cdf(centre).mean(axis=0) < probability
            low, high = np.where(below, centre, low), np.where(below, high, centre)
        return 10.0 ** ((low + high) / 2)

    def median(self) -> FloatArray:
        """Return the median required pressure in MPa, [N]."""
        return self.quantile(0.5)

    def interval(self, level: float = INTERVAL_LEVEL) -> tuple[FloatArray, FloatArray]:
        """Return the central interval in MPa at a level, two [N] arrays."""
        return self.quantile(0.5 - level / 2), self.quantile(0.5 + level / 2)

    def mechanism(self) -> NDArray[np.uint8]:
        """Return what more probably keeps the contact, [N] index into MECHANISMS."""
        return (self.flow_weight.mean(axis=0) > 0.5).astype(np.uint8)

    def _member_cdf(self, log10_p: FloatArray) -> FloatArray:
        elastic = ndtr((log10_p - self.elastic_mean) / self.elastic_sd)
        flow = ndtr((log10_p - np.log10(FLOW_PRESSURE_MPA)) / FLOW_LOG10_SD)
        return elastic + self.flow_weight * (flow - elastic)


def stack_pressure(
    predictions: Predictions,
    phase: NDArray[np.uint8],
    temperature_c: float = 25.0,
    law: PressureLaw | None = None,
) -> StackPressure:
    """Return the required stack pressure of each material.

    Args:
        predictions: must hold youngs_modulus_gpa, and glass_transition_k where a row is a glass.
        phase: [N] index into PHASES; only glasses can flow.
        temperature_c: use temperature.
        law: None for the one fitted on the shipped tables.
    """
    law = default_law() if law is None else law
    modulus = predictions["youngs_modulus_gpa"]
    mean = law.intercept + law.slope * modulus.member_mean
    sd = np.hypot(law.slope * modulus.member_sd, law.sd(modulus.member_mean))
    weight = np.zeros_like(mean)
    glass = phase == GLASS
    if glass.any():
        transition: PropertyPrediction = predictions["glass_transition_k"].take(glass)
        weight[:, glass] = transition.member_probability_below(temperature_c + 273.15)
    return StackPressure(mean, sd, weight)
