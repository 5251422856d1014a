"""What measured rows say of their neighbours: a Gaussian process on an ensemble's standardised residuals.

The residual of a measured row, over the standard deviation that the ensemble states for it, is z =
(value - mean) / sd. If the ensemble is right about its errors, z has mean 0 and variance 1. A share of that
variance is common to neighbours in composition and the rest is scatter of the single sample:

    cov(z_i, z_j) = share * (1 - d_ij) exp(-d_ij / reach) [same phase] + (1 - share + u_i^2) [i = j]

with d the distance of compositions (half the sum of absolute differences of atomic fractions, 0 to 1,
`distance_to_known` of the results) and u the stated uncertainty of the value over sd. Both factors are
positive definite kernels: 1 - d is the histogram intersection, exp(-d / reach) the Laplace kernel of an L1
distance. Away from every row the process says mean 0 and variance 1, the ensemble's prediction as it was,
and exactly so where no element is shared. Near them the mean moves and the interval narrows, by at most the
share.

Two numbers are fitted by their posterior mode (Rasmussen & Williams, Gaussian Processes for Machine Learning,
2006, ch. 5), with priors from the measured conductivities (`PRIOR`), so that five rows suffice.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import minimize
from scipy.special import ndtri

from softlyte.datasets.columns import INTERVAL_LEVEL
from softlyte.datasets.distances import distances
from softlyte.datasets.formulas import Compositions

Array = NDArray[np.float64]

CHUNK = 4096
"""Candidates whose distances are computed at once."""

ENOUGH_TO_CHECK = 10
"""With fewer materials left out one after the other, their coverage says nothing and nothing is widened."""


@dataclass(frozen=True)
class Prior:
    """Normal priors of logit(share) and ln(reach), each a mean and a standard deviation."""

    share: tuple[float, float]
    reach: tuple[float, float]


PRIOR = Prior(share=(1.1, 1.5), reach=(-1.6, 0.5))
"""Around share 0.75 and reach 0.2."""


@dataclass(frozen=True)
class ResidualProcess:
    """A fitted process over N measured rows.

    Attributes:
        compositions: N compositions.
        phase: [N] index into columns.PHASES.
        z: [N] standardised residuals.
        noise: [N] variance of each z that its neighbours do not share.
        share: variance that neighbours share, 0..1.
        reach: distance of compositions over which it falls to 1/e.
        widening: factor, at least 1, on the standard deviations near the rows, from leaving rows out.
    """

    compositions: Compositions
    phase: NDArray[np.int64]
    z: Array
    noise: Array
    share: float
    reach: float
    widening: float = 1.0

    def __len__(self) -> int:
        return len(self.z)

    @classmethod
    def unmeasured(cls, prior: Prior = PRIOR) -> ResidualProcess:
        """Return the process before anything is measured, with the prior's share and reach."""
        nothing = np.zeros(0)
        share, reach = 1.0 / (1.0 + np.exp(-prior.share[0])), float(np.exp(prior.reach[0]))
        return cls(Compositions.from_formulas([]), nothing.astype(np.int64), nothing, nothing, share, reach)

    @classmethod
    def fit(
        cls,
        compositions: Compositions,
        phase: NDArray[np.integer],
        z: Array,
        uncertainty: Array | None = None,
        prior: Prior = PRIOR,
    ) -> ResidualProcess:
        """Fit share and reach, then widen the intervals if rows left out say that they are too narrow.

        Args:
            compositions: N compositions.
            phase: [N] index into columns.PHASES.
            z: [N] standardised residuals.
            uncertainty: [N] stated standard deviation of each value over the ensemble's; None for none.
            prior: of share and reach.
        """
        own = np.zeros(len(z)) if uncertainty is None else np.nan_to_num(uncertainty) ** 2
        near = distances(compositions, compositions)
        same = phase[:, None] == np.asarray(phase)[None]

        def loss(theta: Array) -> float:
            share, reach = 1.0 / (1.0 + np.exp(-theta[0])), np.exp(theta[1])
            covariance = share * kernel_of(near, reach) * same + np.diag(1.0 - share + own)
            factor = cho_factor(covariance + 1e-9 * np.eye(len(z)), lower=True)
            fits = 0.5 * z @ cho_solve(factor, z) + np.log(np.diag(factor[0])).sum()
            believed = [(t - m) / s for t, (m, s) in zip(theta, (prior.share, prior.reach), strict=True)]
            return float(fits + 0.5 * np.square(believed).sum())

        start = np.array([prior.share[0], prior.reach[0]])
        best = minimize(loss, start, method="Nelder-Mead", options={"xatol": 0.01, "fatol": 0.01}).x
        share, reach = 1.0 / (1.0 + np.exp(-best[0])), float(np.exp(best[1]))
        fitted = cls(
            compositions,
            np.asarray(phase, np.int64),
            np.asarray(z, np.float64),
            1 - share + own,
            share,
            reach,
        )
        return replace(fitted, widening=fitted._needed_widening())

    def predict(self, compositions: Compositions, phase: NDArray[np.integer] | int) -> tuple[Array, Array]:
        """Return mean and standard deviation of z of M materials, two [M]: 0 and 1 far from every row."""
        codes = np.broadcast_to(np.asarray(phase), (len(compositions),))
        if not len(self):
            return np.zeros(len(codes)), np.ones(len(codes))
        factor = cho_factor(self._covariance(), lower=True)
        weights = cho_solve(factor, self.z)
        mean, explained = np.zeros(len(codes)), np.zeros(len(codes))
        for start in range(0, len(codes), CHUNK):
            rows = slice(start, start + CHUNK)
            kernel = self.share * kernel_of(distances(compositions[rows], self.compositions), self.reach)
            kernel *= codes[rows, None] == self.phase
            mean[rows] = kernel @ weights
            explained[rows] = (kernel * cho_solve(factor, kernel.T).T).sum(axis=1)
        return mean, self._widened(np.clip(explained, 0.0, self.share))

    def common_covariance(self, compositions: Compositions, phase: NDArray[np.integer] | int) -> Array:
        """Return the covariance of what M materials share with their neighbours, given the rows, [M, M].

        What is left of each z's variance, 1 - share, is its own.
        """
        codes = np.broadcast_to(np.asarray(phase), (len(compositions),))
        kernel = self.share * kernel_of(distances(compositions, compositions), self.reach)
        kernel *= codes[:, None] == codes[None]
        if not len(self):
            return np.asarray(kernel)
        cross = self.share * kernel_of(distances(compositions, self.compositions), self.reach)
        cross *= codes[:, None] == self.phase
        factor = cho_factor(self._covariance(), lower=True)
        return np.asarray(kernel - cross @ cho_solve(factor, cross.T))

    def leave_one_out(self) -> tuple[Array, Array]:
        """Return mean and standard deviation of each row's z from the other compositions alone, two [N].

        All rows of a composition and phase are left out together, so that repeats do not vouch for each other
        (the block form of Rasmussen & Williams, eq. 5.12).
        """
        inverse = np.linalg.inv(self._covariance())
        weighted = inverse @ self.z
        _, group = np.unique(self.compositions.keys(), return_inverse=True)
        group = group.ravel() * (1 + int(self.phase.max(initial=0))) + self.phase
        mean, variance = np.empty(len(self)), np.empty(len(self))
        for one in np.unique(group):
            rows = np.flatnonzero(group == one)
            block = np.linalg.inv(inverse[np.ix_(rows, rows)])
            mean[rows] = self.z[rows] - block @ weighted[rows]
            variance[rows] = np.diag(block) - self.noise[rows] + (1.0 - self.share)
        return mean, self._widened(np.clip(1.0 - variance, 0.0, self.share))

    def to_parts(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Return arrays and plain numbers, for tensors and JSON."""
        arrays = {
            "atomic_numbers": self.compositions.atomic_numbers.astype(np.int64),
            "amounts": self.compositions.amounts,
            "phase": self.phase,
            "z": self.z,
            "noise": self.noise,
        }
        return arrays, {"share": self.share, "reach": self.reach, "widening": self.widening}

    @classmethod
    def from_parts(cls, arrays: dict[str, Array], numbers: dict[str, Any]) -> ResidualProcess:
        """Read what to_parts gave; raises KeyError or ValueError if something is missing."""
        compositions = Compositions(
            np.asarray(arrays["atomic_numbers"], np.uint8), np.asarray(arrays["amounts"], np.float64)
        )
        return cls(
            compositions,
            np.asarray(arrays["phase"], np.int64),
            np.asarray(arrays["z"], np.float64),
            np.asarray(arrays["noise"], np.float64),
            float(numbers["share"]),
            float(numbers["reach"]),
            float(numbers["widening"]),
        )

    def _covariance(self) -> Array:
        near = kernel_of(distances(self.compositions, self.compositions), self.reach)
        kernel = self.share * near * (self.phase[:, None] == self.phase)
        return np.asarray(kernel + np.diag(self.noise + 1e-9))

    def _widened(self, explained: Array) -> Array:
        """Return the standard deviation of z where so much of its variance is explained, [M]."""
        factor = 1.0 + (self.widening - 1.0) * explained / max(self.share, 1e-12)
        return np.asarray(np.sqrt(1.0 - explained) * factor)

    def _needed_widening(self) -> float:
        """Return the conformal factor of the rows left out, not below 1, where there are enough of them."""
        materials = len(np.unique(self.compositions.keys()))
        if materials < ENOUGH_TO_CHECK:
            return 1.0
        mean, sd = self.leave_one_out()
        score = np.abs(self.z - mean) / np.sqrt(sd**2 + np.maximum(self.noise - (1 - self.share), 0.0))
        level = min(1.0, np.ceil((len(score) + 1) * INTERVAL_LEVEL) / len(score))
        factor = np.quantile(score, level, method="higher") / ndtri(0.5 + INTERVAL_LEVEL / 2)
        return float(max(1.0, factor))


def kernel_of(distance: Array, reach: float) -> Array:
    """Return what two compositions at a distance share, of the same shape: 1 at 0, 0 where all differs."""
    return np.asarray((1.0 - distance) * np.exp(-distance / reach))
