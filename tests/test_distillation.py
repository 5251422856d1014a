"""Lessons from trees: only rows that may be seen teach and are taught."""

import numpy as np
import pytest

from softlyte.datasets.columns import FIDELITIES, PHASES
from softlyte.datasets.formulas import Compositions
from softlyte.models.distillation import DISTILLED, LESSONS, with_distilled_rows
from softlyte.models.tasks import TARGET_NAMES
from softlyte.models.training_data import TrainingRows

SIGMA, ENERGY = TARGET_NAMES.index("sigma_s_cm"), TARGET_NAMES.index("formation_energy_ev_atom")
SOURCES = ("conductivity_obelix", "formation_energy")
MEASURED = ["Li3YCl6", "Li3InCl6", "Li3ErCl6", "Li7La3Zr2O12", "LiTi2P3O12", "Li6PS5Cl"]
COMPUTED = ["Li3ScCl6", "LiAlCl4", "NaCl", "MgO", "LiF"]


def small_rows() -> TrainingRows:
    n, m = len(MEASURED), len(COMPUTED)
    targets = np.full((n + m, len(TARGET_NAMES)), np.nan)
    targets[:n, SIGMA] = [-3.3, -3.0, -3.5, -4.0, -5.0, -2.5]
    targets[n:, ENERGY] = -2.0
    return TrainingRows(
        Compositions.from_formulas(MEASURED + COMPUTED),
        np.zeros(n + m, int),
        np.full(n + m, FIDELITIES.index("measured_pellet")),
        np.full(n + m, 25.0),
        targets,
        np.zeros(n + m, bool),
        np.ones(n + m),
        np.repeat([0, 1], [n, m]),
        np.arange(n + m) % 2,
        SOURCES,
    )


def test_mobile_compositions_get_labels_between_those_of_the_teachers() -> None:
    rows = small_rows()
    more = with_distilled_rows(rows, np.ones(len(rows), bool), seed=0)
    new = more.take(more.source == more.sources.index(DISTILLED))
    assert more.sources == (*SOURCES, DISTILLED)
    assert sorted(new.compositions.formulas()) == sorted(["Li3ScCl6", "LiAlCl4", "NaCl", "LiF"])
    assert ((new.targets[:, SIGMA] >= -5.0) & (new.targets[:, SIGMA] <= -2.5)).all()
    # The trees' label is the only one: the formation energy stays with its own row.
    assert np.isnan(np.delete(new.targets, SIGMA, axis=1)).all()
    assert (new.phase == PHASES.index("crystal")).all()
    np.testing.assert_array_equal(more.targets[: len(rows)], rows.targets)


def test_rows_that_may_not_be_seen_neither_teach_nor_are_taught() -> None:
    rows = small_rows()
    seen = rows.fold == 0
    before = with_distilled_rows(rows, seen, seed=0)
    rows.targets[~seen, SIGMA] = np.where(np.isnan(rows.targets[~seen, SIGMA]), np.nan, 99.0)
    after = with_distilled_rows(rows, seen, seed=0)
    taught = slice(len(rows), None)
    np.testing.assert_array_equal(before.targets[taught], after.targets[taught])
    assert set(before.take(np.arange(len(rows), len(before))).fold) == {0}


def test_upper_bounds_do_not_teach() -> None:
    rows = small_rows()
    rows.censored[:5] = True
    more = with_distilled_rows(rows, np.ones(len(rows), bool), seed=0)
    assert more.targets[len(rows) :, SIGMA] == pytest.approx(-2.5)


def test_a_lesson_without_its_tables_is_left_out() -> None:
    rows = small_rows()
    alone = rows.take(rows.source == 1)
    assert len(with_distilled_rows(alone, np.ones(len(alone), bool), seed=0)) == len(alone)


def test_lessons_speak_the_vocabulary() -> None:
    for lesson in LESSONS:
        assert lesson.target in TARGET_NAMES
        assert lesson.phase in PHASES
        assert lesson.fidelity in FIDELITIES
