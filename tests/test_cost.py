"""Precursor prices, routes and cost: hand-worked numbers, exactness, conservation, published values."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Composition, Element
from scipy.optimize import linprog

from softlyte.datasets.formulas import Compositions
from softlyte.datasets.tables import load_table, table_path
from softlyte.datasets.writing import content_of, csv_text
from softlyte.screening import price_model
from softlyte.screening.commodities import central_price, price_rows
from softlyte.screening.cost import precursor_cost
from softlyte.screening.price_conversion import fit_conversion, reduction_cost
from softlyte.screening.prices import PriceError, PriceTable, default_prices
from softlyte.screening.recipes import precursor_route, precursor_routes
from softlyte.screening.transport import cheapest_flows
from softlyte.screening.valences import NO_ANION, UNBALANCED

LACO, NACO = "LiAlCl2.5O0.75", "NaAlCl2.5O0.75"
LZAOC = "Li2.8Zr0.75Al0.25Cl3.75O1.4"


def cost(*formulas, prices=None):
    return precursor_cost(Compositions.from_formulas(formulas), prices)


def route(*formulas, prices=None):
    return precursor_route(Compositions.from_formulas(formulas), prices)


def price_frame(prices):
    """Price rows for binary formulas, with a factor of 2 from central to low and high."""
    charges = {"O": 2, "S": 2}
    rows = []
    for formula, usd in prices.items():
        cation, anion = (e.symbol for e in Composition(formula).elements)
        if cation in ("O", "Cl", "F", "Br", "S"):
            cation, anion = anion, cation
        counts = Composition(formula)
        valence = round(counts[anion] * charges.get(anion, 1) / counts[cation])
        rows.append((formula, cation, valence, anion, usd, usd / 2, usd * 2, "cited"))
    names = ["formula", "cation", "valence", "anion", "price_usd_kg", "low_usd_kg", "high_usd_kg", "basis"]
    return pd.DataFrame(rows, columns=names)


SMALL = {"Li2O": 35.0, "LiCl": 13.0, "AlCl3": 2.0, "Al2O3": 1.0, "ZrCl4": 11.0, "ZrO2": 0.01}


def test_cost_of_a_glass_by_hand():
    # 0.5 Li2O (14.940 g) at 35, 5/6 AlCl3 (111.12 g) at 2, 1/12 Al2O3 (8.497 g) at 1 make 134.55 g.
    prices = PriceTable.from_frame(price_frame(SMALL))
    expected = (14.940 * 35 + 111.12 * 2 + 8.497 * 1) / 134.55
    assert cost(LACO, prices=prices).usd_kg == pytest.approx([expected], rel=1e-3)


def test_a_lognormal_stands_for_sampled_prices():
    # LACO with each cation's prices drawn together: sampled median and ends of the 90% interval.
    rng = np.random.default_rng(1)
    table = load_table("precursors").set_index("formula")
    grams = {"Li2O": 14.940, "AlCl3": 111.12, "Al2O3": 8.497}
    spread = np.log(table["high_usd_kg"] / table["low_usd_kg"]) / (2 * 1.6449)
    lithium, aluminium = rng.normal(size=(2, 40_000))
    drawn = sum(
        mass / 134.55 * table.loc[name, "price_usd_kg"] * np.exp(spread[name] * shock)
        for (name, mass), shock in zip(grams.items(), (lithium, aluminium, aluminium), strict=True)
    )
    result = cost(LACO)
    low, high = result.interval()
    sampled = np.quantile(drawn, [0.05, 0.5, 0.95])
    assert result.usd_kg[0] == pytest.approx(sampled[1], rel=0.05)
    assert high[0] == pytest.approx(sampled[2], rel=0.10)
    assert low[0] == pytest.approx(sampled[0], rel=0.15)


def test_spread_adds_cations_independently():
    prices = PriceTable.from_frame(price_frame(SMALL))
    lithium, aluminium = 14.940 * 35, 111.12 * 2 + 8.497
    each = np.log(4) / (2 * 1.6449)
    expected = each * np.hypot(lithium, aluminium) / (lithium + aluminium)
    result = cost(LACO, prices=prices)
    assert result.log_sd == pytest.approx([expected], rel=1e-3)
    assert 10**result.log10_sd == pytest.approx(np.exp(result.log_sd))
    low, high = result.interval(0.9)
    assert np.log(high / low) == pytest.approx(2 * 1.6449 * result.log_sd, rel=1e-3)


def test_oxygen_goes_into_the_alkali_oxide_first_and_then_into_the_framework():
    assert route(LACO) == ["0.5 Li2O + 0.8333 AlCl3 + 0.0833 Al2O3"]
    # ZrO2 is cheaper than ZrCl4 by far, yet all oxygen fits into Li2O.
    prices = PriceTable.from_frame(price_frame(SMALL))
    assert route(LZAOC, prices=prices) == ["1.4 Li2O + 0.75 ZrCl4 + 0.25 AlCl3"]
    assert route("Li2ZrOCl4", prices=prices) == ["Li2O + ZrCl4"]
    assert route("LiZrCl3O", prices=prices) == ["0.5 Li2O + 0.75 ZrCl4 + 0.25 ZrO2"]


def test_the_cheapest_assignment_is_taken_elsewhere():
    prices = PriceTable.from_frame(price_frame(SMALL | {"LiBr": 1.0, "AlBr3": 100.0}))
    assert route("LiAlCl3Br", prices=prices) == ["LiBr + AlCl3"]
    prices = PriceTable.from_frame(price_frame(SMALL | {"LiBr": 900.0, "AlBr3": 1.0}))
    assert route("LiAlCl3Br", prices=prices) == ["LiCl + 0.6667 AlCl3 + 0.3333 AlBr3"]


def test_other_families_have_routes():
    found = route("Li6PS5Cl", "Li7La3Zr2O12", "Li10GeP2S12", "Li1.3Al0.3Ti1.7P3O12")
    assert found == [
        "2.5 Li2S + LiCl + 0.5 P2S5",
        "3.5 Li2O + 2 ZrO2 + 1.5 La2O3",
        "5 Li2S + GeS2 + P2S5",
        "0.65 Li2O + 1.7 TiO2 + 1.5 P2O5 + 0.15 Al2O3",
    ]


def test_valences_that_are_not_the_common_one():
    assert route("LiSnCl3", "LiFe2.5Cl8", "Li2FeCl4", "Li8FeSnCl12") == [
        "LiCl + SnCl2",
        "LiCl + 2 FeCl3 + 0.5 FeCl2",
        "2 LiCl + FeCl2",
        "8 LiCl + FeCl2 + SnCl2",
    ]


def test_what_cannot_be_priced_says_why():
    result = cost("LiBH4", "Li3N", "LiClO4", "Li", "LiTmCl4", "Li3YCl6", "NaFeI4")
    assert np.isnan(result.usd_kg).tolist() == [True, True, True, True, True, False, True]
    assert result.reason.tolist()[0] == "no cited price for a precursor of H"
    assert result.reason.tolist()[1:5] == [
        "no cited price for a precursor of N",
        UNBALANCED,
        NO_ANION,
        "no cited price for a precursor of Tm",
    ]
    assert result.reason.tolist()[5:] == ["", "no cited price for Fe with I"]
    routes = precursor_routes(Compositions.from_formulas(["LiBH4", "NaFeI4"]))
    assert [r.moles for r in routes] == [{}, {}]
    assert all(r.reason for r in routes)


def test_a_rounded_formula_is_priced():
    result = cost("Li2Sc0.6667Cl4", "Li2Sc0.66Cl4", "Li6Sc2Cl12")
    assert result.usd_kg[0] == pytest.approx(result.usd_kg[2], rel=1e-3)
    # What passes as charge balanced has a price.
    assert result.usd_kg[1] == pytest.approx(result.usd_kg[2], rel=0.02)


def test_estimated_precursors_are_named():
    (sodium,) = precursor_routes(Compositions.from_formulas(["NaLiCl2"]))
    assert sodium.estimated == ("LiCl",)
    assert sodium.moles == {"LiCl": 1.0, "NaCl": 1.0}


@pytest.mark.parametrize(
    ("formula", "usd_kg"),
    [(LACO, 6.85), (NACO, 1.95), ("Li1.75ZrCl4.75O0.5", 11.6)],
)
def test_published_cost_per_kilogram(formula, usd_kg):
    # Dai et al. 2023, doi 10.1038/s41560-023-01356-y; no price was inferred from an electrolyte's cost.
    assert cost(formula).usd_kg[0] == pytest.approx(usd_kg, rel=0.25)


@pytest.mark.parametrize(
    ("formula", "density", "usd_l"),
    # Densities of ideal mixtures of the crystals Li2O 2.013, LiCl 2.07, ZrCl4 2.80, AlCl3 2.48 g/cm3;
    # Li2ZrCl6 was published as 1.38 USD/m2 at 50 um (doi 10.1038/s41467-021-24697-2). The glass comes out a
    # third too cheap (docs/cost.md says why that may be); its source states neither prices nor density.
    [(LZAOC, 2.59, 43.70), ("Li2ZrCl6", 2.56, 1.38 / 0.05)],
)
def test_published_cost_per_litre_lies_in_the_interval(formula, density, usd_l):
    low, high = cost(formula).interval()
    assert low[0] * density < usd_l < high[0] * density
    assert cost(formula).usd_kg[0] * density == pytest.approx(usd_l, rel=0.35)


CATIONS = {"Li": 1, "Na": 1, "Mg": 2, "Al": 3, "Y": 3, "Zr": 4, "Ta": 5}


@st.composite
def balanced(draw):
    """A charge-balanced composition of one or two alkalis, up to three others and up to four anions."""
    cations = {draw(st.sampled_from(["Li", "Na"])): draw(st.integers(1, 6))}
    for symbol in draw(st.lists(st.sampled_from(list(CATIONS)), max_size=3, unique=True)):
        cations[symbol] = cations.get(symbol, 0) + draw(st.integers(1, 3))
    charge = sum(CATIONS[s] * n for s, n in cations.items())
    anions = draw(
        st.lists(st.sampled_from(["F", "Cl", "Br", "I", "O", "S"]), min_size=1, max_size=4, unique=True)
    )
    shares = np.array([draw(st.integers(1, 9)) for _ in anions], dtype=float)
    shares *= charge / shares.sum()
    return cations | {a: s / (2 if a in ("O", "S") else 1) for a, s in zip(anions, shares, strict=True)}


def as_compositions(amounts):
    return Compositions.from_table([Element(s).Z for s in amounts], np.array([list(amounts.values())]))


@settings(deadline=None, max_examples=150)
@given(balanced())
def test_a_route_conserves_every_element(amounts):
    (recipe,) = precursor_routes(as_compositions(amounts))
    total: dict[str, float] = {}
    for formula, moles in recipe.moles.items():
        for element, count in Composition(formula).items():
            total[element.symbol] = total.get(element.symbol, 0.0) + moles * count
    assert total.keys() == amounts.keys()
    for symbol, amount in amounts.items():
        assert total[symbol] == pytest.approx(amount, abs=1e-9)


@settings(deadline=None, max_examples=50)
@given(balanced(), st.floats(0.01, 100))
def test_cost_is_homogeneous_in_prices_and_free_of_the_formula_unit(amounts, factor):
    frame = load_table("precursors")
    scaled = frame.assign(**{c: frame[c] * factor for c in ("price_usd_kg", "low_usd_kg", "high_usd_kg")})
    base = precursor_cost(as_compositions(amounts))
    dear = precursor_cost(as_compositions(amounts), PriceTable.from_frame(scaled))
    twice = precursor_cost(as_compositions({s: 2 * n for s, n in amounts.items()}))
    assert dear.usd_kg == pytest.approx(base.usd_kg * factor)
    assert twice.usd_kg == pytest.approx(base.usd_kg)
    assert dear.log_sd == pytest.approx(base.log_sd)


@settings(deadline=None, max_examples=100)
@given(st.integers(1, 5), st.integers(1, 5), st.integers(0, 10**6))
def test_flows_cost_as_little_as_the_linear_programme(m, k, seed):
    rng = np.random.default_rng(seed)
    costs = rng.lognormal(size=(3, m, k))
    supply = rng.uniform(0.1, 5, (3, m))
    demand = rng.dirichlet(np.ones(k), 3) * supply.sum(axis=1, keepdims=True)
    flows = cheapest_flows(costs, supply, demand)
    assert flows.min() >= 0
    np.testing.assert_allclose(flows.sum(axis=2), supply, rtol=0, atol=1e-9)
    np.testing.assert_allclose(flows.sum(axis=1), demand, rtol=0, atol=1e-9)
    balance = np.concatenate([np.repeat(np.eye(m), k, axis=1), np.tile(np.eye(k), m)])
    for row in range(3):
        best = linprog(costs[row].ravel(), A_eq=balance[:-1], b_eq=np.r_[supply[row], demand[row]][:-1]).fun
        assert (flows[row] * costs[row]).sum() == pytest.approx(best, rel=1e-7)


def test_many_suppliers_go_through_the_solver_with_the_same_precision():
    rng = np.random.default_rng(3)
    costs, supply = rng.lognormal(size=(1, 6, 5)), rng.uniform(1, 2, (1, 6))
    demand = rng.dirichlet(np.ones(5), 1) * supply.sum()
    flows = cheapest_flows(costs, supply, demand)
    np.testing.assert_allclose(flows.sum(axis=2), supply, rtol=0, atol=1e-9)
    np.testing.assert_allclose(flows.sum(axis=1), demand, rtol=0, atol=1e-9)


def test_the_precursor_tables_are_what_the_model_makes():
    for name, built in (
        ("precursors", price_model.build_precursors()),
        ("precursors_hydrate", price_model.build_hydrates()),
    ):
        assert csv_text(built.frame, built.decimals).encode() == content_of(table_path(name))


def test_the_conversion_cost_beats_a_conversion_factor_on_the_same_pairs():
    fit = fit_conversion(price_rows())
    assert fit.cost_usd_kg == pytest.approx(0.78, abs=0.02)
    assert fit.log_sd < 0.2 < fit.factor_log_sd
    titanium = fit.pairs.set_index("product").loc["TiCl4"]
    # 1,935 yuan/t of 46% concentrate at 6.448 yuan/USD, 0.4211 kg TiO2 and 0.7476 kg Cl2 at 0.0356 USD.
    assert titanium["raw_usd_kg"] == pytest.approx(1.935 / 0.46 / 6.448 * 0.4211 + 0.7476 * 0.0356, rel=1e-3)


def test_an_estimate_by_hand():
    # AlCl3: 0.2024 kg Al at 2.866, 0.7976 kg Cl2 at the median of four regions (0.5035), conversion.
    row = load_table("precursors").set_index("formula").loc["AlCl3"]
    conversion = fit_conversion(price_rows()).cost_usd_kg
    assert row["price_usd_kg"] == pytest.approx(0.2024 * 2.866 + 0.7976 * 0.5035 + conversion, rel=1e-3)
    assert row["basis"] == "estimated"
    assert row["made_from"] == "Al + Cl2"


def test_a_chloride_under_its_metal_sponge_by_hand():
    # Titanium, China, 21 January 2021: sponge 64,000 and TiCl4 6,900 yuan/t at 6.448 yuan/USD, 47.867 g Ti in
    # 189.679 g TiCl4; zirconium sponge 25 USD/kg, 91.224 g Zr in 233.036 g ZrCl4.
    reduction = reduction_cost(price_rows())
    assert reduction == pytest.approx((64 - 6.9 * 189.679 / 47.867) / 6.448, rel=1e-3)
    table = load_table("precursors").set_index("formula")
    assert table.loc["ZrCl4", "price_usd_kg"] == pytest.approx((25 - reduction) * 91.224 / 233.036, rel=1e-3)
    # The bromide is made from the same zirconium, bromine and a conversion.
    conversion = fit_conversion(price_rows()).cost_usd_kg
    bromide = (0.091224 * (25 - reduction) + 0.319616 * 2.94) / 0.410840 + conversion
    assert table.loc["ZrBr4", "price_usd_kg"] == pytest.approx(bromide, rel=1e-3)


def test_a_quotation_far_from_the_date_follows_its_raw_materials():
    # LiOH.H2O: 9.9 in November 2024, when Li2CO3 was 9.4; 0.8804 kg Li2CO3 in a kilogram; 41.3 in 2023.
    hydroxide = price_model.build_hydrates(year=2023.5).frame.set_index("formula").loc["LiOH(H2O)"]
    carbonate = central_price(price_rows(), "Li2CO3", hydroxide["year"])
    expected = 9.9 + 0.8804 * (41.3 - carbonate)
    assert hydroxide["price_usd_kg"] == pytest.approx(expected, rel=1e-3)
    assert hydroxide["note"] == "quoted 2024-11, moved with its raw materials to 2023"
    near = price_model.build_hydrates(year=2024.5).frame.set_index("formula").loc["LiOH(H2O)"]
    assert (near["price_usd_kg"], near["note"]) == (9.9, "")


def test_prices_of_a_date_are_those_of_its_year():
    table = price_model.build_precursors(year=2022.5).frame.set_index("formula")
    # 0.8714 kg Li2CO3 at 71.1 and 0.8364 kg Cl2 at the median of four regions, for a kilogram of LiCl.
    conversion = fit_conversion(price_rows()).cost_usd_kg
    assert table.loc["LiCl", "price_usd_kg"] == pytest.approx(
        0.8714 * 71.1 + 0.8364 * 0.5035 + conversion, rel=1e-3
    )
    assert table.loc["NaCl", "year"] == 2022.5


def test_table_bases_and_order():
    frame = load_table("precursors").set_index("formula")
    assert set(frame["basis"]) == {"cited", "estimated"}
    assert (frame["low_usd_kg"] < frame["price_usd_kg"]).all()
    assert (frame["price_usd_kg"] < frame["high_usd_kg"]).all()
    assert {"NaCl", "LiF", "Li2S", "TiCl4", "Y2O3"} <= set(frame.index[frame["basis"] == "cited"])
    assert frame.loc["LiCl", "basis"] == "estimated"  # its only cited price is from laboratory catalogues
    assert len(frame) == len(set(frame.index)) > 300
    assert (frame["source_title"] != "").all()
    assert frame.loc[["Li2O", "NaCl", "ScCl3"], "grade"].ne("").all()
    assert {"RbCl", "Rb2O"} <= set(frame.index)
    assert not {"CsCl", "TmCl3"} & set(frame.index)  # laboratory lots, and nothing


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"low_usd_kg": 40.0}, "low <= price <= high"),
        ({"price_usd_kg": -1.0}, "all above 0"),
        ({"valence": 9}, "valences are 1 to 6"),
    ],
)
def test_a_bad_price_row_is_named(change, message):
    frame = price_frame({"Li2O": 35.0}).assign(**change)
    with pytest.raises(PriceError, match=f"Li2O.*{message}"):
        PriceTable.from_frame(frame)


def test_a_hundred_thousand_compositions_are_quick_and_agree_with_single_rows():
    rng = np.random.default_rng(0)
    lithium, aluminium = rng.integers(1, 5, 100_000), rng.integers(1, 5, 100_000)
    oxygen = rng.integers(0, 3, 100_000) / 4
    chlorine = lithium + 3 * aluminium - 2 * oxygen
    many = Compositions.from_table([3, 13, 17, 8], np.stack([lithium, aluminium, chlorine, oxygen], axis=1))
    result = precursor_cost(many)
    assert not np.isnan(result.usd_kg).any()
    few = many[:50]
    assert precursor_cost(few).usd_kg == pytest.approx(result.usd_kg[:50], rel=1e-12)
    assert default_prices() is default_prices()
