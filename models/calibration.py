"""Calibration on held-out rows: spread that covers, and applicability that falls where data end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from softlyte.datasets.columns import INTERVAL_LEVEL, PHASES
from softlyte.models.tasks import TASK_NAMES

FEWEST_ROWS = 30
"""With fewer held-out rows than this a phase shares the scale of all phases."""

_QUANTILES = np.linspace(0.0, 1.0, 101)
JUDGED = ("bulk_modulus_gpa", "shear_modulus_gpa", "sigma_s_cm", "density_g_cm3")
"""Properties whose disagreement between members, and number of labels, make the applicability."""
JUDGED_TASKS = [TASK_NAMES.index(name) for name in JUDGED]


@dataclass(frozen=True)
class Calibration:
    """What held-out rows say of the ensemble.

    Attributes:
        scale: [P, T] factor on every spread so that intervals cover, by phase and task.
        rows: [P, T] held-out labels behind each factor (those of all phases where a phase has too few).
        disagreement: [P, 101] quantiles of the members' mean disagreement on held-out rows.
        modulus_correlation: correlation of the residuals of log10 K and log10 G.
    """

    scale: NDArray[np.float64]
    rows: NDArray[np.int64]
    disagreement: NDArray[np.float64]
    modulus_correlation: float

    def applicability(
        self, disagreement: NDArray[np.float64], phase: NDArray[np.integer]
    ) -> NDArray[np.float64]:
        """Return the share of held-out rows on which the members disagreed at least as much, [N]."""
        share = np.empty(len(disagreement))
        for code in range(len(PHASES)):
            here = phase == code
            # The grid may repeat a value; searchsorted takes the last, np.interp an arbitrary one.
            below = np.searchsorted(self.disagreement[code], disagreement[here], side="left")
            share[here] = 1.0 - _QUANTILES[np.minimum(below, len(_QUANTILES) - 1)]
        return share

    def to_card(self) -> dict[str, Any]:
        """Return plain numbers for card.json."""
        return {
            "scale": self.scale.round(6).tolist(),
            "rows": self.rows.tolist(),
            "disagreement": self.disagreement.round(6).tolist(),
            "modulus_correlation": round(self.modulus_correlation, 4),
        }

    @classmethod
    def from_card(cls, card: dict[str, Any]) -> Calibration:
        """Read what to_card wrote."""
        return cls(
            np.array(card["scale"], float),
            np.array(card["rows"], int),
            np.array(card["disagreement"], float),
            float(card["modulus_correlation"]),
        )


def mean_disagreement(member_mean: NDArray[np.float64], sd: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the members' standard deviation over the label's, averaged over the judged tasks, [N].

    Args:
        member_mean: [E, N, T].
        sd: [T] standard deviation of each task's labels.
    """
    return (member_mean.std(axis=0)[:, JUDGED_TASKS] / sd[JUDGED_TASKS]).mean(axis=1)


def calibrate(
    member_mean: NDArray[np.float64],
    member_sd: NDArray[np.float64],
    targets: NDArray[np.float64],
    phase: NDArray[np.integer],
    label_sd: NDArray[np.float64],
) -> Calibration:
    """Calibrate on rows that no member was trained on.

    The factor of a task is the split-conformal quantile of |residual| / spread at the interval's level
    over that of the normal distribution (Lei et al., J. Am. Stat. Assoc. 113, 1094 (2018),
    doi 10.1080/01621459.2017.1307116, with the locally scaled score).

    Args:
        member_mean: [E, N, T] predictions in transformed units.
        member_sd: [E, N, T] uncalibrated standard deviations.
        targets: [N, T] labels, NaN where missing.
        phase: [N] index into columns.PHASES.
        label_sd: [T] standard deviation of each task's labels.
    """
    mean = member_mean.mean(axis=0)
    spread = np.sqrt((member_sd**2).mean(axis=0) + member_mean.var(axis=0))
    score = np.abs(targets - mean) / spread
    scale = np.ones((len(PHASES), targets.shape[1]))
    counts = np.zeros_like(scale, dtype=np.int64)
    for task in range(targets.shape[1]):
        everywhere = score[~np.isnan(score[:, task]), task]
        for code in range(len(PHASES)):
            here = score[(phase == code) & ~np.isnan(score[:, task]), task]
            chosen = here if len(here) >= FEWEST_ROWS else everywhere
            scale[code, task] = _conformal_factor(chosen)
            counts[code, task] = len(chosen)
    disagreement = mean_disagreement(member_mean, label_sd)
    quantiles = np.stack(
        [_quantiles(disagreement[phase == code], disagreement) for code in range(len(PHASES))]
    )
    residual = targets - mean
    both = ~np.isnan(residual[:, :2]).any(axis=1)
    pair = residual[both][:, [TASK_NAMES.index("bulk_modulus_gpa"), TASK_NAMES.index("shear_modulus_gpa")]]
    correlation = float(np.corrcoef(pair.T)[0, 1]) if len(pair) > FEWEST_ROWS else 1.0
    return Calibration(scale, counts, quantiles, correlation)


def _conformal_factor(score: NDArray[np.float64]) -> float:
    n = len(score)
    if n == 0:
        return 1.0
    level = min(1.0, np.ceil((n + 1) * INTERVAL_LEVEL) / n)
    return float(np.quantile(score, level, method="higher") / ndtri(0.5 + INTERVAL_LEVEL / 2))


def _quantiles(values: NDArray[np.float64], otherwise: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.quantile(values if len(values) >= FEWEST_ROWS else otherwise, _QUANTILES)
