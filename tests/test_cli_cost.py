"""`softlyte cost` and the function behind it."""

import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from softlyte.cli.app import app
from softlyte.datasets.columns import COLUMNS, COST_COLUMNS, CURRENCY_COLUMNS
from softlyte.models.predictor import Predictor
from softlyte.screening.cost import RouteError
from softlyte.screening.costing import CostingError, load_costing
from softlyte.screening.exchange import CurrencyError
from softlyte.screening.inputs import InputError
from softlyte.screening.quotation import RECIPE_COLUMNS, QuotationError, quote

RUNNER = CliRunner()
LACO = "LiAlCl2.5O0.75"


def run(*words):
    return RUNNER.invoke(app, ["cost", *words])


def csv_of(result):
    assert result.exit_code == 0, result.stderr
    return pd.read_csv(io.StringIO(result.stdout), keep_default_na=False, na_values=[""])


def test_litre_and_area_follow_from_density_and_thickness():
    table = quote([LACO], costing=load_costing(thickness_um=30), density_g_cm3=2.0, phase="glass").table
    assert tuple(table.columns) == COST_COLUMNS
    (row,) = table.to_dict("records")
    assert row["cost_usd_l"] == pytest.approx(2.0 * row["cost_usd_kg"])
    # 30 um x 1 m2 = 0.03 L
    assert row["cost_usd_m2"] == pytest.approx(0.03 * row["cost_usd_l"])
    # A given density has no scatter: the interval is that of the prices.
    prices_alone = row["cost_usd_kg_upper"] / row["cost_usd_kg"]
    assert row["cost_usd_l_upper"] / row["cost_usd_l"] == pytest.approx(prices_alone)
    assert row["cost_low_usd_kg"] < row["cost_usd_kg"] < row["cost_high_usd_kg"]
    assert row["sulfide_usd_kg"] == pytest.approx(150.0)
    assert row["p_below_sulfide_price"] > 0.99
    assert row["dearest_precursor"] == "Li2O"
    assert row["precursor_route"] == "0.5 Li2O + 0.8333 AlCl3 + 0.0833 Al2O3"
    assert row["batch_recipe"] == "1.1104 g Li2O + 8.2581 g AlCl3 + 0.6315 g Al2O3"
    assert row["flags"] == "cost: estimated price of Li2O, AlCl3"


def test_a_predicted_density_widens_the_cost_per_litre(tiny_weights: Path):
    table = quote([LACO], predictor=Predictor.load(tiny_weights, "cpu")).table
    assert table["phase"].tolist() == ["crystal", "glass"]
    per_kg = table["cost_usd_kg_upper"] / table["cost_usd_kg"]
    per_litre = table["cost_usd_l_upper"] / table["cost_usd_l"]
    density = table["density_g_cm3_upper"] / table["density_g_cm3"]
    assert (per_litre > per_kg).all()
    assert np.log(per_litre).tolist() == pytest.approx(np.hypot(np.log(per_kg), np.log(density)).tolist())


def test_the_recipe_rows_say_where_each_price_is_from():
    quotations = quote(
        ["Li1.75ZrCl4.75O0.5"], costing=load_costing(route="hydrate"), density_g_cm3=2.6, batch_g=20
    )
    recipe = quotations.recipes
    assert tuple(recipe.columns) == RECIPE_COLUMNS
    assert recipe["precursor"].tolist() == ["LiCl", "ZrCl4", "ZrOCl2(H2O)8"]
    assert recipe["cost_share"].sum() == pytest.approx(1.0)
    assert recipe["grams"].sum() == pytest.approx(20 + 2 * 2.5757, abs=1e-3)
    assert (recipe["source_title"] != "").all()
    assert recipe["basis"].tolist() == ["estimated", "estimated", "cited"]
    assert quotations.table["byproducts"].tolist() == ["5.1514 g H2O"] * 2
    assert quotations.routes["Li1.75ZrCl4.75O0.5"].byproducts == pytest.approx({"H2O": 4.0})


