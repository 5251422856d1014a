"""Structures in, the columns of a formula out: what is the structure's own, what its composition's."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Lattice, Structure
from typer.testing import CliRunner

from softlyte.cli.app import app
from softlyte.featurize.crystal_files import read_crystal_files
from softlyte.models.crystal_predictor import CrystalPredictor
from softlyte.models.predictions import PropertyPrediction
from softlyte.models.predictor import Predictor
from softlyte.screening.evaluate import default_hull
from softlyte.screening.hull_evidence import REACTION_ENERGY_SD
from softlyte.screening.inputs import InputError
from softlyte.screening.predict import predict
from softlyte.screening.structures import (
    STRUCTURE_COLUMNS,
    predict_structure_rows,
    predict_structures,
)

RUNNER = CliRunner()
ENDS = [[0, 0, 0], [0.5, 0.5, 0.5]]


@pytest.fixture(scope="module")
def model(tiny_weights: Path) -> Predictor:
    return Predictor.load(tiny_weights, "cpu")


@pytest.fixture(scope="module")
def networks(tiny_crystal_weights: Path) -> CrystalPredictor:
    return CrystalPredictor.load(tiny_crystal_weights, "cpu")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Rock salt and caesium-chloride forms of LiCl, and what cannot be predicted."""
    folder = tmp_path_factory.mktemp("structures")
    rock = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.13), ["Li", "Cl"], ENDS)
    rock.to(str(folder / "rock.cif"))
    Structure(Lattice.cubic(3.1), ["Li", "Cl"], ENDS).to(str(folder / "caesium.cif"))
    Structure(Lattice.cubic(4.2), ["Cs", "Cl"], ENDS).to(str(folder / "foreign.cif"))
    Structure(Lattice.cubic(3.1), ["Li", "Xe"], ENDS).to(str(folder / "xenon.cif"))
    (folder / "broken.cif").write_text("data_nothing", encoding="utf-8")
    return {path.stem: path for path in folder.iterdir()}


def test_polymorphs_keep_their_own_moduli_density_and_energy(
    files: dict[str, Path], model: Predictor, networks: CrystalPredictor
) -> None:
    paths = [files["rock"], files["caesium"]]
    frame = predict_structures(paths, predictor=model, crystal_predictor=networks)
    assert list(frame.columns) == list(STRUCTURE_COLUMNS)
    assert frame["structure"].tolist() == [str(path) for path in paths]
    assert frame["formula"].tolist() == ["LiCl", "LiCl"]
    assert set(frame["phase"]) == {"crystal"}
    said = networks.predict(read_crystal_files(paths).crystals)
    for name in ("bulk_modulus_gpa", "youngs_modulus_gpa", "density_g_cm3"):
        assert frame[name].to_numpy() == pytest.approx(said.properties[name].median(), rel=1e-5)
        low, high = said.properties[name].interval()
        assert frame[f"{name}_lower"].to_numpy() == pytest.approx(low, rel=1e-4)
        assert frame[f"{name}_upper"].to_numpy() == pytest.approx(high, rel=1e-4)
    assert frame["bulk_modulus_gpa"].nunique() == 2
    # 4 formula units of 42.394 g/mol in 5.13^3 cubic angstrom, one in 3.1^3.
    assert frame["density_g_cm3"].to_numpy() == pytest.approx(
        [4 * 42.394 / 0.60221408 / 5.13**3, 42.394 / 0.60221408 / 3.1**3], rel=1e-3
    )
    assert set(frame["hull_basis"]) == {"structure"}
    energy = said.properties["formation_energy_ev_atom"]
    compositions = read_crystal_files(paths).crystals.compositions()
    hull = default_hull()
    above = hull.corrected(compositions, energy.mean()) - hull.hull_energy(compositions)
    assert frame["e_above_hull_ev_atom"].to_numpy() == pytest.approx(np.maximum(above, 0.0), abs=1e-5)
    half = 1.6449 * np.hypot(energy.sd(), REACTION_ENERGY_SD)
    upper = np.maximum(above + half, 0.0)
    assert frame["e_above_hull_ev_atom_upper"].to_numpy() == pytest.approx(upper, abs=1e-3)


