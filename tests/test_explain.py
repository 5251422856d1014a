"""Advice, the pressure report in words, its plot, and `softlyte pressure`."""

import math
import re
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from softlyte.cli.app import app
from softlyte.datasets.tables import load_table
from softlyte.models.predictor import Predictor
from softlyte.screening.advice import class_moduli_gpa, interface_layers, strategies_below
from softlyte.screening.contact import ContactError
from softlyte.screening.explain import BINS_MPA, SHOWN_STRATEGIES, explain_pressure, plot_pressure
from softlyte.screening.inputs import InputError
from softlyte.screening.pressure import Conditions

RUNNER = CliRunner()


@pytest.fixture
def invoke(tiny_weights: Path):
    def call(*words: str):
        return RUNNER.invoke(app, ["pressure", *words, "--weights", str(tiny_weights), "--device", "cpu"])

    return call


@pytest.fixture(scope="module")
def model(tiny_weights: Path):
    return Predictor.load(tiny_weights, "cpu")


def test_strategies_are_the_tables_rows_with_another_lever():
    found = strategies_below(2.0, 20.0)
    table = load_table("pressure_cited")
    assert len(found) == int(
        ((table["flag"] == "other_lever") & (table["stack_pressure_mpa_max"] <= 2)).sum()
    )
    assert all(s.stack_pressure_mpa <= 2 and len(s.source) > 10 for s in found)
    levers = {"Reduce the cut-off voltage", "elevated temperature", "crosslinked binder"}
    levers |= {"Isostatic pouch cell holder utilizing air", "3D lithium-host design"}
    levers |= {"dynamic conformal interlayer", "soft electrolyte, spring cell"}
    assert levers <= {s.strategy for s in found}
    assert strategies_below(-1.0, 20.0) == []


def test_strategies_of_comparable_electrolytes_come_first():
    sulfide, soft = strategies_below(2.0, 22.0), strategies_below(2.0, 5.0)
    assert sulfide[0].kind == soft[0].kind == "sulfide"
    # What worked for sulfides says little for a garnet: it comes last.
    oxide = [s.kind for s in strategies_below(2.0, 170.0)]
    assert oxide[0] == "oxide"
    assert oxide.index("sulfide") > len(oxide) / 2
    assert class_moduli_gpa()["oxide"] > 4 * class_moduli_gpa()["sulfide"]


def test_layers_with_a_pressure_come_first():
    layers = interface_layers()
    assert len(layers) == 8
    assert [math.isnan(layer.stack_pressure_mpa) for layer in layers] == [False, False] + [True] * 6


def test_report_agrees_with_itself(model):
    glass, crystal = explain_pressure(["LiAlCl2.5O0.75"], predictor=model)[::-1]
    assert (glass.phase, crystal.phase) == ("glass", "crystal")
    for report in (glass, crystal):
        assert report.shares().sum() == pytest.approx(1.0)
        assert len(report.shares()) == len(BINS_MPA) + 1
        assert report.shares()[:3].sum() == pytest.approx(report.p_below_target)
        assert report.with_alkali_metal[0] < report.values["stack_pressure_mpa"][0]
        for median, low, high in report.values.values():
            assert math.isnan(median) or low <= median <= high
    assert crystal.solid == pytest.approx(crystal.values["stack_pressure_mpa"])
    assert crystal.p_flow == 0
    assert "glass_transition_k" not in crystal.values
    assert glass.reference.startswith("rule (eutectic LiCl-AlCl3, 383 K)")


def test_words_name_what_they_should(model):
    (report,) = explain_pressure(["LiAlCl2.5O0.75"], "glass", Conditions(60.0, 0.3), predictor=model)
    text = report.text()
    assert "as a glass at 60 C, 0.3 of real contact wanted, no alkali metal beside it" in text
    for word in (
        "P(below 2 MPa)",
        "Hardness",
        "Glass transition",
        "it flows at 60 C",
        "Pellet",
        "lithium or sodium",
    ):
        assert word in text
    assert max(len(line) for line in text.splitlines()) <= 110
    beside = explain_pressure(["Li3YCl6"], "crystal", Conditions(alkali_metal=True), predictor=model)[
        0
    ].text()
    assert "beside an alkali-metal electrode" in beside
    assert "lithium or sodium metal, which creeps" not in beside


