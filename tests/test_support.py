"""Least spread and support: hand-worked counts, and bounds that really bind."""

import numpy as np
import pytest

from softlyte.datasets.formulas import Compositions
from softlyte.models.support import ANIONS, ENOUGH_ROWS, Support, main_anion
from softlyte.models.tasks import TARGET_NAMES, TASK_NAMES, TASKS
from softlyte.models.training_data import TrainingRows

SIGMA, BULK = TASK_NAMES.index("sigma_s_cm"), TASK_NAMES.index("bulk_modulus_gpa")


def rows_of(formulas: list[str], phase: int, task: int, values: list[float], source: int = 0) -> TrainingRows:
    n = len(formulas)
    targets = np.full((n, len(TARGET_NAMES)), np.nan)
    targets[:, task] = values
    return TrainingRows(
        Compositions.from_formulas(formulas),
        np.full(n, phase),
        np.zeros(n, int),
        np.full(n, 25.0),
        targets,
        np.zeros(n, bool),
        np.ones(n),
        np.full(n, source),
        np.zeros(n, int),
        ("conductivity_obelix",),
    )


def test_main_anion_is_the_most_abundant() -> None:
    formulas = ["LiAlCl2.5O0.75", "LiNbO3", "Li3YBr3.5Cl2.5", "LiAl", "Li6PS5Cl"]
    expected = [17, 8, 35, 0, 16]
    classes = main_anion(Compositions.from_formulas(formulas))
    assert [0 if c == 0 else ANIONS[c - 1] for c in classes] == expected


def test_repeat_measurements_set_the_least_spread_of_a_conductivity() -> None:
    # Li3YCl6 three times at -4, -3, -2: variance 1 on 2 degrees of freedom; LiCl once: says nothing.
    support = Support.fit(rows_of(["Li3YCl6"] * 3 + ["LiCl"], 0, SIGMA, [-4.0, -3.0, -2.0, -9.0]))
    assert support.repeat_sd[SIGMA] == pytest.approx(1.0)
    assert support.repeat_sd.sum() == pytest.approx(1.0)
    least = support.least_sd(np.array([0]), np.array([0]))
    assert least[0, SIGMA] == pytest.approx(1.0)


def test_a_value_quoted_twice_is_one_measurement() -> None:
    support = Support.fit(rows_of(["Li3YCl6"] * 3, 0, SIGMA, [-4.0, -4.0, -3.0]))
    assert support.repeat_sd[SIGMA] == pytest.approx(np.sqrt(0.5))


def test_unsupported_moduli_are_guessed_and_supported_ones_are_free() -> None:
    many = ENOUGH_ROWS
    values = list(np.tile([1.0, 2.0], many // 2))
    support = Support.fit(rows_of(["NaCl"] * many, 1, BULK, values))
    chloride, oxide = main_anion(Compositions.from_formulas(["LiAlCl4", "Li2O"]))
    share = support.share(np.array([chloride, oxide]), np.array([1, 1]))[:, BULK]
    assert share.tolist() == [1.0, 0.0]
    least = support.least_sd(np.array([chloride, oxide]), np.array([1, 1]))[:, BULK]
    assert least.tolist() == pytest.approx([0.0, 0.5])


def test_censored_rows_are_no_values() -> None:
    rows = rows_of(["LiCl"] * 2, 0, SIGMA, [-9.0, -12.0])
    rows.censored[:] = True
    support = Support.fit(rows)
    assert support.rows.sum() == 0
    assert support.repeat_sd[SIGMA] == 0.0


def test_card_round_trip() -> None:
    support = Support.fit(rows_of(["LiCl", "LiBr"], 0, SIGMA, [-9.0, -7.0]))
    back = Support.from_card(support.to_card())
    assert back.rows.shape == (2, len(TASKS), len(ANIONS) + 1)
    np.testing.assert_array_equal(back.rows, support.rows)
    np.testing.assert_allclose(back.label_sd, support.label_sd)
