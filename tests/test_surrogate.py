"""The student of the network tier: learns a smooth function, is reproducible, never hides the unknown."""

from __future__ import annotations

import numpy as np
import pytest

from softlyte.datasets.formulas import Compositions
from softlyte.screening.surrogate import Surrogate


def candidates(count: int, seed: int) -> tuple[Compositions, np.ndarray, np.ndarray]:
    """Return mixtures of LiCl, YCl3, ZrCl4 and AlCl3 with a probability that is a function of them."""
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet([1.0, 1.0, 1.0, 1.0], count)
    li, y, zr, al = shares.T
    amounts = np.stack([li, al, li + 3 * y + 4 * zr + 3 * al, y, zr], axis=1)
    numbers = np.tile([3, 13, 17, 39, 40], (count, 1)).astype(np.uint8)
    phase = rng.integers(0, 2, count).astype(np.uint8)
    probability = 10.0 ** (-6 * (zr - 0.4) ** 2 - 4 * (li - 0.3) ** 2 - 2 * al - phase)
    return Compositions(numbers, amounts), phase, probability


def test_it_finds_the_best_and_gives_the_same_twice() -> None:
    student = Surrogate.fit(*candidates(8_000, 0), seed=1)
    compositions, phase, truth = candidates(20_000, 2)
    score = student.score(compositions, phase)
    best = set(np.argsort(-truth)[:100].tolist())
    assert best <= set(np.argsort(-score)[:400].tolist())
    again = Surrogate.fit(*candidates(8_000, 0), seed=1).score(compositions, phase)
    np.testing.assert_array_equal(score, again)
    # A candidate's score does not depend on its neighbours, but for the last bits of the product.
    np.testing.assert_allclose(student.score(compositions[5:9], phase[5:9]), score[5:9], rtol=1e-4, atol=1e-5)


def test_scores_are_of_compositions_however_they_are_written() -> None:
    student = Surrogate.fit(*candidates(500, 0), seed=0)
    phase = np.zeros(3, np.uint8)
    score = student.score(Compositions.from_formulas(["Li3YCl6", "Li6Y2Cl12", "Li1.5Y0.5Cl3"]), phase)
    np.testing.assert_allclose(score, score[0], rtol=1e-5)
    wide = Compositions.from_formulas(["Li3YCl6", "Li3Y0.25Zr0.25Al0.5Cl6.25"])
    np.testing.assert_allclose(student.score(wide, phase[:2])[0], score[0], rtol=1e-5)


def test_an_element_that_the_sample_lacked_is_always_looked_at() -> None:
    student = Surrogate.fit(*candidates(500, 0), seed=0)
    score = student.score(Compositions.from_formulas(["Li3ScCl6", "Li3YCl6"]), np.zeros(2, np.uint8))
    assert np.isinf(score[0])
    assert np.isfinite(score[1])


def test_hopeless_and_missing_probabilities_do_no_harm() -> None:
    compositions, phase, probability = candidates(500, 0)
    probability[::3] = 0.0
    probability[1::7] = np.nan
    assert np.isfinite(
        Surrogate.fit(compositions, phase, probability, seed=0).score(compositions, phase)
    ).all()
    constant = Surrogate.fit(compositions, phase, np.full(500, 0.2), seed=0)
    assert np.isfinite(constant.score(compositions, phase)).all()
    with pytest.raises(ValueError, match="draw a larger sample"):
        Surrogate.fit(compositions[:1], phase[:1], probability[:1], seed=0)
