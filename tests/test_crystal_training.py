"""Training on structures: rows with their reasons, the cache, folds, resuming, and mistakes."""

import json
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from pymatgen.core import Lattice, Structure
from typer.testing import CliRunner

from softlyte.cli.app import app
from softlyte.datasets.columns import FIDELITIES
from softlyte.featurize.crystal_graph import CrystalFeaturizer
from softlyte.featurize.crystals import Crystals
from softlyte.models import crystal_data
from softlyte.models.checkpoint import PRETRAINED, CheckpointError, load_state
from softlyte.models.config import ConfigError
from softlyte.models.crystal_config import CrystalTrainingConfig, load_crystal_config
from softlyte.models.crystal_data import CrystalRows, load_crystal_rows
from softlyte.models.crystal_fit import fit_crystal_network
from softlyte.models.crystal_members import EVALUATED, judging_members, seen_rows
from softlyte.models.crystal_predictor import PREDICTED, CrystalPredictor
from softlyte.models.crystal_train import METRICS, OUT_OF_FOLD, train_crystals
from softlyte.models.predictor import Predictor
from softlyte.models.tasks import TARGET_NAMES
from softlyte.models.training_data import TrainingDataError

CONFIGS = Path(__file__).parent.parent / "models" / "configs"
ENDS = [[0, 0, 0], [0.5, 0.5, 0.5]]
SALTS = [(c, a) for c in ("Li", "Na", "K", "Rb") for a in ("F", "Cl", "Br", "I")]


def salt(cation: str, anion: str, edge: float) -> str:
    return str(Structure(Lattice.cubic(edge), [cation, anion], ENDS).to(fmt="cif"))


def elasticity() -> pd.DataFrame:
    """Sixteen salts with made-up smooth moduli, then rows that must be left out."""
    good = [
        {
            "mp_id": f"mp-{i}",
            "cif": salt(c, a, 3.0 + 0.1 * i),
            "k_vrh_gpa": 60.0 - 3 * i,
            "g_vrh_gpa": 30.0 - i,
        }
        for i, (c, a) in enumerate(SALTS)
    ]
    cesium = salt("Cs", "Cl", 4.1)
    bad = [
        {"mp_id": "mp-90", "cif": "no structure", "k_vrh_gpa": 20.0, "g_vrh_gpa": 10.0},
        {"mp_id": "mp-91", "cif": cesium, "k_vrh_gpa": -2.0, "g_vrh_gpa": 10.0},
        {"mp_id": "mp-92", "cif": cesium, "k_vrh_gpa": 10.0, "g_vrh_gpa": 80.0},
        {"mp_id": "mp-93", "cif": cesium, "k_vrh_gpa": np.nan, "g_vrh_gpa": np.nan},
        {"mp_id": "mp-0", "cif": good[0]["cif"], "k_vrh_gpa": 61.0, "g_vrh_gpa": 30.0},
        {"mp_id": "mp-94", "cif": cesium, "k_vrh_gpa": 20.0, "g_vrh_gpa": 10.0},
        {"mp_id": "mp-94", "cif": cesium, "k_vrh_gpa": 50.0, "g_vrh_gpa": 10.0},
    ]
    return pd.DataFrame([*good, *bad])


def energies() -> pd.DataFrame:
    rows = [
        {"mp_id": f"mp-{i}", "cif": salt(c, a, 3.0 + 0.1 * i), "formation_energy_ev_atom": -2.0 + 0.05 * i}
        for i, (c, a) in enumerate(SALTS)
    ]
    return pd.DataFrame([*rows, {**rows[0], "mp_id": "mp-99", "formation_energy_ev_atom": -13.0}])


def cesium_energies() -> pd.DataFrame:
    """Formulas that the elasticity table does not hold."""
    rows = [
        {"mp_id": f"mp-7{i}", "cif": salt(c, a, 4.0 + 0.1 * i), "formation_energy_ev_atom": -1.5 + 0.1 * i}
        for i, (c, a) in enumerate((c, a) for c in ("Cs", "Ag", "Tl") for a in ("F", "Cl", "Br", "I"))
    ]
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("tables")
    out = {"elasticity": folder / "elasticity.parquet", "energy": folder / "energy.parquet"}
    elasticity().to_parquet(out["elasticity"])
    energies().to_parquet(out["energy"])
    return out


@pytest.fixture(scope="module")
def rows(tables: dict[str, Path]) -> CrystalRows:
    return load_crystal_rows(tables, CrystalFeaturizer(neighbours=8, angle_neighbours=4), folds=4)


