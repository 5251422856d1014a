"""`softlyte window` and its Python function: normal use, bad rows, plots, own entries."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from softlyte.cli.app import app
from softlyte.datasets.columns import COLUMNS, INTERFACE_COLUMNS, PROFILE_COLUMNS, WINDOW_COLUMNS
from softlyte.datasets.formulas import Compositions
from softlyte.datasets.tables import load_table
from softlyte.featurize.hull_plots import PlotError
from softlyte.models.predictor import Predictor
from softlyte.screening.inputs import InputError
from softlyte.screening.window import window

BAD = ["AlCl3", "LiHeCl", "Xx2", "Li", "LiNaKRbCsMgCaSrBaScYLaZrHfNbTaWCl", "Li6Y2Cl12"]


@pytest.fixture(scope="module")
def predictor(tiny_weights: Path) -> Predictor:
    return Predictor.load(tiny_weights, "cpu")


@pytest.fixture(scope="module")
def report(predictor: Predictor):
    return window(["Li3YCl6", "Li3InCl6", *BAD, "NaCl"], cathodes=["LCO"], predictor=predictor)


def run(*arguments: str, weights: Path):
    return CliRunner().invoke(app, ["window", *arguments, "--weights", str(weights), "--device", "cpu"])


def test_columns_and_values(report) -> None:
    frame = report.windows
    assert tuple(frame.columns) == WINDOW_COLUMNS
    assert tuple(report.interfaces.columns) == INTERFACE_COLUMNS
    assert tuple(report.profile_table().columns) == ("formula", *PROFILE_COLUMNS)
    for name in (*WINDOW_COLUMNS, *INTERFACE_COLUMNS, *PROFILE_COLUMNS):
        assert name.removesuffix("_lower").removesuffix("_upper") in COLUMNS
    known = frame.iloc[1]
    shipped = load_table("windows_computed").set_index("formula").loc["Li3InCl6"]
    assert known["hull_basis"] == "known"
    assert known["oxidation_v"] == pytest.approx(shipped["oxidation_v"], abs=2e-3)
    assert known["reduction_v"] == pytest.approx(shipped["reduction_v"], abs=2e-3)
    assert known["oxidation_reaction"] == "Li3InCl6 -> InCl3 + 1.5 Cl2 + 3 Li"
    assert known["reduction_reaction"] == "Li3InCl6 + 1.2 Li -> 4.2 LiCl + 0.2 In5Cl9"
    assert known["decomposition_reaction"] == "Li3InCl6 -> 3 LiCl + InCl3"
    assert known["oxidation_v_lower"] < 4.21 < known["oxidation_v_upper"]
    assert known["formation_energy_ev_atom_lower"] == pytest.approx(known["formation_energy_ev_atom"])
    predicted = frame.iloc[0]
    assert predicted["hull_basis"] == "predicted"
    assert predicted["formation_energy_ev_atom_lower"] < predicted["formation_energy_ev_atom"]
    assert frame["mobile_ion"].tolist()[-1] == "Na"
    # Salt does not react with its own metal: no reduction.
    assert frame.iloc[-1]["reduction_v"] == pytest.approx(0.0, abs=1e-6)
    assert frame.iloc[-1]["reduction_reaction"] == ""


def test_bad_rows_have_a_reason_and_no_number(report) -> None:
    bad = report.windows.iloc[2:-1]
    starts = [
        "it holds no Li or Na",
        "no compound of He in the table formation_energy",
        "the formula 'Xx2'",
        "it is the metal itself",
        "18 elements, more than the 16 of a hull",
        "it repeats an earlier formula",
    ]
    for reason, start in zip(bad["reason"], starts, strict=True):
        assert start in reason
    numbers = [name for name in WINDOW_COLUMNS if name.endswith(("_v", "_atom", "_mev", "_lower", "_upper"))]
    assert bad[numbers].isna().all(axis=None)
    assert set(report.profiles) == {"Li3YCl6", "Li3InCl6", "NaCl"}
    assert set(report.interfaces["formula"]) == {"Li3YCl6", "Li3InCl6", "NaCl"}


def test_strict_convention(predictor: Predictor) -> None:
    report = window(["Li3ScCl6", "Li3InCl6"], metastable="strict", predictor=predictor)
    above, stable = report.windows.iloc[0], report.windows.iloc[1]
    assert np.isnan(above["oxidation_v"])
    assert above["reason"] == "0.0160 eV/atom above the hull"
    assert above["decomposition_reaction"] == "Li3ScCl6 -> 3 LiCl + ScCl3"
    assert stable["oxidation_v"] > 4
    # The energy that a metastable phase releases by itself is part of its strict profile.
    assert report.profiles["Li3ScCl6"].energy_ev_atom(np.array([3.0]))[0] == pytest.approx(-0.016, abs=1e-3)


def test_own_entries_replace_the_prediction(tmp_path: Path, predictor: Predictor) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("formula,formation_energy_ev_atom,functional\nLi3YCl6,-2.40,PBE\n")
    report = window(["Li3YCl6"], entries=path, predictor=predictor)
    assert report.windows.iloc[0]["hull_basis"] == "known"
    assert report.windows.iloc[0]["formation_energy_ev_atom"] == pytest.approx(-2.40)
    path.write_text("formula,formation_energy_ev_atom,functional\nLiCl,-2.1,R2SCAN\nYCl3,-2.5,R2SCAN\n")
    alone = window(["Li3YCl6"], entries=path, alone=True, cathodes=["LiCl"], predictor=predictor)
    row = alone.windows.iloc[0]
    # No PBE network on an r2SCAN hull: the window is that of LiCl + YCl3, and there is no energy.
    assert np.isnan(row["e_above_hull_ev_atom"])
    assert row["oxidation_v"] == pytest.approx(4.2)
    assert row["hull_basis"] == "none"


def test_corrections_can_be_chosen(predictor: Predictor) -> None:
    plain = window(["LiTaOCl4"], cathodes=["LCO"], predictor=predictor)
    corrected = window(["LiTaOCl4"], cathodes=["LCO"], corrections=["oxidised_halogens"], predictor=predictor)
    assert (
        corrected.store.window(*_one("LiTaOCl4"))[1][0] > plain.store.window(*_one("LiTaOCl4"))[1][0] + 0.05
    )


def _one(formula: str):

    return Compositions.from_formulas([formula]), ["Li"]


def test_mistakes_are_sentences(predictor: Predictor) -> None:
    for options, message in (
        ({"ion": "K"}, "the mobile ion is 'K'"),
        ({"metastable": "loose"}, "metastable is 'loose'"),
        ({"alone": True}, "alone needs a file of entries"),
    ):
        with pytest.raises(InputError, match=message):
            window(["LiCl"], predictor=predictor, **options)
    with pytest.raises(InputError, match="no formula was given"):
        window([], predictor=predictor)
    nothing = window(["AlCl3"], predictor=predictor)
    assert (len(nothing.windows), len(nothing.interfaces), nothing.profiles) == (1, 0, {})
    assert len(nothing.profile_table()) == 0
    with pytest.raises(InputError, match="nothing to plot"):
        nothing.html()


def test_plots(report, predictor: Predictor) -> None:
    page = report.html()
    assert page.count("Plotly.newPlot") == 4  # profile, Li-Y-Cl, Li-In-Cl, Na-Cl
    assert "Li3YCl6" in page
    assert "http" not in page.split("<script")[0]
    section = window(["LiAlCl2.5O0.75"], cathodes=["LCO"], predictor=predictor)
    assert section.html(["LiCl", "AlCl3", "Al2O3"]).count("Plotly.newPlot") == 2
    with pytest.raises(PlotError, match="is no mixture of the corners LiCl, AlCl3"):
        section.html(["LiCl", "AlCl3"])
    with pytest.raises(PlotError, match="5 components cannot be drawn"):
        section.html(["LiCl", "AlCl3", "Al2O3", "Li2O", "Li"])


def test_command_line(tmp_path: Path, tiny_weights: Path) -> None:
    plot, out = tmp_path / "window.html", tmp_path / "tables"
    shown = run("Li3InCl6", "--cathode", "LCO", "--plot", str(plot), "--out", str(out), weights=tiny_weights)
    assert shown.exit_code == 0, shown.output
    assert "Oxidation limit" in shown.stdout
    assert "InCl3 + Cl2" in shown.stdout
    assert "LCO, charged" in shown.stdout
    assert plot.read_text().startswith("<!DOCTYPE html>")
    assert len(pd.read_csv(out / "window.csv")) == 1
    assert len(pd.read_csv(out / "interfaces.csv")) == 4
    assert len(pd.read_csv(out / "profile.csv")) > 5
    as_json = run("Li3InCl6", "AlCl3", "--cathode", "LCO", "--format", "json", weights=tiny_weights)
    assert as_json.exit_code == 2
    content = json.loads(as_json.stdout)
    assert set(content) == {"windows", "profiles", "interfaces"}
    assert content["windows"][1]["reason"].startswith("it holds no Li or Na")
    assert "formula 2: 'AlCl3'" in as_json.stderr
    as_csv = run("Li3InCl6", "--cathode", "LCO", "--format", "csv", weights=tiny_weights)
    assert as_csv.stdout.splitlines()[0] == ",".join(WINDOW_COLUMNS)
    twice = run("Li3InCl6", "Li6In2Cl12", "--cathode", "LCO", "--format", "CSV", weights=tiny_weights)
    assert twice.exit_code == 0
    assert "formula 2: 'Li6In2Cl12': it repeats an earlier formula" in twice.stderr
    assert "error" not in twice.stderr
    wrong = run("Li3InCl6", "--cathode", "granite", weights=tiny_weights)
    assert wrong.exit_code == 2
    assert "neither a formula nor one of LCO" in wrong.stderr
