"""Splits: nothing alike on two sides, the same side everywhere."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from softlyte.datasets.formulas import Compositions, chemical_systems
from softlyte.datasets.splits import (
    grouped_folds,
    matbench_folds,
    split_by_chemical_system,
    split_by_formula,
    split_by_group,
)
from softlyte.datasets.tables import load_table

ELEMENTS = st.sampled_from(["Li", "Na", "Al", "Zr", "Ta", "Y", "O", "F", "Cl", "Br"])
PARTS = st.dictionaries(ELEMENTS, st.integers(1, 24), min_size=1, max_size=5)
FORMULAS = st.lists(PARTS, min_size=1, max_size=60)


def written(parts: dict[str, int], factor: float = 1) -> str:
    return "".join(f"{element}{n * factor:g}" for element, n in parts.items())


@given(FORMULAS, st.integers(0, 5))
def test_a_chemical_system_is_on_one_side(rows: list[dict[str, int]], seed: int) -> None:
    formulas = [written(parts) for parts in rows]
    sides = split_by_chemical_system(formulas, seed=seed)
    seen: dict[frozenset[str], str] = {}
    for parts, side in zip(rows, sides, strict=True):
        assert seen.setdefault(frozenset(parts), side) == side


@given(FORMULAS, st.sampled_from([0.25, 0.5, 2, 3, 10]), st.integers(0, 5))
def test_scaling_a_formula_changes_nothing(rows: list[dict[str, int]], factor: float, seed: int) -> None:
    plain = [written(parts) for parts in rows]
    scaled = [written(parts, factor) for parts in rows]
    assert (split_by_formula(plain, seed=seed) == split_by_formula(scaled, seed=seed)).all()
    assert (split_by_chemical_system(plain, seed=seed) == split_by_chemical_system(scaled, seed=seed)).all()


@given(FORMULAS, st.randoms(use_true_random=False))
def test_side_depends_on_neither_order_nor_neighbours(rows: list[dict[str, int]], random) -> None:
    formulas = [written(parts) for parts in rows]
    together = dict(zip(formulas, split_by_chemical_system(formulas), strict=True))
    random.shuffle(formulas)
    some = formulas[: len(formulas) // 2 + 1]
    assert [together[f] for f in some] == list(split_by_chemical_system(some))


@given(st.lists(st.text(min_size=1, max_size=3), min_size=1, max_size=80), st.integers(2, 6))
def test_folds_share_no_group(groups: list[str], k: int) -> None:
    if len(set(groups)) < k:
        with pytest.raises(ValueError, match="at least"):
            grouped_folds(groups, k)
        return
    folds = grouped_folds(groups, k)
    assert set(folds) == set(range(k))
    for name in set(groups):
        assert len({f for f, g in zip(folds, groups, strict=True) if g == name}) == 1


@given(
    st.lists(st.text(min_size=1, max_size=4), min_size=1, max_size=40),
    st.sampled_from([(1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0), (0.5, 0.5, 0.0)]),
)
def test_an_empty_side_stays_empty(groups: list[str], fractions: tuple[float, float, float]) -> None:
    allowed = {s for s, f in zip(("train", "validation", "test"), fractions, strict=True) if f > 0}
    assert set(split_by_group(groups, fractions)) <= allowed


@pytest.mark.parametrize("fractions", [(0.8, 0.1), (0.8, 0.1, 0.2), (1.2, -0.1, -0.1)])
def test_wrong_fractions_are_refused(fractions: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="three numbers >= 0 that sum to 1"):
        split_by_group(["a"], fractions)


@settings(deadline=None, max_examples=1)
@given(st.just(0))
def test_sides_agree_between_tables_and_have_the_asked_size(seed: int) -> None:
    moduli = Compositions.from_formulas(load_table("elastic_moduli")["formula"])
    energies = Compositions.from_formulas(load_table("formation_energy")["formula"])
    by_system: dict[str, str] = {}
    for compositions in (moduli, energies):
        sides = split_by_chemical_system(compositions, seed=seed)
        for system, side in zip(chemical_systems(compositions), sides, strict=True):
            assert by_system.setdefault(system, side) == side
    shares = np.unique(list(by_system.values()), return_counts=True)[1] / len(by_system)
    assert shares == pytest.approx([0.1, 0.8, 0.1], abs=0.01)  # test, train, validation


def test_seeds_give_different_splits() -> None:
    formulas = load_table("conductivity_obelix")["formula"]
    assert (split_by_chemical_system(formulas, seed=0) != split_by_chemical_system(formulas, seed=1)).any()


def test_matbench_folds_are_the_official_ones() -> None:
    folds = matbench_folds(10_987)
    assert list(np.bincount(folds)) == [2198, 2198, 2197, 2197, 2197]
    from sklearn.model_selection import KFold

    expected = [test for _, test in KFold(5, shuffle=True, random_state=18012019).split(np.arange(10_987))]
    for number, rows in enumerate(expected):
        assert (np.flatnonzero(folds == number) == rows).all()
