"""Prediction objects and calibration: hand-worked numbers and coverage."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm

from softlyte.datasets.formulas import Compositions
from softlyte.models.calibration import Calibration, calibrate, scaled, unbiased
from softlyte.models.evaluation import log10_youngs_modulus
from softlyte.models.predictions import Predictions, PropertyPrediction, concatenate, youngs_modulus
from softlyte.models.predictor import Predictor
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


def normal_labels(rng: np.random.Generator, n: int) -> np.ndarray:
    """Labels of every task; Young's modulus is that of K and G, as in the tables."""
    tasks = rng.normal(size=(n, len(TASKS)))
    return np.concatenate([tasks, log10_youngs_modulus(tasks)[:, None]], axis=1)


def test_calibrated_intervals_cover_in_every_family_and_for_youngs_modulus() -> None:
    rng = np.random.default_rng(0)
    n, tasks = 12000, len(TASKS)
    truth = normal_labels(rng, n)
    # Members claim a spread of 0.2 while the error is 1, in the second family 2: overconfident.
    family = rng.integers(0, 2, n)
    truth[family == 1] *= 2
    mean = np.repeat(np.zeros((1, n, tasks)), 3, axis=0)
    sd = np.full_like(mean, 0.2)
    phase = (np.arange(n) % 2).astype(int)
    fit, test = slice(None, n // 2), slice(n // 2, None)
    c = calibrate(mean[:, fit], sd[:, fit], truth[fit], phase[fit], family[fit], np.ones(tasks))
    assert np.allclose(c.scale[:, 0, :tasks], 5.0, rtol=0.1)
    assert np.allclose(c.scale[:, 1, :tasks], 10.0, rtol=0.1)
    factor = c.scale[phase[test], family[test]]
    for kind in (0, 1):
        here = family[test] == kind
        covered = np.abs(truth[test][here, :tasks]) <= norm.ppf(0.95) * 0.2 * factor[here, :tasks]
        assert abs(covered.mean() - 0.90) < 0.02
    tasks_scaled = scaled(mean[:, test], sd[:, test], factor)
    modulus = youngs_modulus(tasks_scaled[0], tasks_scaled[1], c.modulus_correlation).widened(factor[:, -1])
    covered = np.abs(truth[test][:, -1] - modulus.mean()) <= norm.ppf(0.95) * modulus.sd()
    assert abs(covered.mean() - 0.90) < 0.02


def test_family_with_few_rows_borrows_from_its_phase_and_a_phase_from_all() -> None:
    rng = np.random.default_rng(1)
    n, tasks = 200, len(TASKS)
    phase, family = np.zeros(n, int), np.zeros(n, int)
    phase[:5], family[:5] = 1, 2
    family[5:15] = 3
    c = calibrate(
        np.zeros((2, n, tasks)), np.ones((2, n, tasks)), normal_labels(rng, n), phase, family, np.ones(tasks)
    )
    assert (c.rows[1] == n).all()
    assert (c.rows[0, 0] == n - 15).all()
    assert (c.rows[0, 3] == n - 5).all()


def test_two_members_and_ten_of_the_same_spread_differ_alike() -> None:
    rng = np.random.default_rng(2)
    many = rng.normal(size=(10, 20000, 1))
    assert unbiased(many).var(axis=0).mean() == pytest.approx(1.0, rel=0.02)
    assert unbiased(many[:2]).var(axis=0).mean() == pytest.approx(1.0, rel=0.05)
    np.testing.assert_array_equal(unbiased(many[:1]), many[:1])


def test_applicability_falls_with_disagreement_and_survives_the_card() -> None:
    grid = np.stack([np.linspace(0, 1, 101)] * 2)
    c = replace(Calibration.neutral(), disagreement=grid, modulus_correlation=0.7)
    back = Calibration.from_card(c.to_card())
    share = back.applicability(np.array([0.0, 0.5, 2.0]), np.array([0, 1, 0]))
    assert share[0] == 1.0
    assert share[1] == pytest.approx(0.5, abs=0.02)
    assert share[2] == 0.0


def test_half_precision_moves_predictions_by_less_than_a_hundredth_of_their_interval() -> None:
    predictor = Predictor.load(device="cpu")
    assert not predictor.half  # slower on a CPU
    formulas = ["LiAlCl2.5O0.75", "Li3YCl6", "NaAlCl4", "Li6PS5Cl", "Li7La3Zr2O12", "Li2ZrCl6", "LiTaOCl4"]
    compositions = Compositions.from_formulas(formulas * 2)
    phase = np.repeat([0, 1], len(formulas))
    whole = predictor.predict(compositions, phase)
    predictor.half = True
    half = predictor.predict(compositions, phase)
    moved = False
    for name, one in whole.properties.items():
        shift = np.abs(half[name].mean() - one.mean())
        moved |= bool(shift.max() > 0)
        assert (shift / (1.645 * one.sd())).max() < 0.01, name
    assert moved, "nothing was computed in half precision"
