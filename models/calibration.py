"""Calibration on out-of-fold rows: spread that covers, and applicability that falls where data end.

Cross-validation+ (Barber et al., Ann. Stat. 49, 486 (2021), doi 10.1214/20-AOS1965): every row is predicted
by networks that have not seen its chemical system, so that scarce rows both train and calibrate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from softlyte.datasets.columns import INTERVAL_LEVEL, PHASES
from softlyte.models.predictions import PropertyPrediction, youngs_modulus
from softlyte.models.support import FAMILIES
from softlyte.models.tasks import TASK_NAMES, TASKS

FEWEST_ROWS = 30
"""With fewer held-out rows than this a family shares the scale of its phase, and a phase that of all."""

_QUANTILES = np.linspace(0.0, 1.0, 101)
JUDGED = ("bulk_modulus_gpa", "shear_modulus_gpa", "sigma_s_cm", "density_g_cm3")
"""Properties whose disagreement between members, and number of labels, make the applicability."""
MODULI = [TASK_NAMES.index("bulk_modulus_gpa"), TASK_NAMES.index("shear_modulus_gpa")]
JUDGED_TASKS = [TASK_NAMES.index(name) for name in JUDGED]


@dataclass(frozen=True)
class Calibration:
    """What held-out rows say of the ensemble.

    Attributes:
        scale: [P, F, T + 1] factor on every spread so that intervals cover, by phase, family and target;
            the families are those of `support.FAMILIES`, the last target is Young's modulus, whose factor
            comes on top of those of K and G.
        rows: [P, F, T + 1] held-out labels behind each factor (those of the phase or of all, where there are
            too few).
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

    @classmethod
    def neutral(cls) -> Calibration:
        """Return a calibration that changes nothing, for networks that are still to be calibrated."""
        ones = np.ones((len(PHASES), len(FAMILIES), len(TASKS) + 1))
        return cls(ones, np.zeros_like(ones, dtype=np.int64), np.zeros((len(PHASES), 101)), 1.0)

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
        """Read what to_card wrote; raises ValueError where the numbers do not fit the tasks."""
        read = cls(
            np.array(card["scale"], float),
            np.array(card["rows"], int),
            np.array(card["disagreement"], float),
            float(card["modulus_correlation"]),
        )
        shape = (len(PHASES), len(FAMILIES), len(TASKS) + 1)
        found = (read.scale.shape, read.rows.shape, read.disagreement.shape)
        if found != (shape, shape, (len(PHASES), len(_QUANTILES))):
            raise ValueError(f"calibration has the shapes {found}")
        if not (np.isfinite(read.scale).all() and (read.scale > 0).all()):
            raise ValueError("calibration has factors that are not positive numbers")
        if not (np.isfinite(read.disagreement).all() and abs(read.modulus_correlation) <= 1):
            raise ValueError("calibration has a correlation or quantiles that are none")
        return read


def unbiased(member_mean: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the members' means drawn apart, [E, N, T], so that their plain variance is the unbiased one.

    The two members that predict a row out of fold and all members of the shipped ensemble then differ
    equally far from each other on average, and one calibration serves both.
    """
    members = len(member_mean)
    centre = member_mean.mean(axis=0)
    return centre + (member_mean - centre) * np.sqrt(members / max(members - 1, 1))


def mean_disagreement(member_mean: NDArray[np.float64], sd: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the members' standard deviation over the label's, averaged over the judged tasks, [N].

    Args:
        member_mean: [E, N, T].
        sd: [T] standard deviation of each task's labels.
    """
    return (unbiased(member_mean).std(axis=0)[:, JUDGED_TASKS] / sd[JUDGED_TASKS]).mean(axis=1)


def calibrate(
    member_mean: NDArray[np.float64],
    member_sd: NDArray[np.float64],
    targets: NDArray[np.float64],
    phase: NDArray[np.integer],
    family: NDArray[np.integer],
    label_sd: NDArray[np.float64],
) -> Calibration:
    """Calibrate on rows that the members were not trained on.

    The factor of a task is the conformal quantile of |residual| / spread at the interval's level over that
    of the normal distribution (Lei et al., J. Am. Stat. Assoc. 113, 1094 (2018),
    doi 10.1080/01621459.2017.1307116, with the locally scaled score), within each phase and family of
    compositions (Mondrian conformal prediction).

    Args:
        member_mean: [E, N, T] predictions in transformed units.
        member_sd: [E, N, T] uncalibrated standard deviations.
        targets: [N, T + 1] labels, Young's modulus last, NaN where missing.
        phase: [N] index into columns.PHASES.
        family: [N] index into support.FAMILIES.
        label_sd: [T] standard deviation of each task's labels.
    """
    mean = member_mean.mean(axis=0)
    residual = targets[:, : len(TASKS)] - mean
    spread = np.sqrt((member_sd**2).mean(axis=0) + unbiased(member_mean).var(axis=0))
    scale, counts = _factors(np.abs(residual) / spread, phase, family)
    pair = residual[:, MODULI][~np.isnan(residual[:, MODULI]).any(axis=1)]
    correlation = float(np.corrcoef(pair.T)[0, 1]) if len(pair) > FEWEST_ROWS else 1.0
    tasks = scaled(member_mean, member_sd, scale[phase, family])
    modulus = youngs_modulus(tasks[MODULI[0]], tasks[MODULI[1]], correlation)
    score = np.abs(targets[:, len(TASKS)] - modulus.mean()) / modulus.sd()
    modulus_scale, modulus_counts = _factors(score[:, None], phase, family)
    scale = np.concatenate([scale, modulus_scale], axis=2)
    counts = np.concatenate([counts, modulus_counts], axis=2)
    disagreement = mean_disagreement(member_mean, label_sd)
    quantiles = np.stack(
        [_quantiles(disagreement[phase == code], disagreement) for code in range(len(PHASES))]
    )
    return Calibration(scale, counts, quantiles, correlation)


def scaled(
    member_mean: NDArray[np.float64], member_sd: NDArray[np.float64], factor: NDArray[np.float64]
) -> list[PropertyPrediction]:
    """Return each task's prediction with its spread multiplied by a factor [N, T]."""
    mean = unbiased(member_mean)
    return [
        PropertyPrediction(mean[:, :, i], member_sd[:, :, i], task.transform).widened(factor[:, i])
        for i, task in enumerate(TASKS)
    ]


def _factors(
    score: NDArray[np.float64], phase: NDArray[np.integer], family: NDArray[np.integer]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return conformal factors [P, F, T] of scores [N, T], NaN where not labelled, and their rows."""
    shape = (len(PHASES), len(FAMILIES), score.shape[1])
    scale, counts = np.ones(shape), np.zeros(shape, dtype=np.int64)
    for task in range(shape[2]):
        known = ~np.isnan(score[:, task])
        for code, kind in np.ndindex(shape[:2]):
            alike = known & (phase == code)
            chosen = next(
                (rows for rows in (alike & (family == kind), alike) if rows.sum() >= FEWEST_ROWS), known
            )
            scale[code, kind, task] = _conformal_factor(score[chosen, task])
            counts[code, kind, task] = chosen.sum()
    return scale, counts


def _conformal_factor(score: NDArray[np.float64]) -> float:
    n = len(score)
    if n == 0:
        return 1.0
    level = min(1.0, np.ceil((n + 1) * INTERVAL_LEVEL) / n)
    return float(np.quantile(score, level, method="higher") / ndtri(0.5 + INTERVAL_LEVEL / 2))


def _quantiles(values: NDArray[np.float64], otherwise: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.quantile(values if len(values) >= FEWEST_ROWS else otherwise, _QUANTILES)
