"""Structures and moduli that the user brings: reading, refusals, what the pressure report makes of them."""

import json
from pathlib import Path

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure
from typer.testing import CliRunner

from softlyte.cli.app import app
from softlyte.models.predictor import Predictor
from softlyte.screening.explain import explain_pressure
from softlyte.screening.inputs import InputError
from softlyte.screening.mechanics import mechanics
from softlyte.screening.own_solid import OwnModuli, own_moduli, read_own_crystal
from softlyte.screening.parameters import parameter

RUNNER = CliRunner()


@pytest.fixture
def licl(tmp_path: Path) -> Path:
    path = tmp_path / "licl.cif"
    Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.13), ["Li", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]).to(
        str(path)
    )
    return path


@pytest.fixture(scope="module")
def model(tiny_weights: Path) -> Predictor:
    return Predictor.load(tiny_weights, "cpu")


def test_a_structure_gives_composition_and_density(licl: Path) -> None:
    crystal = read_own_crystal(licl)
    assert crystal.formula == "LiCl"
    # 4 formula units of 42.394 g/mol in 5.13^3 cubic angstrom.
    assert crystal.density_g_cm3 == pytest.approx(4 * 42.394 / 0.60221408 / 5.13**3, rel=1e-3)
    assert crystal.volume_a3_atom == pytest.approx(5.13**3 / 8)


def isotropic(bulk: float, shear: float) -> np.ndarray:
    constants = np.diag([2 * shear] * 3 + [shear] * 3)
    constants[:3, :3] += bulk - 2 * shear / 3
    return constants


@pytest.mark.parametrize("suffix", [".txt", ".csv", ".json"])
def test_a_tensor_gives_its_averages(tmp_path: Path, suffix: str) -> None:
    path, constants = tmp_path / f"tensor{suffix}", isotropic(30.0, 12.0)
    if suffix == ".json":
        path.write_text(json.dumps({"elastic_tensor": constants.tolist()}), encoding="utf-8")
    else:
        path.write_text(
            "# GPa\n"
            + "\n".join((", " if suffix == ".csv" else "  ").join(map(str, row)) for row in constants),
            encoding="utf-8",
        )
    moduli = OwnModuli.from_tensor(path)
    assert (moduli.bulk_gpa, moduli.shear_gpa) == pytest.approx((30.0, 12.0))


def test_a_cubic_tensor_by_hand(tmp_path: Path) -> None:
    # LiCl-like C11 = 60, C12 = 22, C44 = 27: K = 104/3, G_V = (38 + 81)/5, G_R = 5 38 27/(4 27 + 3 38).
    constants = np.diag([60.0] * 3 + [27.0] * 3)
    constants[:3, :3] += 22.0 * (1 - np.eye(3))
    path = tmp_path / "tensor.txt"
    np.savetxt(path, constants)
    moduli = OwnModuli.from_tensor(path)
    assert moduli.bulk_gpa == pytest.approx(104 / 3)
    assert moduli.shear_gpa == pytest.approx(((38 + 81) / 5 + 5 * 38 * 27 / (4 * 27 + 3 * 38)) / 2)


def broken(**changes: float) -> np.ndarray:
    constants = isotropic(30.0, 12.0)
    for place, value in changes.items():
        constants[int(place[1]), int(place[2])] = value
    return constants


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("1 2 3", "no 6 x 6 numbers"),
        ("a b", "something else than numbers"),
        ("\n".join(" ".join(map(str, row)) for row in broken(c01=90.0)), "not symmetric"),
        ("\n".join(" ".join(map(str, row)) for row in broken(c33=-1.0)), "not positive definite"),
    ],
)
def test_what_is_no_tensor_is_refused(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "tensor.txt"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        OwnModuli.from_tensor(path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((20.0, None, None), "give the bulk and the shear modulus"),
        ((20.0, 8.0, "x.txt"), "give one of them"),
        ((20e9, 8e9, None), "give a number of GPa"),
        ((0.0, 8.0, None), "bulk modulus is 0 GPa"),
        ((20.0, 8.0, None, 0.0), "uncertainty of the moduli is 0%"),
        ((None, None, None, 5.0), "belongs to moduli"),
        ((None, None, "nowhere.txt"), "cannot be read"),
    ],
)
def test_half_given_moduli_are_refused(arguments: tuple, message: str) -> None:
    with pytest.raises(InputError, match=message):
        own_moduli(*arguments)