def test_another_currency_adds_columns_at_the_average_of_the_year():
    table = quote([LACO], density_g_cm3=2.0, costing=load_costing(date="2021", currency="eur")).table
    assert tuple(table.columns) == (*COST_COLUMNS, *CURRENCY_COLUMNS)
    # ECB, 2021: 0.8458 EUR per USD.
    ratio = table["cost_currency_kg"] / table["cost_usd_kg"]
    assert ratio.tolist() == pytest.approx([0.8458] * 2, abs=1e-3)
    assert table["currency"].tolist() == ["EUR", "EUR"]


def test_what_cannot_be_priced_says_why_and_keeps_its_row():
    table = quote(["CsLiCl2", "LiTmCl4"], density_g_cm3=3.0, phase="crystal").table
    assert table["cost_usd_kg"].isna().all()
    assert table["batch_recipe"].tolist() == ["", ""]
    assert "only laboratory lots are quoted" in table["flags"][0]
    assert table["flags"][1].startswith("no cost: no cited price for a precursor of Tm")


def test_an_inferred_price_is_flagged_for_its_own_electrolyte():
    row = {"formula": "ZrCl4", "price_per_kg": 9, "basis": "inferred", "inferred_from": "Li2ZrCl6"}
    costing = load_costing(pd.DataFrame([row]))
    table = quote(["Li2ZrCl6", "LiZrCl5"], costing=costing, density_g_cm3=2.6, phase="crystal").table
    assert "inferred price of ZrCl4" in table["flags"][0]
    assert "no check of it" in table["flags"][0]
    assert "no check of it" not in table["flags"][1]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"density_g_cm3": 0.0}, QuotationError, "the density is 0; give a number above 0"),
        ({"density_g_cm3": 2.0, "batch_g": float("inf")}, QuotationError, "the batch is inf"),
        (
            {"density_g_cm3": 2.0, "reference_year": 2040},
            QuotationError,
            "the reference year is 2040; the price of sulfides is known from 2023 to 2030",
        ),
    ],
)
def test_bad_options_are_named(options, error, message):
    with pytest.raises(error, match=message):
        quote([LACO], **options)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"thickness_um": -1}, CostingError, "the thickness is -1; give micrometres above 0"),
        ({"thickness_um": float("nan")}, CostingError, "the thickness is nan"),
        ({"price_level": "middle"}, CostingError, "no price level 'middle'; choose low, central, high"),
        ({"route": "wet"}, RouteError, "no route 'wet'"),
        ({"currency": "XXX"}, CurrencyError, "no exchange rate for 'XXX'"),
    ],
)
def test_bad_choices_of_a_costing_are_named(options, error, message):
    with pytest.raises(error, match=message):
        load_costing(**options)


def test_a_formula_that_cannot_be_used_is_named():
    with pytest.raises(InputError, match="formula 2, 'AlCl3'"):
        quote([LACO, "AlCl3"], density_g_cm3=2.0)


def test_the_table_on_the_screen():
    result = run(LACO, "--density", "2", "--phase", "glass", "--route", "hydrate")
    assert result.exit_code == 0, result.stderr
    text = " ".join(result.stdout.split())
    assert "LiAlCl2.5O0.75 (precursors only; [90% interval])" in text
    assert "Recipe for 10 g: LiOH(H2O) + AlCl3 - 1.25 H2O - 0.5 HCl" in text
    assert "Leaves the batch:" in text
    assert "Sulfide electrolyte price, 2030" in text
    assert max(len(line) for line in result.stdout.splitlines() if "recipes" not in line) <= 100
    for name in ("cost_usd_kg", "cost_usd_l", "hhi_production", "dearest_precursor"):
        assert COLUMNS[name].label in text