def config_of(
    tables: dict[str, Path],
    architecture: str = "tensors",
    epochs: int = 2,
    shared: bool = False,
    processes: int = 1,
) -> CrystalTrainingConfig:
    return CrystalTrainingConfig.model_validate(
        {
            "structures": {"tables": tables, "folds": 4},
            "ensemble": {"members": 4, "processes": processes},
            "graph": {"neighbours": 8, "angle_neighbours": 4},
            "network": {
                "architecture": architecture,
                "width": 8,
                "edge_width": 8,
                "layers": 1,
                "radial": 4,
                "head_width": 8,
                "dropout": 0.1,
            },
            "training": {
                "batch_size": 8,
                "stages": [
                    {
                        "name": "pretrain",
                        "epochs": 1,
                        "learning_rate": 1e-3,
                        "passes": {"energy": 1.0},
                        "shared": shared,
                    },
                    {"name": "joint", "epochs": epochs, "learning_rate": 1e-3},
                ],
            },
        }
    )


def test_every_row_is_used_or_has_a_reason(rows: CrystalRows) -> None:
    assert rows.left_out["elasticity"] == {
        "structure not usable": 1,
        "modulus below 1.5 GPa": 1,
        "improbable Poisson's ratio": 1,
        "no label": 1,
        "repeats another row's mp_id": 1,
        "contradicts another row of its mp_id": 2,
    }
    assert rows.left_out["energy"] == {"implausible formation energy": 1}
    assert len(rows) == 32
    assert rows.unread["elasticity"][0].startswith("mp-90: ")
    assert np.bincount(rows.source).tolist() == [16, 16]


def test_targets_are_in_the_columns_of_all_tasks(rows: CrystalRows) -> None:
    k = rows.targets[:, TARGET_NAMES.index("bulk_modulus_gpa")]
    energy = rows.targets[:, TARGET_NAMES.index("formation_energy_ev_atom")]
    density = rows.targets[:, TARGET_NAMES.index("density_g_cm3")]
    assert 10 ** k[:16] == pytest.approx([60.0 - 3 * i for i in range(16)])
    assert np.isnan(k[16:]).all()
    assert energy[16:] == pytest.approx([-2.0 + 0.05 * i for i in range(16)])
    assert np.isnan(energy[:16]).all()
    first = Structure(Lattice.cubic(3.0), ["Li", "F"], ENDS)
    assert 10 ** density[0] == pytest.approx(float(first.density), rel=1e-5)
    labelled = {name for i, name in enumerate(TARGET_NAMES) if not np.isnan(rows.targets[:, i]).all()}
    assert len(labelled) == 4


def test_one_formula_is_in_one_fold_of_all_tables(rows: CrystalRows) -> None:
    formulas = np.array(rows.compositions.formulas())
    for formula in np.unique(formulas):
        assert len(np.unique(rows.fold[formulas == formula])) == 1
    assert np.bincount(rows.fold).tolist() == [8, 8, 8, 8]


def test_graphs_come_from_the_cache_and_are_the_same(
    tables: dict[str, Path], rows: CrystalRows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        crystal_data, "read_crystals", lambda *_: pytest.fail("the structures were read again")
    )
    again = load_crystal_rows(tables, CrystalFeaturizer(neighbours=8, angle_neighbours=4), folds=4)
    torch.testing.assert_close(again.graphs.displacement, rows.graphs.displacement, atol=0, rtol=0)
    np.testing.assert_array_equal(again.targets, rows.targets)
    assert again.unread == rows.unread
    assert again.compositions.formulas() == rows.compositions.formulas()