def test_advice_is_given_where_the_target_is_missed(model):
    (report,) = explain_pressure(["Li7La3Zr2O12"], "crystal", predictor=model)
    text = report.text()
    assert (report.p_below_target < 0.5) == ("What brought comparable cells to 2 MPa" in text)
    assert report.p_below_target < 0.5
    assert "https://doi.org/10.1002/adma.202413499" in text.replace("\n    ", "")
    assert f"and {len(report.strategies) - SHOWN_STRATEGIES} more, with --json" in text


def test_an_interface_resistance_sets_the_contact(model):
    (loose,), (tight,) = (
        explain_pressure(["Li3YCl6"], "crystal", resistance_ohm_cm2=r, predictor=model) for r in (100.0, 1.0)
    )
    assert tight.conditions.contact > loose.conditions.contact
    assert tight.values["stack_pressure_mpa"][0] > loose.values["stack_pressure_mpa"][0]
    with pytest.raises(ContactError, match="give a positive number"):
        explain_pressure(["Li3YCl6"], "crystal", resistance_ohm_cm2=-1.0, predictor=model)


def test_plot(model, tmp_path):
    reports = explain_pressure(["LiAlCl2.5O0.75", "Li3YCl6"], predictor=model)
    file = plot_pressure(reports, tmp_path / "p.png")
    assert file.read_bytes().startswith(b"\x89PNG")
    assert plot_pressure(reports, tmp_path / "p.svg").read_text(encoding="utf-8").count("P(required") >= 1
    with pytest.raises(InputError, match="has no known format"):
        plot_pressure(reports, tmp_path / "p.docx")
    with pytest.raises(InputError, match="cannot be written"):
        plot_pressure(reports, tmp_path / "nowhere" / "p.png")


def test_a_bad_formula_is_named(model):
    with pytest.raises(InputError, match="formula 2, 'Xx3'"):
        explain_pressure(["Li3YCl6", "Xx3"], predictor=model)


def test_verb(invoke, tmp_path):
    result = invoke("Li3YCl6", "--phase", "crystal", "--plot", str(tmp_path / "p.png"))
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith("Li3YCl6 as a crystal at 25 C, 0.1 of real contact wanted")
    assert "plot written to" in result.stderr
    assert (tmp_path / "p.png").stat().st_size > 1000
    both = invoke("Li3YCl6", "--temperature", "60", "--contact", "0.2", "--alkali-metal")
    assert both.exit_code == 0
    assert both.stdout.count("at 60 C, 0.2 of real contact wanted, beside an alkali-metal electrode") == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("Li3YCl6", "--contact", "2"), "contact fraction is 2"),
        (("Li3YCl6", "--contact", "0.1", "--resistance", "5"), "give one of them"),
        (("Li3YCl6", "--temperature", "-300"), "above -273.15"),
        (("Xx", "--phase", "glass"), "formula 1, 'Xx'"),
        (("Li3YCl6", "--plot", "p.docx"), "has no known format"),
    ],
)
def test_mistakes_give_one_sentence(invoke, words, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = invoke(*words)
    assert result.exit_code == 2
    assert result.stderr.startswith("error: ")
    assert message in result.stderr


def test_shares_of_a_stiff_material_lie_above_the_target(model):
    (report,) = explain_pressure(["Li7La3Zr2O12"], "crystal", predictor=model)
    assert np.argmax(report.shares()) > 2


def test_a_repeated_formula_is_explained_once_and_noted(invoke):
    result = invoke("Li3YCl6", "Li6Y2Cl12", "--phase", "Crystal")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.count("Li3YCl6 as a crystal") == 1
    said = "formula 2, 'Li6Y2Cl12': it repeats row 1; nothing to do, the composition is kept once"
    assert " ".join(result.stderr.split()) == said


def test_the_operating_pressure_of_the_targets_is_that_of_the_pellet(invoke, tmp_path):
    targets = tmp_path / "targets.toml"
    targets.write_text(
        '[[target]]\ncolumn = "stack_pressure_mpa"\ncomparison = "<"\nvalue = 5\n'
        "[conditions]\npressure_mpa = 9\n"
    )
    text = invoke("Li3YCl6", "--phase", "crystal", "--targets", str(targets)).stdout
    assert "P(below 5 MPa)" in text
    assert re.search(r"of its conductivity at 9 MPa: .* mS/cm \[.*\] at 25 C\n", text)
