"""Bayesian fit of the pressure law on censored published pressures, by a grid.

log10 P = x + offset + (slope - 1) (x - x0) + shift * (alkali metal) + scatter, x the log10 contact pressure
at DEFAULT_CONTACT and x0 that of the sulfides, the anchor. A glass that flows has log10 P = flow + 0.3
decades instead, with the weight that the melting rule gives. An upper bound enters with the probability of
lying below it, a range with the probability of lying inside.

Priors (standard deviations in decades): offset normal 0 +- 0.5 (the contact models are right within a factor
3); slope normal 1 +- 0.5, positive; scatter half normal 0.5; shift normal -0.5 +- 0.5, not positive (a metal
that creeps only helps); flow normal -1 +- 0.5 (the pressure of the atmosphere). The grid takes a second.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtr

FloatArray = NDArray[np.float64]

OFFSET = np.linspace(-2.0, 1.5, 29)
SLOPE = np.linspace(0.1, 2.6, 21)
SCATTER = np.linspace(0.1, 2.0, 20)
SHIFT = np.linspace(-2.5, 0.0, 21)
FLOW = np.linspace(-3.0, 0.5, 15)

FLOW_SCATTER = 0.3
"""Scatter of the pressure under flow in decades, a factor of two; no data beyond the bounds themselves."""

_LEVELS = (0.05, 0.5, 0.95)
_LOG10_P = np.linspace(-7.0, 9.0, 401)


@dataclass(frozen=True)
class Posterior:
    """Posterior over the grid.

    Attributes:
        weight: [offset, slope, scatter, shift, flow], sums to 1.
        anchor: x0, log10 MPa.
    """

    weight: FloatArray
    anchor: float

    def moments(self) -> dict[str, tuple[float, float]]:
        """Return mean and standard deviation of each parameter."""
        axes = {"offset": OFFSET, "slope": SLOPE, "scatter": SCATTER, "shift": SHIFT, "flow": FLOW}
        found = {}
        for place, (name, values) in enumerate(axes.items()):
            marginal = self.weight.sum(axis=tuple(i for i in range(self.weight.ndim) if i != place))
            mean = float((marginal * values).sum())
            found[name] = mean, float(np.sqrt((marginal * (values - mean) ** 2).sum()))
        return found

    def cdf(
        self, contact: float, contact_sd: float = 0.0, alkali_metal: float = 0.0, flow_weight: float = 0.0
    ) -> FloatArray:
        """Return the predictive distribution function of log10(P/MPa) at `log10_pressures()`."""
        solid, shifts = self.weight.sum(axis=4), SHIFT
        if alkali_metal == 0:
            solid, shifts = solid.sum(axis=3, keepdims=True), np.zeros(1)
        offset, slope, scatter, shift = np.meshgrid(OFFSET, SLOPE, SCATTER, shifts, indexing="ij")
        keep = solid > 1e-6 * solid.max()
        mean = (contact + offset + (slope - 1) * (contact - self.anchor) + shift * alkali_metal)[keep]
        sd = np.hypot(scatter, slope * contact_sd)[keep]
        p = solid[keep] / solid[keep].sum()
        result = np.empty(len(_LOG10_P))
        for start in range(0, len(_LOG10_P), 50):
            part = _LOG10_P[start : start + 50]
            result[start : start + 50] = ndtr((part[:, None] - mean) / sd) @ p
        if flow_weight:
            under_flow = ndtr((_LOG10_P[:, None] - FLOW) / FLOW_SCATTER) @ self.weight.sum(axis=(0, 1, 2, 3))
            result = (1 - flow_weight) * result + flow_weight * under_flow
        return result


def log10_pressures() -> FloatArray:
    """Return the points that `Posterior.cdf` is given at."""
    return _LOG10_P


class _Row(NamedTuple):
    """One observation (see `pressure_panel.panel`)."""

    label: str
    contact: float
    contact_sd: float
    low: float
    high: float
    alkali_metal: float
    flow_weight: float


def _rows(panel: pd.DataFrame) -> list[_Row]:
    columns = list(_Row._fields)
    return [_Row(str(cells[0]), *map(float, cells[1:])) for cells in panel[columns].to_numpy(dtype=object)]


def fit(panel: pd.DataFrame, anchor: float | None = None) -> Posterior:
    """Return the posterior for a panel (see `pressure_panel.panel`).

    Args:
        panel: observations; without any the posterior is the prior.
        anchor: x0; None takes the contact pressure of the panel's first sulfide.
    """
    anchor = _sulfides(panel) if anchor is None else anchor
    offset, slope, scatter, shift, flow = np.meshgrid(
        OFFSET, SLOPE, SCATTER, SHIFT, FLOW, indexing="ij", sparse=True
    )
    log_weight = (
        -0.5 * (offset / 0.5) ** 2
        - 0.5 * ((slope - 1) / 0.5) ** 2
        - 0.5 * (scatter / 0.5) ** 2
        - 0.5 * ((shift + 0.5) / 0.5) ** 2
        - 0.5 * ((flow + 1) / 0.5) ** 2
    )
    for row in _rows(panel):
        mean = row.contact + offset + (slope - 1) * (row.contact - anchor) + shift * row.alkali_metal
        sd = np.hypot(scatter, slope * row.contact_sd)
        solid = ndtr((row.high - mean) / sd) - ndtr((row.low - mean) / sd)
        flowing = ndtr((row.high - flow) / FLOW_SCATTER) - ndtr((row.low - flow) / FLOW_SCATTER)
        log_weight = log_weight + np.log((1 - row.flow_weight) * solid + row.flow_weight * flowing + 1e-300)
    weight = np.exp(log_weight - log_weight.max())
    return Posterior(weight / weight.sum(), anchor)


def _sulfides(panel: pd.DataFrame) -> float:
    return float(panel.loc[panel["material"] == "sulfide", "contact"].iloc[0])


@dataclass(frozen=True)
class LawNumbers:
    """The law in closed form: what the table keeps.

    Attributes:
        anchor: x0.
        intercept, slope: median of log10 P = x0 + intercept + slope (x - x0).
        variance: of the predictive normal with the same 90% interval, c0 + c1 (x-x0) + c2 (x-x0)^2.
        loo_rms: root mean square of the leave-one-material-out residuals in decades; the least standard
            deviation. 0 where no pressure tells anything of the scatter.
    """

    anchor: float
    intercept: float
    slope: float
    variance: tuple[float, float, float]
    loo_rms: float


def summarise(panel: pd.DataFrame, posterior: Posterior) -> LawNumbers:
    """Return the closed form of a posterior: medians and 90% intervals two decades each way of the anchor."""
    distance = np.linspace(-2.0, 2.0, 17)
    quantiles = np.array([_quantiles(posterior.cdf(posterior.anchor + d)) for d in distance])
    slope, intercept = np.polyfit(distance, quantiles[:, 1] - posterior.anchor, 1)
    half = (quantiles[:, 2] - quantiles[:, 0]) / (2 * 1.6448536269514722)
    c2, c1, c0 = np.polyfit(distance, half**2, 2)
    if panel.empty:
        return LawNumbers(
            posterior.anchor, float(intercept), float(slope), (float(c0), float(c1), float(c2)), 0.0
        )
    left_out = leave_one_material_out(panel, posterior.anchor)
    # A bound that holds says nothing about the scatter; a range, or a bound that is broken, does.
    telling = left_out[(left_out["published_low_mpa"] > 0) | (left_out["residual"] < 0)]
    return LawNumbers(
        posterior.anchor,
        float(intercept),
        float(slope),
        (float(c0), float(c1), float(c2)),
        float(np.sqrt((telling["residual"] ** 2).mean())) if len(telling) else 0.0,
    )


def leave_one_material_out(panel: pd.DataFrame, anchor: float | None = None) -> pd.DataFrame:
    """Predict each material from the others and compare with what was published.

    The anchor is that of `fit`.

    Returns label, material, published_low_mpa (0 for an upper bound), published_high_mpa, median_mpa,
    lower_mpa, upper_mpa (90%), width_decades, residual (decades from the median to the middle of a published
    range, or to a bound that lies below it; 0 where the bound holds), covered (True if the 90% interval and
    the published range overlap) and p_in_range.
    """
    anchor = _sulfides(panel) if anchor is None else anchor
    lines = []
    for material in panel["material"].unique():
        posterior = fit(panel[panel["material"] != material], anchor)
        for row in _rows(panel[panel["material"] == material]):
            cdf = posterior.cdf(row.contact, row.contact_sd, row.alkali_metal, row.flow_weight)
            low, median, high = _quantiles(cdf)
            inside = np.interp(row.high, _LOG10_P, cdf)
            if np.isfinite(row.low):
                inside -= np.interp(row.low, _LOG10_P, cdf)
            lines.append(
                {
                    "label": row.label,
                    "material": material,
                    "published_low_mpa": 10.0**row.low,
                    "published_high_mpa": 10.0**row.high,
                    "median_mpa": 10.0**median,
                    "lower_mpa": 10.0**low,
                    "upper_mpa": 10.0**high,
                    "width_decades": high - low,
                    "residual": min(0.0, row.high - median)
                    if np.isneginf(row.low)
                    else (row.low + row.high) / 2 - median,
                    "covered": bool(low <= row.high and high >= row.low),
                    "p_in_range": float(inside),
                }
            )
    return pd.DataFrame(lines)


def _quantiles(cdf: FloatArray) -> tuple[float, float, float]:
    """Return the 5%, 50% and 95% points of a distribution function on the grid."""
    low, median, high = (float(np.interp(level, cdf, _LOG10_P)) for level in _LEVELS)
    return low, median, high