def test_other_settings_and_damaged_caches_are_not_confused(
    tables: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOFTLYTE_CACHE_DIR", str(tmp_path))
    only = {"energy": tables["energy"]}
    wide = load_crystal_rows(only, CrystalFeaturizer(neighbours=20), folds=4)
    narrow = load_crystal_rows(only, CrystalFeaturizer(neighbours=4), folds=4)
    assert len(wide.graphs.displacement) > len(narrow.graphs.displacement)
    kept = sorted((tmp_path / "crystals").glob("*.safetensors"))
    assert len(kept) == 2
    for path in kept:
        path.write_bytes(path.read_bytes()[:100])
    again = load_crystal_rows(only, CrystalFeaturizer(neighbours=4), folds=4)
    torch.testing.assert_close(again.graphs.displacement, narrow.graphs.displacement, atol=0, rtol=0)


def test_fidelity_of_each_row_is_kept(tmp_path: Path) -> None:
    frame = energies().head(16).assign(fidelity=["dft_pbe_crystal", "potential_crystal"] * 8)
    frame.to_parquet(tmp_path / "two.parquet")
    found = load_crystal_rows({"two": tmp_path / "two.parquet"}, CrystalFeaturizer(), folds=2)
    assert len(set(found.graphs.fidelity.tolist())) == 2
    frame.assign(fidelity="guess").to_parquet(tmp_path / "guess.parquet")
    with pytest.raises(TrainingDataError, match="unknown fidelity 'guess'"):
        load_crystal_rows({"guess": tmp_path / "guess.parquet"}, CrystalFeaturizer())


def test_a_vendored_table_of_computed_labels_keeps_its_fidelity(
    tables: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    vendored = energies().head(4).assign(bulk_modulus_gpa=20.0, shear_modulus_gpa=10.0)
    monkeypatch.setattr(crystal_data, "table_names", lambda: ["potential_crystals"])
    monkeypatch.setattr(crystal_data, "table_checksum", lambda _: "0" * 64)
    monkeypatch.setattr(crystal_data, "load_table", lambda *_, **__: vendored)
    found = load_crystal_rows(tables, CrystalFeaturizer(), folds=4, shipped=["potential_crystals"])
    own = found.source == 2
    assert found.sources == ("elasticity", "energy", "potential_crystals")
    assert own.sum() == 4
    assert set(found.graphs.fidelity[own].tolist()) == {FIDELITIES.index("potential_crystal")}
    assert 10 ** found.labels()[own, 0] == pytest.approx([20.0] * 4)
    monkeypatch.setattr(crystal_data, "table_names", lambda: [])
    with pytest.raises(TrainingDataError, match="no table potential_crystals yet; build it with"):
        load_crystal_rows(tables, CrystalFeaturizer(), shipped=["potential_crystals"])
    raw = config_of(tables).model_dump()
    raw["structures"]["shipped"] = ["windows_cited"]
    with pytest.raises(ValueError, match="no vendored table windows_cited; there are potential_crystals"):
        CrystalTrainingConfig.model_validate(raw)


def test_bad_tables_are_named(tmp_path: Path) -> None:
    featurizer = CrystalFeaturizer()
    with pytest.raises(TrainingDataError, match="there is no file"):
        load_crystal_rows({"a": tmp_path / "absent.parquet"}, featurizer)
    (tmp_path / "text.parquet").write_text("cif,k_vrh_gpa")
    with pytest.raises(TrainingDataError, match="no readable Parquet"):
        load_crystal_rows({"a": tmp_path / "text.parquet"}, featurizer)
    pd.DataFrame({"cif": ["x"], "volume": [1.0]}).to_parquet(tmp_path / "columns.parquet")
    with pytest.raises(TrainingDataError, match="needs a column cif and one of k_vrh_gpa"):
        load_crystal_rows({"a": tmp_path / "columns.parquet"}, featurizer)
    pd.DataFrame({"cif": ["x"], "k_vrh_gpa": [10.0]}).to_parquet(tmp_path / "empty.parquet")
    with pytest.raises(TrainingDataError, match="no usable row"):
        load_crystal_rows({"a": tmp_path / "empty.parquet"}, featurizer)


@pytest.mark.parametrize("architecture", ["angles", "tensors"])
def test_a_stopped_run_that_goes_on_equals_an_unbroken_one(
    tables: dict[str, Path], rows: CrystalRows, tmp_path: Path, architecture: str
) -> None:
    config, used = config_of(tables, architecture), rows.fold != 0
    standard = rows.standardisation()
    whole = fit_crystal_network(config, rows, used, tmp_path / "whole", 5, standard)
    broken, calls = None, 0
    while broken is None:
        # A deadline that has passed stops after each epoch.
        late = time.monotonic()
        broken = fit_crystal_network(config, rows, used, tmp_path / "broken", 5, standard, deadline=late)
        calls += 1
        assert calls < 9
    assert calls > 1
    assert whole is not None
    for name, value in whole.items():
        torch.testing.assert_close(value, broken[name], atol=0, rtol=0)


def test_a_stage_without_rows_is_named(tables: dict[str, Path], rows: CrystalRows, tmp_path: Path) -> None:
    none = np.zeros(len(rows), dtype=bool)
    with pytest.raises(TrainingDataError, match="stage pretrain draws no row"):
        fit_crystal_network(config_of(tables), rows, none, tmp_path, 0, rows.standardisation())


def test_an_ensemble_is_judged_by_rows_its_members_have_not_seen(
    tables: dict[str, Path], tmp_path: Path
) -> None:
    config = config_of(tables, epochs=1)
    first = train_crystals(config, tmp_path / "run", "cpu", progress=False)
    assert first.checkpoint == tmp_path / "run" / "checkpoint"
    saved = np.load(tmp_path / "run" / OUT_OF_FOLD)
    assert saved["mean"].shape == saved["sd"].shape == (1, 32, 4)
    assert saved["label"].shape == (32, 4)
    assert np.isfinite(saved["mean"]).all()
    assert (saved["sd"] > 0).all()
    mae = np.nanmean(np.abs(saved["mean"][0] - saved["label"]), axis=0)
    entry = first.metrics["bulk_modulus_gpa"]["crystal"]
    assert entry["rows"] == 16
    assert entry["mae"] == pytest.approx(mae[0], rel=1e-4)
    assert set(first.metrics) == set(PREDICTED)
    assert json.loads((tmp_path / "run" / METRICS).read_text()) == first.metrics
    read = json.loads((tmp_path / "run" / "rows.json").read_text())
    assert read["elasticity"]["used"] == 16
    # A member that is done is not trained again; one that is gone is, to the same weights.
    before = (tmp_path / "run" / "member_1" / EVALUATED).read_bytes()
    shutil.rmtree(tmp_path / "run" / "member_1")
    again = train_crystals(config, tmp_path / "run", "cpu", progress=False)
    assert (tmp_path / "run" / "member_1" / EVALUATED).read_bytes() == before
    assert again.metrics == first.metrics
    with pytest.raises(ConfigError, match="another configuration"):
        train_crystals(config, tmp_path / "run", "cpu", seed=1, progress=False)


def test_shared_stages_see_no_row_that_judges(tables: dict[str, Path], rows: CrystalRows) -> None:
    config = config_of(tables, shared=True)
    energy = rows.source == rows.sources.index("energy")
    # Both tables hold the same salts, so nothing is left for the shared stage.
    assert not seen_rows(config, rows, -1).any()
    for number in range(4):
        seen = seen_rows(config, rows, number)
        assert not seen[rows.fold == number].any()
        assert not seen[energy & (rows.fold == 0)].any()
        assert seen[~energy & (rows.fold != number)].all()
    judges = judging_members(config, rows)
    np.testing.assert_array_equal(judges[~energy], rows.fold[~energy])
    assert set(judges[energy]) == {0, -1}
    alone = config_of(tables, shared=False)
    assert seen_rows(alone, rows, 1).sum() == (rows.fold != 1).sum()


def test_members_go_on_from_the_shared_stages(tmp_path: Path) -> None:
    tables = {"elasticity": tmp_path / "elasticity.parquet", "energy": tmp_path / "energy.parquet"}
    elasticity().head(16).to_parquet(tables["elasticity"])
    other = pd.concat([energies().head(16), cesium_energies()], ignore_index=True)
    other.to_parquet(tables["energy"])
    config = config_of(tables, epochs=1, shared=True, processes=2)
    result = train_crystals(config, tmp_path / "run", "cpu", progress=False)
    assert result.checkpoint is not None
    shared = load_state(tmp_path / "run" / "shared" / EVALUATED)
    member = load_state(tmp_path / "run" / "member_2" / EVALUATED)
    # One epoch of few steps moves every weight a little, from the shared ones on.
    name = "radial_in.weight" if "radial_in.weight" in shared else next(n for n in shared if "weight" in n)
    moved = (member[name] - shared[name]).abs().max()
    assert 0 < moved < 0.1
    saved = np.load(tmp_path / "run" / OUT_OF_FOLD)
    unjudged = np.isnan(saved["mean"]).all(axis=(0, 2))
    np.testing.assert_array_equal(unjudged, (saved["source"] == 1) & (saved["fold"] != 0))


def test_a_saved_ensemble_predicts_structures(tables: dict[str, Path], tmp_path: Path) -> None:
    result = train_crystals(config_of(tables, epochs=1), tmp_path / "run", "cpu", progress=False)
    predictor = CrystalPredictor.load(result.checkpoint, "cpu")
    crystals = Crystals.from_structures([Structure(Lattice.cubic(4.0), [c, a], ENDS) for c, a in SALTS[:3]])
    found = predictor.predict(crystals).properties
    assert set(found) == {*PREDICTED, "density_g_cm3"}
    assert found["bulk_modulus_gpa"].member_mean.shape == (4, 3)
    one = predictor.predict(crystals[np.array([1])]).properties
    for name, prediction in found.items():
        np.testing.assert_allclose(one[name].median(), prediction.median()[[1]], rtol=1e-5)
    k, g = found["bulk_modulus_gpa"].median(), found["shear_modulus_gpa"].median()
    assert found["youngs_modulus_gpa"].median() == pytest.approx(9 * k * g / (3 * k + g), rel=0.02)
    assert result.checkpoint is not None
    with pytest.raises(CheckpointError, match="ensemble on structures; give one that was trained on comp"):
        Predictor.load(result.checkpoint, "cpu")
    with pytest.raises(CheckpointError, match="ensemble on compositions; give one that was trained on str"):
        CrystalPredictor.load(PRETRAINED, "cpu")
    card = json.loads((result.checkpoint / "card.json").read_text())
    for name, odd in (
        ("graph", {"cutoff_angstrom": "far"}),
        ("network", []),
        ("config", []),
        ("config", {"structures": {"folds": "five"}}),
        ("standardisation", {"mean": "low"}),
        ("support", {}),
        ("elements", [900]),
        ("calibration", {}),
    ):
        (result.checkpoint / "card.json").write_text(json.dumps(card | {name: odd}))
        with pytest.raises(CheckpointError, match="incomplete or from another version"):
            CrystalPredictor.load(result.checkpoint, "cpu")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda raw: raw["ensemble"].update(members=5), "ensemble.members 5 must be a multiple of"),
        (lambda raw: raw["training"]["stages"][1].update(shared=True), "shared stages come first"),
        (
            lambda raw: raw["training"]["stages"][0].update(shared=True, passes={}),
            "a shared stage needs passes",
        ),
    ],
)
def test_odd_ensembles_are_refused(tables: dict[str, Path], change: Any, message: str) -> None:
    raw = config_of(tables).model_dump()
    change(raw)
    with pytest.raises(ValueError, match=message):
        CrystalTrainingConfig.model_validate(raw)


