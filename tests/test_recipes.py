"""Recipes by both routes: hand-worked numbers, conservation, optimality, alternatives, supply risk."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Composition
from scipy.optimize import linprog

from softlyte.datasets.formulas import Compositions
from softlyte.datasets.tables import load_table
from softlyte.screening.cost import RouteError, precursor_cost
from softlyte.screening.linear_programme import cheapest_amounts
from softlyte.screening.prices import PriceTable, default_prices
from softlyte.screening.recipes import Route, alternative_routes, precursor_route, precursor_routes
from softlyte.screening.supply_risk import supply_risk

LACO, LZCO = "LiAlCl2.5O0.75", "Li1.75ZrCl4.75O0.5"


def some(*formulas):
    return Compositions.from_formulas(formulas)


def table(binary, hydrates=(), scale=1.0):
    """Prices in USD/kg for (formula, cation, valence, anion) and (formula, cation), a factor 2 each way."""
    rows = [(*parts, usd * scale, usd * scale / 2, usd * scale * 2, "cited") for parts, usd in binary.items()]
    wet = [(*parts, usd * scale, usd * scale / 2, usd * scale * 2, "cited") for parts, usd in hydrates]
    ends = ["price_usd_kg", "low_usd_kg", "high_usd_kg", "basis"]
    return PriceTable.from_frame(
        pd.DataFrame(rows, columns=["formula", "cation", "valence", "anion", *ends]),
        pd.DataFrame(wet, columns=["formula", "cation", *ends]) if wet else None,
    )


SMALL = {
    ("Li2O", "Li", 1, "O"): 35.0,
    ("LiCl", "Li", 1, "Cl"): 13.0,
    ("ZrCl4", "Zr", 4, "Cl"): 8.0,
    ("ZrO2", "Zr", 4, "O"): 1.0,
}
WET = ((("ZrOCl2(H2O)8", "Zr"), 2.0), (("Li2CO3", "Li"), 14.0))


def test_the_hydrate_route_by_hand():
    # 1.75 LiCl (74.183 g) at 13, 0.5 ZrCl4 (116.518 g) at 8, 0.5 ZrOCl2.8H2O (161.125 g) at 2 make 279.80 g.
    prices = table(SMALL, WET)
    (route,) = precursor_routes(some(LZCO), prices, "hydrate")
    assert str(route) == "1.75 LiCl + 0.5 ZrCl4 + 0.5 ZrOCl2(H2O)8 - 4 H2O"
    expected = (74.183 * 13 + 116.518 * 8 + 161.125 * 2) / 279.80
    assert route.usd_kg == pytest.approx(expected, rel=1e-3)
    result = precursor_cost(some(LZCO), prices, "hydrate")
    assert result.usd_kg == pytest.approx([expected], rel=1e-3)
    # Both zirconium precursors move together, lithium on its own.
    each = np.log(4) / (2 * 1.6449)
    spread = each * np.hypot(74.183 * 13, 116.518 * 8 + 161.125 * 2) / (expected * 279.80)
    assert result.log_sd == pytest.approx([spread], rel=1e-3)


def test_the_masses_of_a_batch_by_hand():
    (route,) = precursor_routes(some(LZCO), table(SMALL, WET), "hydrate")
    batch, gone = route.batch(10.0), route.leaving(10.0)
    assert batch == pytest.approx({"LiCl": 2.6513, "ZrCl4": 4.1643, "ZrOCl2(H2O)8": 5.7586}, rel=1e-3)
    assert gone == pytest.approx({"H2O": 2.5754}, rel=1e-3)  # 4 x 18.015 g of 279.80 g
    assert sum(batch.values()) - sum(gone.values()) == pytest.approx(10.0, abs=1e-9)
    assert sum(route.batch(250.0).values()) == pytest.approx(25 * sum(batch.values()))
    name, share = route.dearest
    assert name == "LiCl"
    assert share == pytest.approx(74.183 * 13 / (74.183 * 13 + 116.518 * 8 + 161.125 * 2), rel=1e-3)


def test_carbon_dioxide_and_hydrogen_chloride_leave():
    prices = table({k: v for k, v in SMALL.items() if k[0] != "ZrO2"}, WET[1:])
    assert precursor_route(some("Li2ZrOCl4"), prices, "hydrate") == ["Li2CO3 + ZrCl4 - CO2"]
    cheap_hydroxide = table(SMALL, ((("LiOH(H2O)", "Li"), 0.1),))
    # The chloride that has no place leaves with the hydrogen of the hydroxide.
    (route,) = precursor_routes(some("LiZrCl3O"), cheap_hydroxide, "hydrate")
    assert str(route) == "LiOH(H2O) + ZrCl4 - H2O - HCl"


def test_a_hydrate_whose_oxygen_has_no_place_is_not_used():
    prices = table(SMALL, ((("Li2CO3", "Li"), 0.01), (("LiClH2O", "Li"), 0.02)))
    assert precursor_route(some("Li2ZrCl6"), prices, "hydrate") == ["2 LiClH2O + ZrCl4 - 2 H2O"]
    assert precursor_route(some("Li2ZrCl6"), table(SMALL, WET), "hydrate") == ["2 LiCl + ZrCl4"]


def test_an_unknown_route_is_named():
    with pytest.raises(RouteError, match=r"no route 'wet'; choose one of mechanochemical, hydrate"):
        precursor_cost(some(LACO), synthesis="wet")


def test_what_has_no_recipe_says_why_by_both_routes():
    for synthesis in ("mechanochemical", "hydrate"):
        first, second = precursor_routes(some("LiTmCl4", "NaFeI4"), synthesis=synthesis)
        assert (first.reason, second.reason) == (
            "no cited price for a precursor of Tm",
            "no cited price for Fe with I",
        )
        assert np.isnan(first.usd_kg)
        assert first.dearest[0] == ""
        assert first.batch() == {}


COMPOSITIONS = (LACO, "Li2.8Zr0.75Al0.25Cl3.75O1.4", LZCO, "Li7P3S7.5O3.5", "NaRbZrCl4O", "LiTaOCl4")


@st.composite
def oxyhalide(draw):
    """A balanced composition of one or two alkalis, zirconium or others, oxygen and up to two halogens."""
    cations = {"Li": 1, "Na": 1, "Zr": 4, "Al": 3, "Fe": 3}
    names = draw(st.lists(st.sampled_from(list(cations)), min_size=1, max_size=3, unique=True))
    names = list(dict.fromkeys([draw(st.sampled_from(["Li", "Na"])), *names]))
    amounts = {name: draw(st.integers(1, 8)) / 4 for name in names}
    charge = sum(cations[name] * n for name, n in amounts.items())
    oxygen = charge * draw(st.floats(0.05, 0.95)) / 2
    anions = {"O": oxygen, draw(st.sampled_from(["Cl", "Br"])): charge - 2 * oxygen}
    return amounts | anions


def as_compositions(amounts):
    return Compositions.from_table(
        [Composition(s).elements[0].Z for s in amounts], np.array([list(amounts.values())])
    )


@settings(deadline=None, max_examples=80)
@given(oxyhalide())
def test_a_hydrate_recipe_conserves_every_element(amounts):
    (route,) = precursor_routes(as_compositions(amounts), synthesis="hydrate")
    total = dict.fromkeys([*amounts, "H", "C"], 0.0)
    for sign, side in ((1, route.moles), (-1, route.byproducts)):
        for formula, moles in side.items():
            for element, count in Composition(formula).items():
                total[element.symbol] += sign * moles * count
    for symbol, left in total.items():
        assert left == pytest.approx(amounts.get(symbol, 0.0), abs=1e-9)


@settings(deadline=None, max_examples=40)
@given(oxyhalide(), st.floats(0.01, 100))
def test_both_routes_are_homogeneous_in_prices_and_hydrates_never_cost_more(amounts, factor):
    composition = as_compositions(amounts)
    binary, wet = load_table("precursors"), load_table("precursors_hydrate")
    columns = ("price_usd_kg", "low_usd_kg", "high_usd_kg")
    scaled = PriceTable.from_frame(
        binary.assign(**{c: binary[c] * factor for c in columns}),
        wet.assign(**{c: wet[c] * factor for c in columns}),
    )
    dry = precursor_cost(composition).usd_kg
    hydrate = precursor_cost(composition, synthesis="hydrate").usd_kg
    assert precursor_cost(composition, scaled, "hydrate").usd_kg == pytest.approx(hydrate * factor)
    # With less oxygen through framework oxides the hydrate recipe may be dearer; without them never.
    (recipe,) = precursor_routes(composition)
    if not any(name.endswith(("O2", "O3", "O")) and name[:2] not in ("Li", "Na") for name in recipe.moles):
        assert hydrate[0] <= dry[0] * (1 + 1e-9)


@settings(deadline=None, max_examples=60)
@given(st.integers(2, 4), st.integers(0, 5), st.integers(0, 10**6))
def test_many_right_hand_sides_cost_as_little_as_each_alone(rows, more, seed):
    rng, columns = np.random.default_rng(seed), rows + more
    matrix = rng.integers(0, 4, (rows, columns)).astype(float)
    matrix[:, :rows] += np.eye(rows)
    costs = rng.lognormal(size=columns)
    wanted = np.concatenate([rng.uniform(0, 3, (6, columns)) @ matrix.T, -np.ones((1, rows))])
    amounts = cheapest_amounts(matrix, costs, wanted)
    assert np.isnan(amounts[-1]).all()  # nothing makes a negative amount
    np.testing.assert_allclose(amounts[:-1] @ matrix.T, wanted[:-1], atol=1e-9 * np.abs(wanted).sum())
    for row in range(6):
        best = linprog(costs, A_eq=matrix, b_eq=wanted[row]).fun
        assert amounts[row] @ costs == pytest.approx(best, rel=1e-6, abs=1e-9)


def test_a_right_hand_side_that_needs_another_column_gets_it():
    """What solves one right-hand side is not taken for another that it does not make, whatever the sizes."""
    matrix, costs = np.array([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]]), np.array([1.0, 1.0, 3.0])
    wanted = np.array([[1.0, 0.0], [1.0, 0.5], [0.0, 2.0], [0.25, 0.5]])
    expected = np.column_stack([wanted, np.zeros(4)])
    for size in (1e-9, 1e-3, 1.0, 1e6):
        amounts = cheapest_amounts(matrix, costs, wanted * size)
        np.testing.assert_allclose(amounts, expected * size, rtol=1e-9, atol=1e-11 * size)
    mixed = wanted * np.array([[1e6], [1e-6], [1.0], [1e-9]])
    found = cheapest_amounts(matrix, costs, mixed)
    np.testing.assert_allclose(found @ matrix.T, mixed, rtol=1e-9)
    # One that nothing makes, first, stops no other.
    first = cheapest_amounts(matrix, costs, np.concatenate([[[-1.0, 0.0]], wanted]))
    assert np.isnan(first[0]).all()
    np.testing.assert_allclose(first[1:], expected, atol=1e-12)
    # Together cheaper: one of the third column in place of one of each; what makes the first right-hand side
    # would have to be taken away from the second.
    for size in (1e-9, 1.0, 1e6):
        found = cheapest_amounts(matrix, np.array([2.0, 2.0, 3.0]), np.array([[1.0, 3.0], [3.0, 1.0]]) * size)
        np.testing.assert_allclose(
            found, np.array([[0.0, 2.0, 1.0], [2.0, 0.0, 1.0]]) * size, atol=1e-11 * size
        )


def test_rows_of_one_system_share_their_solution_and_agree_with_single_rows():
    rng = np.random.default_rng(2)
    lithium, zirconium, oxygen = rng.integers(1, 9, 300), rng.integers(1, 5, 300), rng.integers(0, 5, 300) / 4
    chlorine = lithium + 4 * zirconium - 2 * oxygen
    many = Compositions.from_table([3, 40, 8, 17], np.stack([lithium, zirconium, oxygen, chlorine], axis=1))
    together = precursor_cost(many, synthesis="hydrate").usd_kg
    alone = [precursor_cost(many[i : i + 1], synthesis="hydrate").usd_kg[0] for i in range(0, 300, 29)]
    assert together[::29] == pytest.approx(alone, rel=1e-9)


def test_alternatives_are_all_recipes_within_the_limit():
    prices = table(SMALL | {("LiBr", "Li", 1, "Br"): 5.0, ("ZrBr4", "Zr", 4, "Br"): 6.0})
    composition = some("Li2ZrCl4Br2")
    best, *others = sorted(
        [
            # Every way to place the halogens: Li2Br2 + ZrCl4, or LiCl with as much ZrBr4 as that asks for.
            (2 * 86.845 * 5.0 + 233.04 * 8.0, {"LiBr", "ZrCl4"}),
            (2 * 42.394 * 13.0 + 0.5 * 233.04 * 8.0 + 0.5 * 410.84 * 6.0, {"LiCl", "ZrCl4", "ZrBr4"}),
        ],
        key=lambda pair: pair[0],
    )
    (route,) = precursor_routes(composition, prices)
    assert (set(route.moles), sum(route.usd.values()) * 1000) == (best[1], pytest.approx(best[0], rel=1e-3))
    extra = others[0][0] / best[0] - 1
    found = alternative_routes(composition, prices, within=extra + 0.01)
    assert [set(other.moles) for other in found] == [others[0][1]]
    assert alternative_routes(composition, prices, within=extra - 0.01) == []


@pytest.mark.parametrize("formula", COMPOSITIONS)
@pytest.mark.parametrize("synthesis", ["mechanochemical", "hydrate"])
def test_alternatives_cost_more_but_not_too_much_and_make_the_same(formula, synthesis):
    composition = some(formula)
    (route,) = precursor_routes(composition, synthesis=synthesis)
    assert route.usd_kg == pytest.approx(precursor_cost(composition, synthesis=synthesis).usd_kg[0])
    for other in alternative_routes(composition, synthesis=synthesis):
        assert set(other.moles) != set(route.moles)
        assert other.usd_kg <= route.usd_kg * (1.2 + 1e-9)
        mass = sum(other.batch(1.0).values()) - sum(other.leaving(1.0).values())
        assert mass == pytest.approx(1.0, abs=1e-6)


def test_alternatives_are_of_one_composition():
    with pytest.raises(ValueError, match="of one composition, not of 2"):
        alternative_routes(some(LACO, LZCO))
    assert alternative_routes(some("LiTmCl4")) == []


def test_supply_risk_is_weighted_by_mass():
    # Gaultois et al. 2013: production 2900 for Li, 1500 for Cl; reserves 4200 and 1500.
    risk = supply_risk(some("LiCl"))
    lithium = 6.94 / 42.39
    assert risk.production == pytest.approx([2900 * lithium + 1500 * (1 - lithium)], rel=1e-3)
    assert risk.reserve == pytest.approx([4200 * lithium + 1500 * (1 - lithium)], rel=1e-3)
    assert np.isnan(supply_risk(some("LiBH4")).production).all()  # hydrogen has none


def test_a_route_without_a_recipe_is_empty():
    route = Route({}, "no price")
    assert str(route) == ""
    assert route.estimated == ()
    assert np.isnan(route.usd_kg)
    assert default_prices().hydrates[0].formula == "Li2CO3"
