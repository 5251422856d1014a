"""The scikit-learn face: scikit-learn's own checks, cross-validation, search, pretrained start, errors."""

import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score
from sklearn.utils.estimator_checks import (
    check_estimator,
    check_no_attributes_set_in_init,
    check_parameters_default_constructible,
)
from sklearn.utils.validation import validate_data

from softlyte.datasets.formulas import Compositions, FormulaError, chemical_systems
from softlyte.datasets.tables import load_table
from softlyte.models.estimator import CompositionRegressor, EstimatorError

QUICK: dict[str, Any] = {"width": 8, "layers": 1, "epochs": 1, "batch_size": 64}
CELLS = ("Li", "Na", "K", "Mg", "Al", "Y", "O", "S", "F", "Cl")


@pytest.fixture(scope="module")
def moduli() -> tuple[list[str], np.ndarray]:
    table = load_table("elastic_moduli", drop_flagged=True).iloc[::60]
    return table["formula"].tolist(), table["log10_bulk_modulus_gpa"].to_numpy(float)


class OnNumbers(CompositionRegressor):
    """The regressor behind a table of numbers, so that scikit-learn's checks can drive it.

    Column j of X becomes the amount of the element CELLS[j]; everything else is the regressor itself.
    """

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array, tags.input_tags.one_d_array = True, False
        tags.input_tags.string = False
        tags.regressor_tags.poor_score = True  # one epoch of a tiny network
        return tags

    def fit(self, X: Any, y: Any) -> "OnNumbers":
        X, y = validate_data(self, X, y, y_numeric=True, dtype=np.float64)
        features = self.n_features_in_
        super().fit(_as_formulas(X), y)
        self.n_features_in_ = features
        return self

    def predict(self, X: Any, return_std: bool = False) -> Any:
        if not hasattr(self, "states_"):
            return super().predict(["LiCl"])  # raises what an unfitted regressor raises
        X = validate_data(self, X, reset=False, dtype=np.float64)
        return super().predict(_as_formulas(X), return_std)


def _as_formulas(x: np.ndarray) -> list[str]:
    amounts = np.round(1.0 + 9.0 / (1.0 + np.exp(-np.clip(x, -30, 30))), 4)
    return ["".join(f"{CELLS[j % len(CELLS)]}{a:g}" for j, a in enumerate(row)) for row in amounts]


ABOUT_NUMBERS = {
    "check_complex_data",
    "check_dtype_object",
    "check_estimator_sparse_array",
    "check_estimator_sparse_matrix",
    "check_estimator_sparse_tag",
    "check_estimators_dtypes",
    "check_estimators_empty_data_messages",
    "check_estimators_nan_inf",
    "check_f_contiguous_array_estimator",
    "check_fit1d",
    "check_fit2d_1feature",
    "check_fit2d_predict1d",
    "check_n_features_in",
    "check_n_features_in_after_fitting",
    "check_readonly_memmap_input",
    "check_regressor_data_not_an_array",
}
"""Checks of how a matrix of numbers is handled: `OnNumbers` answers them, they say nothing of formulas."""


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
def test_scikit_learn_estimator_checks() -> None:
    results = check_estimator(OnNumbers(**QUICK), on_fail=None)
    assert not {r["check_name"]: r["exception"] for r in results if r["status"] == "failed"}
    passed = {r["check_name"] for r in results if r["status"] == "passed"} - ABOUT_NUMBERS
    # Those that drive the regressor itself.
    assert passed >= {
        "check_dict_unchanged",
        "check_do_not_raise_errors_in_init_or_set_params",
        "check_dont_overwrite_parameters",
        "check_estimator_cloneable",
        "check_estimators_fit_returns_self",
        "check_estimators_overwrite_params",
        "check_estimators_pickle",
        "check_estimators_unfitted",
        "check_fit2d_1sample",
        "check_fit_check_is_fitted",
        "check_fit_idempotent",
        "check_get_params_invariance",
        "check_methods_sample_order_invariance",
        "check_methods_subset_invariance",
        "check_no_attributes_set_in_init",
        "check_parameters_default_constructible",
        "check_pipeline_consistency",
        "check_regressors_int",
        "check_regressors_train",
        "check_set_params",
        "check_supervised_y_2d",
        "check_supervised_y_no_nan",
    }


def test_scikit_learn_is_told_that_x_holds_formulas() -> None:
    tags = CompositionRegressor().__sklearn_tags__().input_tags
    assert tags.string
    assert tags.one_d_array
    assert not tags.two_d_array
    for check in (check_parameters_default_constructible, check_no_attributes_set_in_init):
        check("CompositionRegressor", CompositionRegressor())


