"""What costs are reckoned with, and that every verb reckons alike."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from softlyte.datasets.columns import CURRENCY_COLUMNS, PREDICT_COLUMNS
from softlyte.datasets.formulas import Compositions
from softlyte.models.predictions import PropertyPrediction
from softlyte.models.predictor import Predictor
from softlyte.screening.cost import CostResult, precursor_cost
from softlyte.screening.costing import default_costing, load_costing
from softlyte.screening.funnel import screen
from softlyte.screening.inputs import rows_from_formulas
from softlyte.screening.predict import predict, predict_rows
from softlyte.screening.quotation import quote

LZCO = "Li1.75ZrCl4.75O0.5"
OWN = pd.DataFrame([{"formula": "ZrCl4", "price_per_kg": 40.0}])


@pytest.fixture(scope="module")
def model(tiny_weights: Path) -> Predictor:
    return Predictor.load(tiny_weights, "cpu")


def test_litre_area_and_currency_by_hand():
    # 10 USD/kg at 2 g/cm3 is 20 USD/L; 25 um of a square metre are 0.025 L, so 0.5 USD/m2.
    costing = load_costing(date="2021", currency="eur", thickness_um=25)
    cost = CostResult(np.array([10.0]), np.array([0.0]), np.array([""], dtype=object))
    density = PropertyPrediction(np.array([[2.0]]), np.array([[0.1]]), "identity")
    columns = costing.columns(cost, density)
    assert [columns[n][0] for n in ("cost_usd_kg", "cost_usd_l", "cost_usd_m2")] == pytest.approx(
        [10, 20, 0.5]
    )
    assert columns["cost_usd_kg_lower"] == columns["cost_usd_kg_upper"] == pytest.approx([10.0])
    # A density of 2.0 +- 0.1 is a lognormal with 0.05; 1.645 of it each way.
    assert columns["cost_usd_m2_upper"][0] == pytest.approx(0.5 * np.exp(1.6449 * 0.05), rel=1e-4)
    shown = costing.currency_columns(columns)
    assert tuple(shown) == costing.currency_names == CURRENCY_COLUMNS
    # ECB, 2021: 0.8458 EUR per USD.
    assert shown["cost_currency_l"][0] == pytest.approx(20 * 0.8458, rel=1e-3)
    assert shown["currency"].tolist() == ["EUR"]
    assert default_costing().currency_columns(columns) == {}


def test_the_shipped_costing_is_the_shipped_cost():
    rows = Compositions.from_formulas([LZCO, "Li3YCl6", "LiTmCl4"])
    shipped, reckoned = precursor_cost(rows), default_costing().cost(rows)
    np.testing.assert_array_equal(reckoned.usd_kg, shipped.usd_kg)
    np.testing.assert_array_equal(reckoned.log_sd, shipped.log_sd)
    assert reckoned.reason.tolist() == shipped.reason.tolist()


def test_levels_enclose_the_central_price():
    rows = Compositions.from_formulas([LZCO])
    low, central, high = (load_costing(price_level=level).cost(rows) for level in ("low", "central", "high"))
    assert low.usd_kg < central.usd_kg < high.usd_kg
    assert low.log_sd == high.log_sd == 0
    assert central.log_sd > 0


def test_the_record_tells_choices_apart():
    records = [
        load_costing(**choice).record()
        for choice in (
            {},
            {"prices": OWN},
            {"prices": OWN.assign(price_per_kg=41.0)},
            {"date": "2023"},
            {"without": ["Li2O"]},
            {"route": "hydrate"},
            {"price_level": "low"},
            {"currency": "EUR"},
            {"thickness_um": 30.0},
        )
    ]
    assert all(a != b for i, a in enumerate(records) for b in records[:i])
    assert load_costing().record() == records[0] == default_costing().record()
    assert records[0]["prices"]["date"] == "2024"
    assert records[1]["prices"]["own"] == "own prices"
    assert records[4]["prices"]["without"] == ["Li2O"]


def test_predict_quote_and_screen_reckon_alike(model, tmp_path):
    costing = load_costing(OWN, route="hydrate", currency="CNY", thickness_um=20)
    table = predict([LZCO], phase="glass", predictor=model, costing=costing)
    assert tuple(table.columns) == (*PREDICT_COLUMNS, *CURRENCY_COLUMNS)
    quoted = quote([LZCO], "glass", costing, predictor=model).table
    listed = tmp_path / "mine.csv"
    listed.write_text(f"formula,phase\n{LZCO},glass\n")
    ranked = screen(candidates=listed, out=tmp_path / "out", predictor=model, costing=costing).candidates
    names = [n for n in (*PREDICT_COLUMNS, *CURRENCY_COLUMNS) if n.startswith("cost_")]
    assert len(names) == 11
    for name in names:
        assert table[name][0] == pytest.approx(quoted[name][0]), name
        assert table[name][0] == pytest.approx(ranked[name][0]), name
    assert ranked["precursor_route"][0] == quoted["precursor_route"][0]
    assert "H2O" in ranked["precursor_route"][0]
    shipped = predict([LZCO], phase="glass", predictor=model)
    assert tuple(shipped.columns) == PREDICT_COLUMNS
    assert shipped["cost_usd_kg"][0] != pytest.approx(table["cost_usd_kg"][0], rel=0.05)


def test_prices_decide_the_joint_probability_and_the_filter(model, tmp_path):
    dear = load_costing(pd.DataFrame([{"formula": "ZrCl4", "price_per_kg": 5000.0}]))
    cheap = predict([LZCO], phase="crystal", predictor=model)
    spoiled = predict([LZCO], phase="crystal", predictor=model, costing=dear)
    assert cheap["p_all_targets"][0] > 0
    assert spoiled["p_all_targets"][0] < 1e-6 * cheap["p_all_targets"][0]
    small = Path(__file__).parent / "spaces" / "small.toml"
    options = {"predictor": model, "limit": 200, "top": 5}

    def filtered(name, costing=None):
        funnel = screen(small, out=tmp_path / name, costing=costing, **options).funnel
        return {row.reason for row in funnel if row.tier == "filter"}

    # Whoever needs its chloride from LiCl or NaCl has no recipe left.
    reasons = filtered("barred", load_costing(without=["LiCl", "NaCl"])) - filtered("shipped")
    assert {"no cited price for Li with Cl", "no cited price for Na with Cl"} & reasons


def test_an_empty_prediction_has_the_columns_of_its_currency(model):
    table, rejected = predict_rows(
        rows_from_formulas(["AlCl3"]), predictor=model, costing=load_costing(currency="EUR")
    )
    assert tuple(table.columns) == (*PREDICT_COLUMNS, *CURRENCY_COLUMNS)
    assert len(rejected) == 1
