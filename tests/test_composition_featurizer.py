"""The composition featurizer: shapes, invariants, and the edge-list form."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from softlyte.datasets.formulas import Compositions, FormulaError, chemical_systems, normalise_formula
from softlyte.featurize.composition import CompositionFeaturizer, edge_index, to_torch_geometric
from softlyte.featurize.elements import element_descriptors

FORMULAS = ["LiCl", "Li3YCl6", "LiAlCl2.5O0.75", "Li7La3Zr2O12"]


def test_element_descriptors_are_standardised_and_finite() -> None:
    described = element_descriptors()
    assert described.values.shape == (104, described.dimension)
    assert np.isfinite(described.values).all()
    assert (described.values[0] == 0).all()
    electronegativity = described.values[:, described.names.index("X")]
    assert electronegativity[9] == electronegativity.max()  # fluorine
    assert electronegativity[3] < electronegativity[13] < electronegativity[17]  # Li < Al < Cl


def test_batch_has_the_documented_shapes() -> None:
    batch = CompositionFeaturizer()(
        Compositions.from_formulas(FORMULAS), phase=np.array([0, 0, 1, 0]), temperature_c=100.0
    )
    assert batch.element.shape == batch.fraction.shape == (4, 4)
    torch.testing.assert_close(batch.fraction.sum(dim=1), torch.ones(4))
    assert batch.phase.tolist() == [0, 0, 1, 0]
    torch.testing.assert_close(batch.inverse_temperature, torch.full((4,), 1000 / 373.15 - 1000 / 298.15))


@pytest.mark.parametrize(("key", "value"), [("phase", 2), ("fidelity", -1), ("temperature_c", -300.0)])
def test_conditions_out_of_range_are_refused(key: str, value: float) -> None:
    with pytest.raises(ValueError, match=r"phase|fidelity|absolute zero"):
        CompositionFeaturizer()(Compositions.from_formulas(["LiCl"]), **{key: value})


def test_edge_list_joins_all_elements_of_one_formula_and_none_of_another() -> None:
    batch = CompositionFeaturizer()(Compositions.from_formulas(FORMULAS))
    data = to_torch_geometric(batch)
    sizes = [2, 3, 4, 4]
    assert data.x.shape == (sum(sizes), element_descriptors().dimension)
    assert data.edge_index.shape == (2, sum(n * n for n in sizes))
    assert (data.batch[data.edge_index[0]] == data.batch[data.edge_index[1]]).all()
    assert data.ptr.tolist() == [0, 2, 5, 9, 13]
    _, node = edge_index(batch.element)
    assert batch.element.flatten()[node].tolist() == data.element.tolist()


@given(
    amounts=st.dictionaries(
        st.sampled_from(["Li", "Na", "Al", "Zr", "Cl", "O", "Br"]), st.integers(1, 12), min_size=1, max_size=5
    ),
    scale=st.integers(1, 7),
)
def test_formula_normal_form_ignores_scale_and_order(amounts: dict[str, int], scale: int) -> None:
    written = "".join(f"{e}{n}" for e, n in amounts.items())
    turned = "".join(f"{e}{n * scale}" for e, n in reversed(amounts.items()))
    assert normalise_formula(written) == normalise_formula(turned)
    both = Compositions.from_formulas([written, turned])
    assert both.keys()[0] == both.keys()[1]
    np.testing.assert_allclose(both.fractions()[0], both.fractions()[1])


@pytest.mark.parametrize("bad", ["", "  ", "Xx2", "Li(", "LiCl-", "Li0.00001Cl", "3", "Li3YCl6!", "Lee"])
def test_unreadable_formulas_say_which_and_how(bad: str) -> None:
    with pytest.raises(FormulaError, match="write it like"):
        Compositions.from_formulas(["LiCl", bad])


def test_fractional_subscripts_keep_four_decimals() -> None:
    assert normalise_formula("LiAlCl2.5O0.75") == "LiAlCl2.5O0.75"
    assert normalise_formula("Al2Li2Cl12O0") == "LiAlCl6"
    pair = Compositions.from_formulas(["LiAlCl2.5O0.75", "Li4Al4Cl10O3"])
    assert pair.keys()[0] == pair.keys()[1]
    assert chemical_systems(pair) == ["Al-Cl-Li-O"] * 2


def test_from_table_equals_parsing() -> None:
    parsed = Compositions.from_formulas(["Li3YCl6", "NaCl", "LiAlCl2.5O0.75"])
    wide = np.array([[6, 0, 3, 1, 0, 0], [1, 1, 0, 0, 0, 0], [2.5, 0, 1, 0, 1, 0.75]])
    built = Compositions.from_table([17, 11, 3, 39, 13, 8], wide)
    assert built.formulas() == parsed.formulas()
    assert (built.keys() == parsed.keys()).all()
