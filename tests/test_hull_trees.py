"""Trees that judge the hull: evaluation, storing, the features, and what they do to windows and stability."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from benchmarks.hull_trees_fit import as_trees
from softlyte.datasets.formulas import Compositions
from softlyte.featurize.hull_survey import survey
from softlyte.featurize.phase_diagram import HullStore
from softlyte.models.boosted_trees import BoostedTrees
from softlyte.models.predictions import PropertyPrediction
from softlyte.screening.hull_evidence import HULL_FEATURES, REACTION_ENERGY_SD, reaction_error_v
from softlyte.screening.hull_trees import HullTrees, shipped_trees
from softlyte.screening.stability import StabilityCalibration, stability

PLAIN = StabilityCalibration(0.0, 1.0, (0.0, 0.0))


def read(*formulas: str) -> Compositions:
    return Compositions.from_formulas(formulas)


@pytest.fixture(scope="module")
def store() -> HullStore:
    return HullStore.from_table()


@pytest.fixture(scope="module")
def table() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((600, 5))
    x[rng.random(x.shape) < 0.1] = np.nan
    return x, np.nan_to_num(x[:, 0]) ** 2 + np.nan_to_num(x[:, 1]) + np.isnan(x[:, 2])


def test_trees_are_those_of_scikit_learn(table: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = table
    regressor = HistGradientBoostingRegressor(max_iter=40, max_leaf_nodes=12).fit(x, y)
    np.testing.assert_allclose(as_trees(regressor)(x), regressor.predict(x), atol=1e-12)
    classifier = HistGradientBoostingClassifier(max_iter=40, max_depth=3).fit(x, y > 1)
    np.testing.assert_allclose(expit(as_trees(classifier)(x)), classifier.predict_proba(x)[:, 1], atol=1e-12)


def test_many_rows_are_worked_in_blocks(
    table: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    x, y = table
    trees = as_trees(HistGradientBoostingRegressor(max_iter=10).fit(x, y))
    whole = trees(x)
    monkeypatch.setattr("softlyte.models.boosted_trees._BLOCK", 70)
    np.testing.assert_array_equal(trees(x), whole)
    assert trees(x[:0]).shape == (0,)


def constant(value: float) -> BoostedTrees:
    none, zero = np.zeros((0, 1)), np.zeros((0, 1), dtype=np.int16)
    return BoostedTrees(zero, none, none.astype(bool), zero, zero, none, value, 0)


def test_storing(table: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = table
    trees = as_trees(HistGradientBoostingRegressor(max_iter=5).fit(x, y))
    stored = trees.tensors("a")
    np.testing.assert_array_equal(BoostedTrees.from_tensors("a", stored)(x), trees(x))
    with pytest.raises(ValueError, match="lack the array"):
        BoostedTrees.from_tensors("b", stored)
    with pytest.raises(ValueError, match="differ in shape"):
        BoostedTrees.from_tensors("a", stored | {"a.left": stored["a.left"][:, :-1]})
    with pytest.raises(ValueError, match="children that do not exist"):
        BoostedTrees.from_tensors("a", stored | {"a.left": stored["a.left"] + 1_000})
    judge = made()
    again = HullTrees.from_tensors(judge.tensors())
    assert again.width.tolist() == judge.width.tolist()
    assert (again.spread, again.near_ev_atom) == (judge.spread, 0.05)
    assert again.limits[0].constant == judge.limits[0].constant
    with pytest.raises(ValueError, match="'scale'"):
        HullTrees.from_tensors({k: v for k, v in judge.tensors().items() if k != "scale"})


def made(shift: tuple[float, float] = (0.2, -0.1), odds: float = 0.0) -> HullTrees:
    """Trees that say the same of every row: half widths of 0.3 V, a distance of 0.04 eV/atom."""
    wide = constant(float(np.log(0.3)))
    return HullTrees(
        (constant(shift[0]), constant(shift[1])),
        (wide, wide),
        np.array([[1.0] * 4, [0.5] * 4]),
        constant(odds),
        constant(float(np.log(0.04))),
        1.0,
        0.05,
    )


def energy(mean: np.ndarray, sd: float) -> PropertyPrediction:
    return PropertyPrediction(np.asarray(mean, float), np.full(np.shape(mean), sd))


def test_what_is_known_around_a_composition(store: HullStore) -> None:
    found = survey(store, read("Li3InCl6", "Li3YCl6", "Li6InCl9", "LiHeCl"))
    system = store.systems.system((3, 17, 49))
    names = [store.systems.formula(int(row)) for row in system.rows]
    own = [n for n in names if set(read(n).atomic_numbers[0]) - {0} == {3, 17, 49}]
    assert found.own[0] == len(own) > 0
    assert 0 < found.own_stable[0] <= found.own[0]
    assert found.nearest_own[0] == found.nearest[0] == 0
    # Li6InCl9: fractions 6/16, 1/16, 9/16; Li3InCl6: 3/10, 1/10, 6/10.
    assert found.nearest_own[2] <= (0.075 + 0.0375 + 0.0375) / 2 + 1e-9
    assert found.nearest[2] <= found.nearest_own[2]
    assert np.isnan(found.own[3])
    assert np.isnan(found.nearest[3])


def test_trees_judge_predicted_phases_alone(store: HullStore) -> None:
    names = read("Li3YCl6", "Li3YCl6", "Li3InCl6", "Li2ZrCl6")
    hull = store.hull_energy(names)
    given = energy([hull + 0.02, hull + 0.04], 0.05)
    said = energy([[1.0] * 4, [1.2] * 4], 0.1)
    silent = energy([[4.0] * 3 + [np.nan], [4.4] * 3 + [np.nan]], 0.1)
    before = stability(names, given, store, calibration=PLAIN)
    after = stability(names, given, store, calibration=PLAIN, heads=(said, silent), trees=made(odds=1.0))
    on_hull = store.window(names, ["Li"] * 4)
    for side, (limit, old) in enumerate(
        ((after.reduction_v, before.reduction_v), (after.oxidation_v, before.oxidation_v))
    ):
        assert limit.mean()[0] == limit.mean()[1]
        assert limit.mean()[0] == pytest.approx(on_hull[side][0] + (0.2, -0.1)[side])
        # A known phase and one of which a head says nothing keep the hull's word.
        np.testing.assert_array_equal(limit.member_mean[:, 2:], old.member_mean[:, 2:])
        np.testing.assert_array_equal(limit.member_sd[:, 2:], old.member_sd[:, 2:])
    half = after.reduction_v.interval()[1][0] - after.reduction_v.mean()[0]
    assert half == pytest.approx(0.3, rel=1e-6)
    # Members stand as the heads have them.
    assert after.oxidation_v.member_mean[1, 0] > after.oxidation_v.member_mean[0, 0]
    own = np.hypot(0.04, REACTION_ENERGY_SD)
    assert after.e_above_hull.sd()[0] == pytest.approx(own, rel=1e-6)
    without_error = 0.05 - after.e_above_hull.mean()[0]
    assert expit(1.0) == pytest.approx(normal_below(without_error / 0.04), rel=1e-6)
    np.testing.assert_array_equal(
        after.e_above_hull.member_mean[:, 2:], before.e_above_hull.member_mean[:, 2:]
    )


def normal_below(z: float) -> float:
    from scipy.special import ndtr

    return float(ndtr(z))


def test_limits_stay_in_order(store: HullStore) -> None:
    names = read("Li3YCl6")
    given, heads = energy([store.hull_energy(names)], 0.05), energy([[1.0]], 0.1)
    low = stability(names, given, store, None, PLAIN, heads=(heads, heads), trees=made((-9.0, 0.0)))
    assert low.reduction_v.mean()[0] == 0
    crossed = stability(names, given, store, None, PLAIN, heads=(heads, heads), trees=made((9.0, 0.0)))
    assert crossed.reduction_v.mean()[0] == pytest.approx(crossed.oxidation_v.mean()[0])


def test_error_of_reactions_is_bounded() -> None:
    np.testing.assert_allclose(reaction_error_v(np.array([np.nan, 2.0, 1e9])), [0.0, 0.048, 0.5])


def test_shipped_trees_serve_what_is_predicted(store: HullStore) -> None:
    trees = shipped_trees()
    assert all(part.feature.max() < len(HULL_FEATURES) for part in (*trees.limits, *trees.errors))
    names = read("Li3YCl6", "Li3HoCl6")
    hull = store.hull_energy(names)
    heads = energy([[0.6, 0.6]], 0.2), energy([[4.2, 4.2]], 0.2)
    good = stability(names, energy([hull - 0.01], 0.05), store, heads=heads)
    bad = stability(names, energy([hull + 0.3], 0.05), store, heads=heads)
    assert (good.p_within_50_mev() > bad.p_within_50_mev() + 0.1).all()
    # Published limits of these phases, which the hull of others gives within 0.1 V: not distrusted.
    np.testing.assert_allclose(good.reduction_v.mean(), [0.62, 0.64], atol=0.25)
    np.testing.assert_allclose(good.oxidation_v.mean(), [4.21, 4.25], atol=0.25)