def test_learns_and_cross_validates(moduli: tuple[list[str], np.ndarray]) -> None:
    formulas, y = moduli
    groups = chemical_systems(Compositions.from_formulas(formulas))
    regressor = CompositionRegressor(width=16, layers=1, epochs=20, batch_size=32, learning_rate=1e-2)
    scores = cross_val_score(regressor, formulas, y, groups=groups, cv=GroupKFold(3))
    assert scores.mean() > 0.3
    mean, sd = regressor.fit(formulas, y).predict(formulas, return_std=True)
    assert regressor.score(formulas, y) > 0.6
    assert (mean == regressor.predict(formulas)).all()
    covered = np.abs(mean - y) < 1.645 * sd
    assert (sd > 0).all()
    assert covered.mean() > 0.7


def test_grid_search_and_ensemble(moduli: tuple[list[str], np.ndarray]) -> None:
    formulas, y = moduli[0][:60], moduli[1][:60]
    search = GridSearchCV(CompositionRegressor(**QUICK), {"epochs": [1, 3]}, cv=2).fit(formulas, y)
    assert search.best_params_["epochs"] in (1, 3)
    pair = CompositionRegressor(**QUICK, members=2).fit(formulas, y)
    assert len(pair.states_) == 2
    alone = CompositionRegressor(**QUICK).fit(formulas, y)
    assert not np.allclose(pair.predict(formulas), alone.predict(formulas))
    assert clone(pair).get_params() == pair.get_params()


def test_the_same_formulas_in_any_container(moduli: tuple[list[str], np.ndarray]) -> None:
    formulas, y = moduli[0][:40], moduli[1][:40]
    regressor = CompositionRegressor(**QUICK).fit(formulas, y)
    expected = regressor.predict(formulas)
    for given in (
        np.array(formulas),
        pd.Series(formulas),
        pd.DataFrame({"formula": formulas}),
        np.array(formulas, object)[:, None],
    ):
        assert (clone(regressor).fit(given, y).predict(given) == expected).all()
    assert (pickle.loads(pickle.dumps(regressor)).predict(formulas) == expected).all()  # noqa: S301


def test_pretrained_weights_know_their_heads(moduli: tuple[list[str], np.ndarray]) -> None:
    formulas, y = moduli[0][:60], moduli[1][:60]
    barely: dict[str, Any] = {"epochs": 1, "learning_rate": 1e-7, "pretrained": True}
    known = CompositionRegressor("bulk_modulus_gpa", **barely).fit(formulas, y)
    assert known.score(formulas, y) > 0.8  # the shipped weights have learned this table
    own = CompositionRegressor(**barely).fit(formulas, y)
    assert own.score(formulas, y) < 0.5  # a new head has learned nothing in a step
    assert own.network_ == known.network_


def test_glass_and_crystal_are_different_conditions(moduli: tuple[list[str], np.ndarray]) -> None:
    formulas, y = moduli[0][:40], moduli[1][:40]
    regressor = CompositionRegressor("bulk_modulus_gpa", pretrained=True, epochs=1, learning_rate=1e-7)
    crystal = regressor.fit(formulas, y).predict(formulas)
    glass = regressor.set_params(phase="glass").predict(formulas)
    assert np.abs(crystal - glass).mean() > 0.02


@pytest.mark.parametrize(
    ("change", "x", "y", "error", "message"),
    [
        ({"head": "colour"}, ["LiCl", "NaCl"], [1, 2], EstimatorError, "no head 'colour'; choose None or"),
        ({"phase": "gas"}, ["LiCl", "NaCl"], [1, 2], EstimatorError, "no phase 'gas'"),
        ({"epochs": 0}, ["LiCl", "NaCl"], [1, 2], EstimatorError, "epochs"),
        ({"width": 3}, ["LiCl", "NaCl"], [1, 2], EstimatorError, "width"),
        ({"members": 0}, ["LiCl", "NaCl"], [1, 2], EstimatorError, "members = 0"),
        ({}, "LiCl", [1], EstimatorError, "a list of formulas"),
        ({}, ["LiCl", 3.0], [1, 2], EstimatorError, "row 1 of X is 3.0"),
        ({}, [["LiCl", "NaCl"]], [1], EstimatorError, r"shape \(1, 2\)"),
        ({}, ["LiCl"], [1], EstimatorError, "n_samples = 1"),
        ({}, ["LiCl", "NaCl"], [1], EstimatorError, "2 formulas and y 1 values"),
        ({}, ["LiCl", "NaQz2"], [1, 2], FormulaError, "NaQz2"),
        ({}, ["LiCl", "NaCl"], [1, np.nan], ValueError, "NaN"),
    ],
)
def test_mistakes_are_named(
    change: dict[str, Any], x: Any, y: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        CompositionRegressor(**(QUICK | change)).fit(x, y)


def test_predict_before_fit() -> None:
    with pytest.raises(NotFittedError):
        CompositionRegressor().predict(["LiCl"])
