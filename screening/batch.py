"""Choose a batch of experiments by what its successes are worth together, which makes it diverse.

Materials that are alike succeed and fail together, so a second one of a kind adds little. With the common
part g of the errors drawn jointly (models.residual_process) each material's success given g is independent of
the others'. If each further success is worth a share w of the one before, K successes are worth
(1 - w^K) / (1 - w), and a batch is expected to be worth

    E_g[1 - prod_i (1 - (1 - w) P(i succeeds | g))] / (1 - w).

w = 0 counts the first success alone: the probability that at least one of the batch succeeds. w = 1 counts
them all, and what is alike is no longer spared. The expectation is submodular: choosing greedily, each time
what adds most, reaches at least 1 - 1/e of the best batch (Nemhauser, Wolsey & Fisher, Math. Program. 14, 265
(1978), doi 10.1007/BF01588971).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

Array = NDArray[np.float64]

DRAWS = 1024
"""Draws of g: the success given g is exact, so a probability is known to about 1/30 of its spread over g."""


FURTHER = 0.5
"""Worth of a further success over the one before: a choice between looking for one and for many."""


@dataclass(frozen=True)
class Batch:
    """A batch in the order of choice.

    Attributes:
        chosen: [B] places among the materials.
        probability: [B] that at least one of those up to it succeeds.
        gain: [B] what each adds to the worth of the batch, in successes.
    """

    chosen: NDArray[np.int64]
    probability: Array
    gain: Array


def draws_of(covariance: Array, draws: int, seed: int) -> Array:
    """Return draws [S, M] of a normal distribution with mean 0, in pairs g and -g."""
    values, vectors = np.linalg.eigh(covariance)
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    half = np.random.default_rng(seed).standard_normal((draws // 2, len(covariance))) @ root.T
    return np.concatenate([half, -half])


def success_given(probability: Array, covariance: Array, draws: int = DRAWS, seed: int = 0) -> Array:
    """Return the probability of success given each draw of the common part, [S, M].

    The mean over the draws of each material is its own probability; the covariance says how far those of
    different materials rise and fall together (a Gaussian copula).

    Args:
        probability: [M] of each material's success.
        covariance: [M, M] of the common part of the errors, diagonal below 1.
        draws: S.
        seed: of the draws.
    """
    common = draws_of(covariance, draws, seed)
    own = np.sqrt(np.maximum(1.0 - np.diag(covariance), 1e-6))
    given = ndtr((ndtri(np.clip(probability, 0.0, 1.0)) - common) / own)
    # Finitely many draws of a rare success miss its mean, and the luckiest miss would be chosen; it is known.
    found = given.mean(axis=0)
    return np.minimum(given * np.divide(probability, found, out=np.ones_like(found), where=found > 0), 1.0)


def choose_batch(success: Array, budget: int, further: float = FURTHER) -> Batch:
    """Choose greedily, given the probability of success under each draw.

    Args:
        success: [S, M] from `success_given`.
        budget: largest number of materials; fewer are chosen if there are fewer.
        further: worth of a further success over the one before, 0 to below 1.
    """
    failed, left = np.ones(len(success)), np.ones(len(success))
    free = np.ones(success.shape[1], bool)
    chosen, reached, gains = [], [], []
    for _ in range(min(budget, success.shape[1])):
        gain = np.where(free, left @ success / len(left), -np.inf)
        best = int(gain.argmax())
        left = left * (1.0 - (1.0 - further) * success[:, best])
        failed = failed * (1.0 - success[:, best])
        free[best] = False
        chosen.append(best)
        gains.append(float(gain[best]))
        reached.append(float(1.0 - failed.mean()))
    return Batch(np.array(chosen, np.int64), np.array(reached), np.array(gains))


def informed(covariance: Array, chosen: NDArray[np.int64], noise: float) -> Array:
    """Return how much of each material's variance each measurement removes, given those before it, [B, M].

    Args:
        covariance: [M, M] of the common part.
        chosen: [B] places in the order of measuring.
        noise: variance of a measurement that its neighbours do not share.
    """
    left, removed = covariance.copy(), []
    for one in chosen:
        column = left[:, one]
        gain = column**2 / (left[one, one] + noise)
        removed.append(gain)
        left = left - np.outer(column, column) / (left[one, one] + noise)
    return np.array(removed).reshape(len(chosen), len(covariance))
