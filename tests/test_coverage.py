"""Coverage and applicability benchmarks: calibrated on other rows than they judge."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.applicability import (
    ELEMENT,
    FAMILY,
    KNOWN,
    UNSEEN_ELEMENTS,
    distance_to,
    judge,
    kinds_of,
    relative_error,
    summary,
)
from benchmarks.applicability import draw as draw_applicability
from benchmarks.coverage import assess, coverage_table, draw, stated
from softlyte.datasets.formulas import Compositions
from softlyte.models.checkpoint import load_checkpoint
from softlyte.models.tasks import TARGET_NAMES, TASKS
from softlyte.models.training_data import TrainingRows, load_training_rows

TABLES = ("elastic_moduli", "conductivity_obelix", "mechanics_cited", "conductivity_cited")
SIGMA = TARGET_NAMES.index("sigma_s_cm")


@pytest.fixture(scope="module")
def rows() -> TrainingRows:
    return load_training_rows(TABLES, 0, 3)


@pytest.fixture(scope="module")
def members(rows: TrainingRows) -> tuple[np.ndarray, np.ndarray]:
    """Two members that miss the labels by a normal error of 1 and claim a third of it."""
    rng = np.random.default_rng(0)
    labels = np.nan_to_num(rows.targets[:, : len(TASKS)])
    mean = labels + rng.normal(0.0, 1.0, labels.shape) + rng.normal(0.0, 1e-3, (2, *labels.shape))
    return mean, np.full_like(mean, 1 / 3)


def test_calibrated_spreads_cover_what_they_have_not_seen(
    rows: TrainingRows, members: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    mean, sd = stated(rows, *members)
    assert mean.shape == sd.shape == (len(rows), len(TARGET_NAMES))
    results = assess(rows, mean, sd)
    found = results["bulk_modulus_gpa"]["all"]["all"]
    assert found["coverage"]["0.90"]["covered"] == pytest.approx(0.9, abs=0.01)
    assert found["coverage"]["0.50"]["covered"] == pytest.approx(0.5, abs=0.03)
    assert found["error_against_uncertainty"]["ence"] < 0.1
    assert "measured_pellet" in results["sigma_s_cm"]["fidelity"]
    assert all(
        r["rows"] >= 30 for kinds in results.values() for part in kinds.values() for r in part.values()
    )
    text = coverage_table(results, ("all", "phase"), ("bulk_modulus_gpa", "sigma_s_cm"))
    assert text.splitlines()[2].startswith("| bulk_modulus_gpa | all | 10,")
    for number in (1, 2):
        draw(results | {name: {} for name in TARGET_NAMES if name not in results}, tmp_path / f"{number}.svg")
    assert (tmp_path / "1.svg").read_bytes() == (tmp_path / "2.svg").read_bytes()


def test_a_fold_is_not_calibrated_on_itself(
    rows: TrainingRows, members: tuple[np.ndarray, np.ndarray]
) -> None:
    mean, sd = members
    _, before = stated(rows, mean, sd)
    far = mean + np.where(rows.fold == 0, 50.0, 0.0)[None, :, None]
    _, after = stated(rows, far, sd)
    np.testing.assert_allclose(after[rows.fold == 0, SIGMA], before[rows.fold == 0, SIGMA], rtol=1e-9)
    assert (after[rows.fold == 1, SIGMA] > 5 * before[rows.fold == 1, SIGMA]).all()


def test_distance_is_half_the_difference_of_fractions() -> None:
    found = distance_to(
        Compositions.from_formulas(["LiCl", "Li2O", "NaBr", "LiCl"]),
        Compositions.from_formulas(["Li3YCl6", "LiF", "Li4Cl4"]),
    )
    # LiCl is Li4Cl4; Li2O and Li3YCl6: |2/3-3/10| + 1/3 + 1/10 + 6/10, but LiF: 1/6 + 1/3 + 1/2.
    assert found == pytest.approx([0.0, 0.5, 1.0, 0.0])


def test_error_in_units_of_the_labels_spread(rows: TrainingRows) -> None:
    both = rows.take(np.flatnonzero(~np.isnan(rows.targets[:, :2]).any(axis=1))[:1])
    mean = np.zeros((1, len(TASKS)))
    mean[0, :2] = both.targets[0, :2] + [0.2, -0.6]
    assert relative_error(mean, both, np.full(len(TASKS), 2.0)) == pytest.approx([0.2])


def test_kinds_of_rows_do_not_overlap(rows: TrainingRows) -> None:
    kinds = kinds_of(rows)
    assert (np.stack(list(kinds.values())).sum(axis=0) <= 1).all()
    assert all(mask.sum() > 20 for mask in kinds.values())
    for element in UNSEEN_ELEMENTS:
        assert not rows.compositions[kinds[KNOWN] | kinds[FAMILY]].amount_of(element).any()


def test_rows_with_an_unseen_element_are_not_applicable(
    rows: TrainingRows, tiny_weights: Path, tmp_path: Path
) -> None:
    kinds = kinds_of(rows)
    used = ~(kinds[ELEMENT] | kinds[FAMILY] | (rows.fold == 0))
    checkpoint = load_checkpoint(tiny_weights)
    # These tables hold no density, and what nothing is known of has no support: give every row one.
    targets = rows.targets.copy()
    targets[:, TARGET_NAMES.index("density_g_cm3")] = 0.5
    results = judge(replace(rows, targets=targets), used, checkpoint.members, checkpoint.card["network"])
    assert set(results[ELEMENT]["applicability"]) == {0.0}
    assert max(results[ELEMENT]["without_element_rule"]) > 0
    assert max(results[KNOWN]["applicability"]) > 0.5
    assert np.median(results[KNOWN]["distance"]) < np.median(results[ELEMENT]["distance"])
    lines = summary(results).splitlines()
    assert lines[3].split("|")[4].strip() == "0.00"
    draw_applicability(results, tmp_path / "figure.svg")
    assert b"unseen element" in (tmp_path / "figure.svg").read_bytes()
