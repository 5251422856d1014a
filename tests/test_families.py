import numpy as np
import pytest

from softlyte.datasets.formulas import Compositions
from softlyte.screening.families import FAMILIES, NO_MOBILE_ION, classify_family, mobile_ion_of

NAMED = {
    "LiAlF4": "fluoride",
    "LiPF6": "fluoride",
    "Li3YCl6": "chloride",
    "Li2.25Zr0.75Fe0.25Cl6": "chloride",
    "Li3YBr6": "bromide",
    "LiGaI4": "iodide",
    "Li3YBr3Cl3": "mixed-halide",
    "Li2GaF3Cl2": "mixed-halide",
    "LiAlCl2.5O0.75": "oxychloride",
    "LiNbOCl4": "oxychloride",
    "Li4B7O12Cl": "oxychloride",
    "LiMgOCl": "oxychloride",
    "NaTaOBr4": "oxybromide",
    "NaAlOI2": "oxyiodide",
    "LiTiOF3": "oxyfluoride",
    "Li2ZrOCl3F": "oxy-mixed-halide",
    "LiZrSO4Cl3": "oxychloride",
    "Li3OCl": "antiperovskite",
    "Li2OHCl": "antiperovskite",
    "Li2.99Ba0.005OCl": "antiperovskite",
    "Li3OCl0.5Br0.5": "antiperovskite",
    "Li7La3Zr2O12": "oxide",
    "Li1.3Al0.3Ti1.7P3O12": "phosphate",
    "LiBO2": "borate",
    "Li2SO4": "sulfate",
    "Li3PS4": "sulfide",
    "Li10GeP2S12": "sulfide",
    "Li3PS3O": "oxysulfide",
    "Li6PS5Cl": "halosulfide",
    "Li6PS4.75O0.25Cl": "halosulfide",
    "Li3N": "nitride",
    "Li9N2Cl3": "nitride-halide",
    "LiBH4": "hydroborate",
    "Li4B3H12I": "hydroborate",
    "LiCB11H12": "hydroborate",
    "LiClO4": "other",
    "NaIO3": "other",
    "Li2CO3": "other",
    "Li6PSe5Cl": "other",
    "LiAl": "other",
    "LiNH2": "other",
    "NH4Cl": "other",
}


@pytest.mark.parametrize(("formula", "family"), NAMED.items())
def test_family_is_the_name_a_materials_scientist_uses(formula, family):
    code = classify_family(Compositions.from_formulas([formula]))[0]
    assert FAMILIES[code] == family


def test_many_rows_give_the_same_as_one_row_at_a_time():
    rows = Compositions.from_formulas(NAMED)
    together = classify_family(rows)
    alone = [classify_family(rows[i : i + 1])[0] for i in range(len(rows))]
    assert together.dtype == np.uint8
    assert together.tolist() == alone
    assert len(set(together.tolist())) == len(FAMILIES), "a family has no example"


def test_mobile_ion_is_the_more_abundant():
    rows = Compositions.from_formulas(["Li3YCl6", "NaAlCl4", "Li2NaYCl6", "LiNa2YCl6", "LiNaZrCl6", "AlCl3"])
    assert mobile_ion_of(rows).tolist() == [0, 1, 0, 1, 0, NO_MOBILE_ION]


def test_no_rows():
    none = Compositions.from_formulas([])
    assert classify_family(none).shape == mobile_ion_of(none).shape == (0,)
