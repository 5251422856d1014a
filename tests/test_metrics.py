"""Metrics of the evaluation, checked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom, norm, spearmanr

from benchmarks.metrics import (
    clopper_pearson,
    clustered_band,
    coverage,
    error_against_uncertainty,
    mean_absolute_error,
    over_seeds,
    score,
    spearman,
)


def test_mean_absolute_error() -> None:
    assert mean_absolute_error(np.array([1.0, 2.0, 5.0]), np.array([2.0, 2.0, 2.0])) == pytest.approx(4 / 3)


@pytest.mark.parametrize("label", [[np.nan], []])
def test_an_error_of_nothing_is_refused(label: list[float]) -> None:
    with pytest.raises(ValueError, match="choose rows first"):
        mean_absolute_error(np.zeros(len(label)), np.array(label))


def test_rank_correlation_with_ties() -> None:
    a, b = np.array([1.0, 2.0, 2.0, 3.0]), np.array([10.0, 30.0, 20.0, 20.0])
    # Ranks 1, 2.5, 2.5, 4 and 1, 4, 2.5, 2.5: covariance 2.25 over sqrt(4.5 * 4.5).
    assert spearman(a, b) == pytest.approx(0.5)
    assert spearman(a, b) == pytest.approx(spearmanr(a, b).statistic)
    assert np.isnan(spearman(a, np.ones(4)))


def test_scores_by_subset_leave_out_what_has_no_label() -> None:
    predicted, label = np.array([0.0, 1.0, 2.0]), np.array([1.0, np.nan, 4.0])
    out = score(predicted, label, {"all": np.ones(3, bool), "second": np.array([False, True, False])})
    assert out == {"all": {"rows": 2, "mae": 1.5}}


def test_an_upper_bound_is_missed_only_from_above() -> None:
    predicted, label = np.array([-12.0, -8.0, -5.0]), np.array([-10.0, -10.0, -6.0])
    bound = np.array([True, True, False])
    out = score(predicted, label, {"all": np.ones(3, bool)}, bound)
    assert out["all"]["mae"] == pytest.approx((0 + 2 + 1) / 3)


def test_over_seeds() -> None:
    assert over_seeds([1.0, 3.0]) == "2.000 ± 1.000"
    assert over_seeds([1.0]) == "1.000"


@pytest.mark.parametrize(("hits", "rows"), [(9, 10), (45, 50), (1, 3)])
def test_clopper_pearson_holds_the_tails(hits: int, rows: int) -> None:
    low, high = clopper_pearson(hits, rows)
    # At the lower end a result this high or higher has probability 2.5%, at the upper end this low or lower.
    assert binom.sf(hits - 1, rows, low) == pytest.approx(0.025)
    assert binom.cdf(hits, rows, high) == pytest.approx(0.025)


def test_clopper_pearson_at_the_ends() -> None:
    assert clopper_pearson(0, 10) == (0.0, pytest.approx(1 - 0.025**0.1))
    assert clopper_pearson(10, 10) == (pytest.approx(0.025**0.1), 1.0)
    with pytest.raises(ValueError, match="no share"):
        clopper_pearson(3, 2)


def test_a_band_over_groups_is_wider_when_rows_of_a_group_agree() -> None:
    values = np.repeat([0.0, 1.0] * 10, 20)[:, None]
    alike = clustered_band(values, [str(i) for i in np.repeat(np.arange(20), 20)])
    single = clustered_band(values, [str(i) for i in range(400)])
    assert alike[1] - alike[0] > 3 * (single[1] - single[0])
    assert alike[0] < 0.5 < alike[1]
    low, high = clustered_band(np.stack([np.ones(5), np.zeros(5)], axis=1), list("aabbc"))
    assert low.tolist() == high.tolist() == [1.0, 0.0]


def test_coverage_of_honest_and_of_narrow_intervals() -> None:
    error = norm.ppf((np.arange(2000) + 0.5) / 2000)  # a perfectly normal sample
    groups = [str(i) for i in range(2000)]
    honest, narrow = (coverage(error, np.full(2000, sd), groups) for sd in (1.0, 0.5))
    for level, found in honest.items():
        assert found["covered"] == pytest.approx(float(level), abs=0.002)
        assert found["low"] < float(level) < found["high"]
        assert found["clustered_low"] < float(level) < found["clustered_high"]
    assert narrow["0.90"]["covered"] == pytest.approx(2 * norm.cdf(0.5 * norm.ppf(0.95)) - 1, abs=0.002)


def test_error_against_stated_uncertainty() -> None:
    sd = np.repeat([1.0, 2.0], 50)
    error = np.tile([1.0, -1.0], 50) * np.repeat([1.0, 4.0], 50)
    out = error_against_uncertainty(error, sd, bins=2)
    assert out["stated"] == [1.0, 2.0]
    assert out["found"] == [1.0, 4.0]
    assert out["ence"] == pytest.approx(0.5)  # 0 and 100%
    assert out["spearman"] == pytest.approx(1.0)
