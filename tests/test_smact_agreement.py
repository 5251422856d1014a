"""The comparison with SMACT: its own arithmetic, and what it says without SMACT."""

import importlib.util
import sys

import numpy as np
import pytest

from benchmarks.smact_agreement import ask_smact, assign, whole_states
from softlyte.datasets.formulas import Compositions, symbols
from softlyte.featurize.charge import is_charge_balanced

FORMULAS = ["Li3YCl6", "Li2YCl6", "Li2ZrCl6", "LiFeCl4", "Li2FeCl4", "LiAlOCl2", "Li2SnCl6", "Li2SnCl5"]


@pytest.mark.parametrize("formula", FORMULAS)
def test_exact_assignment_agrees_with_the_charge_test_on_exact_formulas(formula):
    row = Compositions.from_formulas([formula])
    names = [symbols()[z] for z in row.atomic_numbers[0]]
    states = whole_states(names)
    found = assign(names, row.amounts[0], states, states)
    assert (found is not None) == is_charge_balanced(row)[0]
    if found is not None:
        assert sum(n * q for n, (_, q) in zip(row.amounts[0], found.states, strict=True)) == 0
        assert found.foreign == ()


def test_a_state_that_one_list_lacks_is_named():
    states = {"Li": (1,), "Zr": (2, 4), "Cl": (-1,)}
    found = assign(["Li", "Cl", "Zr"], np.array([2.0, 4.0, 1.0]), states, states | {"Zr": (4,)})
    assert found is not None
    assert found.foreign == (("Zr", 2),)
    assert assign(["Li", "Cl", "Zr"], np.array([2.0, 5.0, 1.0]), states, states) is None


def test_a_cation_above_the_anion_is_no_assignment():
    states = {"O": (2, -2), "Cl": (-1, 1)}
    found = assign(["O", "Cl"], np.array([1.0, 2.0]), states, states)
    assert found is not None
    assert dict(found.states) == {"O": -2, "Cl": 1}, "oxygen is the more electronegative"


@pytest.mark.skipif(importlib.util.find_spec("smact") is not None, reason="SMACT is installed here")
def test_without_smact_the_remedy_is_told():
    with pytest.raises(SystemExit, match=r"SMACT cannot be imported here.*pip install smact"):
        ask_smact(sys.executable, ["LiCl"], {"Li": (1,), "Cl": (-1,)})