def test_the_report_starts_from_given_moduli(model: Predictor) -> None:
    moduli = OwnModuli(30.0, 12.0, 5.0)
    (report,) = explain_pressure(["Li3YCl6"], "crystal", predictor=model, moduli=moduli)
    solid = mechanics(30.0, 12.0)
    median, low, high = report.values["youngs_modulus_gpa"]
    assert median == pytest.approx(float(solid.youngs_modulus_gpa))
    assert high / low == pytest.approx(1.05 ** (2 * 1.645), rel=0.05)
    # Sampled quantiles of 64 draws a member.
    assert report.values["pugh_ratio"][0] == pytest.approx(2.5, rel=0.02)
    assert "Moduli given, of the dense solid: K 30 and G 12 GPa, each with a standard deviation of 5%" in (
        report.text()
    )
    assert "assumed" in str(OwnModuli(30.0, 12.0))


def test_a_pellets_moduli_lead_to_the_pressure_of_its_dense_solid(model: Predictor) -> None:
    scale = 10 ** parameter("pellet_log10_offset").value
    assert scale < 1
    reports = [
        explain_pressure(["Li3YCl6"], "crystal", predictor=model, moduli=moduli)[0].values
        for moduli in (OwnModuli(30.0, 12.0), OwnModuli(30.0 * scale, 12.0 * scale, sample="pellet"))
    ]
    assert reports[0]["stack_pressure_mpa"] == pytest.approx(reports[1]["stack_pressure_mpa"])


def test_softer_moduli_ask_for_less_pressure(model: Predictor) -> None:
    needed = [
        explain_pressure(["Li3YCl6"], "crystal", predictor=model, moduli=OwnModuli(3 * g, g))[0].values[
            "stack_pressure_mpa"
        ][0]
        for g in (1.0, 4.0, 16.0)
    ]
    assert needed == sorted(needed)


def test_a_structure_stands_for_its_formula(model: Predictor, licl: Path) -> None:
    known = OwnModuli(30.0, 12.0)
    (report,) = explain_pressure(predictor=model, structure=licl, moduli=known)
    (same,) = explain_pressure(["LiCl"], "crystal", predictor=model, moduli=known)
    assert (report.formula, report.phase) == ("LiCl", "crystal")
    for column, values in same.values.items():
        assert report.values[column] == pytest.approx(values, nan_ok=True), column
    assert "Structure licl.cif: 2.09 g/cm3, 16.9 A3 an atom" in report.text()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"formulas": ["LiCl"], "structure": "licl.cif"}, "leave formulas and the glass out"),
        ({"phase": "glass", "structure": "licl.cif"}, "leave formulas and the glass out"),
        ({"formulas": ["LiCl", "NaCl"], "phase": "crystal", "moduli": OwnModuli(30, 12)}, "one solid"),
        ({"formulas": ["LiCl"], "moduli": OwnModuli(30, 12)}, "one formula and its phase"),
        ({"structure": "nowhere.cif"}, "no such file"),
    ],
)
def test_wrong_combinations_are_refused(model: Predictor, licl: Path, options: dict, message: str) -> None:
    if options.get("structure") == "licl.cif":
        options = options | {"structure": licl}
    with pytest.raises(InputError, match=message):
        explain_pressure(predictor=model, **options)


def test_command(tiny_weights: Path, licl: Path) -> None:
    def call(*words: str):
        return RUNNER.invoke(app, ["pressure", *words, "--weights", str(tiny_weights), "--device", "cpu"])

    given = call("--structure", str(licl), "--bulk-modulus", "35", "--shear-modulus", "20")
    assert given.exit_code == 0, given.output
    assert "LiCl as a crystal" in given.output
    assert "K 35 and G 20 GPa" in given.output
    assert "assumed" in given.output
    alone = call()
    assert alone.exit_code == 2
    assert "--structure FILE" in alone.output
    half = call("LiCl", "--phase", "crystal", "--bulk-modulus", "35")
    assert half.exit_code == 2
    assert "give the bulk and the shear modulus" in half.output
