"""Prediction objects and calibration: hand-worked numbers and coverage."""

import numpy as np
import pytest
from scipy.stats import norm

from softlyte.models.calibration import Calibration, calibrate
from softlyte.models.predictions import Predictions, PropertyPrediction, concatenate, youngs_modulus
from softlyte.models.tasks import TASKS


def one(mean: float, sd: float, transform: str = "identity") -> PropertyPrediction:
    return PropertyPrediction(np.full((3, 1), mean), np.full((3, 1), sd), transform)  # type: ignore[arg-type]


def test_interval_and_probability_of_a_normal_distribution() -> None:
    p = one(2.0, 0.5)
    low, high = p.interval(0.90)
    assert low[0] == pytest.approx(2.0 - 1.6448536 * 0.5)
    assert high[0] == pytest.approx(2.0 + 1.6448536 * 0.5)
    assert p.probability_below(2.5)[0] == pytest.approx(norm.cdf(1.0))
    assert p.epistemic_share()[0] == 0.0


def test_logarithmic_property_speaks_its_own_unit() -> None:
    p = one(-3.0, 1.0, "log10")
    assert p.median()[0] == pytest.approx(1e-3)
    assert p.probability_below(1e-2)[0] == pytest.approx(norm.cdf(1.0))
    assert p.probability_below(0.0)[0] == 0.0


def test_variance_is_the_sum_of_both_kinds() -> None:
    p = PropertyPrediction(np.array([[1.0], [3.0]]), np.array([[1.0], [1.0]]))
    assert p.sd()[0] == pytest.approx(np.sqrt(1.0 + 1.0))
    assert p.epistemic_share()[0] == pytest.approx(0.5)


def test_youngs_modulus_of_known_moduli() -> None:
    k, g = one(np.log10(40.0), 0.1, "log10"), one(np.log10(25.0), 0.1, "log10")
    e = youngs_modulus(k, g, residual_correlation=1.0)
    assert e.median()[0] == pytest.approx(9 * 40 * 25 / (3 * 40 + 25))
    # Fully correlated equal relative errors pass through unchanged: the weights sum to 1.
    assert e.sd()[0] == pytest.approx(0.1)
    assert youngs_modulus(k, g, 0.0).sd()[0] < 0.1


def test_take_and_concatenate_are_inverse() -> None:
    rng = np.random.default_rng(0)
    p = PropertyPrediction(rng.normal(size=(2, 5)), np.ones((2, 5)))
    whole = Predictions({"a": p}, rng.random(5), np.zeros(5, bool))
    back = concatenate([whole.take(slice(0, 2)), whole.take(np.array([2, 3, 4]))])
    np.testing.assert_array_equal(back["a"].member_mean, p.member_mean)
    np.testing.assert_array_equal(back.applicability, whole.applicability)
    with pytest.raises(KeyError, match="no property 'b'"):
        whole["b"]


def test_calibrated_intervals_cover_and_narrow_ones_are_widened() -> None:
    rng = np.random.default_rng(0)
    n, tasks = 4000, len(TASKS)
    truth = rng.normal(size=(n, tasks))
    # Members claim a spread of 0.2 while the error is 1: overconfident by a factor of 5.
    mean = np.repeat(np.zeros((1, n, tasks)), 3, axis=0)
    sd = np.full_like(mean, 0.2)
    phase = (np.arange(n) % 2).astype(int)
    c = calibrate(mean[:, : n // 2], sd[:, : n // 2], truth[: n // 2], phase[: n // 2], np.ones(tasks))
    assert np.allclose(c.scale, 5.0, rtol=0.1)
    covered = np.abs(truth[n // 2 :]) <= norm.ppf(0.95) * 0.2 * c.scale[phase[n // 2 :]]
    assert abs(covered.mean() - 0.90) < 0.02


def test_phase_with_few_rows_borrows_from_all() -> None:
    rng = np.random.default_rng(1)
    n, tasks = 200, len(TASKS)
    phase = np.zeros(n, int)
    phase[:5] = 1
    c = calibrate(
        np.zeros((2, n, tasks)), np.ones((2, n, tasks)), rng.normal(size=(n, tasks)), phase, np.ones(tasks)
    )
    assert (c.rows[1] == n).all()
    assert (c.rows[0] == n - 5).all()


def test_applicability_falls_with_disagreement_and_survives_the_card() -> None:
    grid = np.stack([np.linspace(0, 1, 101)] * 2)
    c = Calibration(np.ones((2, len(TASKS))), np.ones((2, len(TASKS)), int), grid, 0.7)
    back = Calibration.from_card(c.to_card())
    share = back.applicability(np.array([0.0, 0.5, 2.0]), np.array([0, 1, 0]))
    assert share[0] == 1.0
    assert share[1] == pytest.approx(0.5, abs=0.02)
    assert share[2] == 0.0