def test_what_a_structure_does_not_say_comes_from_its_composition(
    files: dict[str, Path], model: Predictor, networks: CrystalPredictor
) -> None:
    own = predict_structures([files["rock"]], predictor=model, crystal_predictor=networks).iloc[0]
    formula = predict(["LiCl"], "crystal", predictor=model).iloc[0]
    same = ("sigma_ms_cm", "oxidation_v", "reduction_v", "cost_usd_kg", "applicability", "nearest_known")
    for name in same:
        assert own[name] == formula[name]
    assert own["stack_pressure_mpa"] != formula["stack_pressure_mpa"]


def test_a_property_keeps_its_distribution_among_other_numbers_of_members() -> None:
    wide = PropertyPrediction(np.array([[1.0], [1.2]]), np.array([[0.1], [0.2]]), "log10")
    for count in (1, 2, 5, 10):
        moved = wide.with_members(count)
        assert moved.member_mean.shape == (count, 1)
        assert moved.mean() == pytest.approx(wide.mean())
        assert moved.sd() == pytest.approx(wide.sd())


def test_what_cannot_be_used_is_listed_and_the_rest_goes_on(
    files: dict[str, Path], model: Predictor, networks: CrystalPredictor, tmp_path: Path
) -> None:
    paths = [files["broken"], files["rock"], files["foreign"], files["xenon"], tmp_path / "absent.cif"]
    frame, rejected = predict_structure_rows(paths, predictor=model, crystal_predictor=networks)
    assert len(frame) == 1
    assert [row.row for row in rejected] == [1, 3, 4, 5]
    assert "neither Li nor Na" in rejected[1].reason
    assert "not trained on Xe" in rejected[2].reason
    with pytest.raises(InputError, match=r"structure 3.*foreign.*neither Li nor Na"):
        predict_structures([files["rock"], files["rock"], files["foreign"]], None, model, None, networks)
    with pytest.raises(InputError, match="no structure was given"):
        predict_structures([], predictor=model, crystal_predictor=networks)
    none, refused = predict_structure_rows([files["broken"]], predictor=model, crystal_predictor=networks)
    assert list(none.columns) == list(STRUCTURE_COLUMNS)
    assert len(none) == 0
    assert len(refused) == 1


def test_the_command_predicts_structures(
    files: dict[str, Path], tiny_weights: Path, tiny_crystal_weights: Path, tmp_path: Path
) -> None:
    chosen = ["--weights", str(tiny_weights), "--crystal-weights", str(tiny_crystal_weights)]
    both = ["predict", "--structure", str(files["rock"]), str(files["caesium"]), *chosen]
    done = RUNNER.invoke(app, both)
    assert done.exit_code == 0, done.output
    assert "rock.cif: LiCl" in " ".join(done.output.split())
    done = RUNNER.invoke(app, [*both, "--json"])
    assert [row["formula"] for row in json.loads(done.stdout)] == ["LiCl", "LiCl"]
    out = tmp_path / "out.csv"
    done = RUNNER.invoke(app, [*both[:3], "--structure", str(files["broken"]), *chosen, "--out", str(out)])
    assert done.exit_code == 2
    assert len(pd.read_csv(out)) == 1
    assert "broken.cif" in (tmp_path / "rejected.csv").read_text()
    for wrong, message in (
        ([*both, "--phase", "glass"], "a structure is one crystal"),
        (["predict", "LiCl", *chosen], "--crystal-weights is for structures"),
        ([*both[:3], "--crystal-weights", str(tiny_weights)], "ensemble on compositions"),
    ):
        done = RUNNER.invoke(app, wrong)
        assert done.exit_code == 2
        assert message in " ".join(done.output.split())


def test_a_pressure_report_starts_from_the_structure(
    files: dict[str, Path], tiny_weights: Path, tiny_crystal_weights: Path, networks: CrystalPredictor
) -> None:
    command = ["pressure", "--structure", str(files["rock"]), "--weights", str(tiny_weights)]
    done = RUNNER.invoke(app, [*command, "--crystal-weights", str(tiny_crystal_weights), "--json"])
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)[0]
    said = networks.predict(read_crystal_files([files["rock"]]).crystals)
    median = said.properties["youngs_modulus_gpa"].median()[0]
    assert report["values"]["youngs_modulus_gpa"]["median"] == pytest.approx(median, rel=1e-4)
    done = RUNNER.invoke(app, ["pressure", "LiCl", "--crystal-weights", str(tiny_crystal_weights)])
    assert done.exit_code == 2
    assert "--crystal-weights is for structures" in " ".join(done.output.split())