def test_csv_json_and_files(tmp_path):
    table = csv_of(run(LACO, "Li2ZrCl6", "--density", "2", "--format", "csv"))
    assert tuple(table.columns) == COST_COLUMNS
    assert table["formula"].tolist() == [LACO] * 2 + ["Li2ZrCl6"] * 2
    rows = json.loads(run(LACO, "--density", "2", "--phase", "glass", "--format", "json").stdout)
    assert rows[0]["dearest_precursor"] == "Li2O"
    out = tmp_path / "cost.csv"
    result = run(LACO, "nonsense", "--density", "2", "--out", str(out))
    assert result.exit_code == 2
    assert out.is_file()
    assert "nonsense" in (tmp_path / "rejected.csv").read_text()


def test_a_cost_file_is_written_over_only_when_asked(tmp_path):
    words = (LACO, "--density", "2", "--out", str(tmp_path / "cost.csv"))
    assert run(*words).exit_code == 0
    again = run(*words)
    assert again.exit_code == 2
    assert "--overwrite" in again.stderr
    assert run(*words, "--overwrite", "--phase", "Glass").exit_code == 0
    assert pd.read_csv(tmp_path / "cost.csv")["phase"].tolist() == ["glass"]


def test_a_price_level_is_the_column_of_that_level():
    words = (LACO, "--density", "2", "--phase", "glass", "--format", "csv")
    central = csv_of(run(*words)).iloc[0]
    for level in ("low", "high"):
        row = csv_of(run(*words, "--price-level", level)).iloc[0]
        assert row["cost_usd_kg"] == central[f"cost_{level}_usd_kg"]
        # A scenario has no scatter of its own.
        assert row["cost_usd_kg_lower"] == row["cost_usd_kg"] == row["cost_usd_kg_upper"]
        assert row["cost_low_usd_kg"] == central["cost_low_usd_kg"]
    assert run(*words, "--price-level", "middle").exit_code == 2


def test_a_file_of_formulas_keeps_its_phases_and_refuses_single_rows(tmp_path):
    mine = tmp_path / "mine.csv"
    mine.write_text(f"formula,phase\n{LACO},glass\nAlCl3,\nLi2ZrCl6,crystal\n")
    result = run("--file", str(mine), "--density", "2", "--format", "csv")
    assert result.exit_code == 2
    assert "mine.csv, row 3" in result.stderr
    table = pd.read_csv(io.StringIO(result.stdout))
    assert table["phase"].tolist() == ["glass", "crystal"]


def test_a_file_without_a_usable_row_gives_an_empty_table(tmp_path):
    mine = tmp_path / "mine.csv"
    mine.write_text("formula\nAlCl3\n")
    result = run("--file", str(mine), "--format", "csv")
    assert result.exit_code == 2
    assert result.stdout.strip() == ",".join(COST_COLUMNS)


def test_own_prices_date_and_exclusions_from_the_command_line(tmp_path):
    own = tmp_path / "own.csv"
    own.write_text("formula,price_per_kg,currency\nZrCl4,30,CNY\n")
    words = ("Li2ZrCl6", "--density", "2.6", "--phase", "crystal", "--format", "csv")
    shipped = csv_of(run(*words))["cost_usd_kg"][0]
    assert csv_of(run(*words, "--prices", str(own)))["cost_usd_kg"][0] < shipped
    assert csv_of(run(*words, "--date", "2022"))["cost_usd_kg"][0] > 2 * shipped
    assert csv_of(run(*words, "--currency", "CNY"))["currency"][0] == "CNY"
    barred = csv_of(run(*words, "--without", "ZrCl4"))
    assert barred["cost_usd_kg"].isna().all()
    assert "no cited price for Zr with Cl" in barred["flags"][0]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "give formulas or --file"),
        ((LACO, "--prices", "none.csv"), "there is no price file none.csv"),
        ((LACO, "--date", "soon"), "the date 'soon' is not understood"),
        ((LACO, "--without", "Xx"), "Xx"),
        ((LACO, "--density", "-2"), "the density is -2"),
    ],
)
def test_mistakes_end_in_a_sentence(words, message):
    result = run(*words)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())