def test_the_shipped_configurations_are_whole_but_for_the_tables(tmp_path: Path) -> None:
    for name in ("crystal_angles.toml", "crystal_tensors.toml"):
        with pytest.raises(ConfigError, match=r"no file .*elasticity_structures.parquet .*docs/crystals.md"):
            load_crystal_config(CONFIGS / name)
        shutil.copy(CONFIGS / name, tmp_path)
        for table in ("elasticity_structures.parquet", "formation_energy_structures.parquet"):
            (tmp_path / table).touch()
        config = load_crystal_config(tmp_path / name)
        assert config.structures.tables["elasticity"] == tmp_path / "elasticity_structures.parquet"
        assert config.network.architecture in name


def test_a_stage_may_draw_from_known_tables_only(tables: dict[str, Path]) -> None:
    raw = config_of(tables).model_dump()
    raw["training"]["stages"][0]["passes"] = {"elsewhere": 1.0}
    with pytest.raises(ValueError, match=r"stage pretrain draws from elsewhere; structures\.tables has"):
        CrystalTrainingConfig.model_validate(raw)


def test_the_command_trains_on_structures_and_names_what_is_absent(
    tables: dict[str, Path], tmp_path: Path
) -> None:
    done = CliRunner().invoke(
        app, ["train", str(CONFIGS / "crystal_angles.toml"), "--out", str(tmp_path / "x")]
    )
    assert done.exit_code == 2
    assert "docs/crystals.md" in " ".join(done.output.split())
    config = tmp_path / "config.json"
    config.write_text(config_of(tables, "angles", epochs=1).model_dump_json())
    command = ["train", str(config), "--out", str(tmp_path / "run"), "--device", "cpu"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert "bulk_modulus_gpa" in done.output
    assert (tmp_path / "run" / METRICS).is_file()


def test_a_card_without_some_unit_is_refused(tiny_crystal_weights: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_crystal_weights, tmp_path / "weights")
    path = tmp_path / "weights" / "card.json"
    card = json.loads(path.read_text())
    card["standardisation"]["mean"].pop()
    path.write_text(json.dumps(card))
    with pytest.raises(CheckpointError, match="states no unit for some property"):
        CrystalPredictor.load(tmp_path / "weights", "cpu")
