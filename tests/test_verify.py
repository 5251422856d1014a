"""The physics check: job folders, hulls of one potential, verdicts, and one crystal under DIEP."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Lattice, Structure
from typer.testing import CliRunner

from softlyte.cli.app import app
from softlyte.datasets.columns import MERGED_VERIFIED_COLUMNS, VERIFIED_COLUMNS, VERIFIED_POTENTIAL_COLUMNS
from softlyte.datasets.enthalpies import load_experimental_enthalpies
from softlyte.datasets.errors import UserError
from softlyte.datasets.formulas import Compositions
from softlyte.models.predictor import Predictor
from softlyte.screening.costing import default_costing
from softlyte.screening.evaluate import default_hull, evaluate
from softlyte.screening.funnel import screen
from softlyte.screening.physics import rerank
from softlyte.screening.physics.competing import PotentialHull, competing_formulas
from softlyte.screening.physics.elasticity import Elastic, Relaxed
from softlyte.screening.physics.glasses import cell_composition, glass_tasks, random_cell, sample_rng
from softlyte.screening.physics.job_folder import JobFolder
from softlyte.screening.physics.potentials import PhysicsError, check_device, find_potential
from softlyte.screening.physics.verdict import by_potential_table, place_on_hull, verified_table
from softlyte.screening.physics.verify import read_subjects, verify
from softlyte.screening.targets import load_targets

ROCK_SALT = Structure.from_spacegroup(
    "Fm-3m", Lattice.cubic(5.13), ["Li", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]
).get_primitive_structure()

needs_diep = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("diep", "matcalc", "ase")),
    reason="the extra 'physics' (matcalc, ASE, diep, sevenn) is not installed",
)
needs_ase = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("matcalc", "ase")),
    reason="the extra 'physics' (matcalc, ASE, diep, sevenn) is not installed",
)


# --- job folders ----------------------------------------------------------------------------------------


def double(value: int) -> dict[str, int]:
    if value < 0:
        raise ValueError("it is negative")
    return {"doubled": 2 * value}


@pytest.mark.parametrize("workers", [1, 2])
def test_a_job_goes_on_where_it_stopped(tmp_path: Path, workers: int) -> None:
    tasks = [(f"t{i}", i) for i in (3, 1, -1, 2)]
    whole = JobFolder(tmp_path / "whole", {"a": 1}).run_parallel(tasks, double, workers)
    assert list(whole) == ["t3", "t1", "t-1", "t2"]
    assert whole["t2"] == {"key": "t2", "doubled": 4}
    assert whole["t-1"]["problem"] == "ValueError: it is negative"
    stopped = JobFolder(tmp_path / "stopped", {"a": 1})
    stopped.run_parallel(tasks[:2], double, 1)
    before = (stopped.folder / "results" / "t3.json").stat().st_mtime_ns
    assert JobFolder(tmp_path / "stopped", {"a": 1}).run_parallel(tasks, double, workers) == whole
    assert (stopped.folder / "results" / "t3.json").stat().st_mtime_ns == before


def test_a_folder_of_another_job_is_refused(tmp_path: Path) -> None:
    JobFolder(tmp_path, {"potential": "a"})
    with pytest.raises(UserError, match="other settings \\(potential\\)"):
        JobFolder(tmp_path, {"potential": "b"})


def test_tasks_in_order_keep_a_failure_and_go_on(tmp_path: Path) -> None:
    folder = JobFolder(tmp_path, {})
    assert [r.get("problem", "") for r in folder.run([("a", -1), ("b", 1)], double)] == [
        "ValueError: it is negative",
        "",
    ]
    events = [json.loads(line)["event"] for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert events == ["start", "done", "start", "done"]


# --- potentials -----------------------------------------------------------------------------------------


def test_an_absent_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(PhysicsError, match=r"pip install 'softlyte\[physics\]'"):
        find_potential("diep")


@needs_ase
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("diap", "there is no potential 'diap'"),
        ("no.such.Thing", "cannot be imported"),
        ("os.sep", "cannot be called"),
    ],
)
def test_wrong_potentials_get_a_sentence(name: str, message: str) -> None:
    with pytest.raises(PhysicsError, match=message):
        find_potential(name)


@needs_ase
def test_a_path_that_gives_no_calculator(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PhysicsError, match="does not return an ASE calculator"):
        find_potential("builtins.dict").load("cpu")


def test_unknown_device() -> None:
    with pytest.raises(PhysicsError, match="take cpu or cuda"):
        check_device("tpu")


# --- what is wrong with a structure ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "converged", "energy", "problem"),
    [
        (0.05, True, -3.0, ""),
        (0.05, False, -3.0, "unconverged"),
        (0.8, True, -3.0, "exploded"),
        (-0.5, False, -3.0, "collapsed"),
        (0.0, True, float("nan"), "exploded"),
    ],
)
def test_relaxations_are_judged(change: float, converged: bool, energy: float, problem: str) -> None:
    assert Relaxed(ROCK_SALT, energy, change, 0.01, converged).problem == problem


def test_youngs_modulus_and_unsound_tensors() -> None:
    sound = Elastic(np.eye(6), 30.0, 20.0, 0.99, 1.0)
    assert sound.youngs_gpa == pytest.approx(9 * 30 * 20 / (90 + 20))
    assert sound.problem == ""
    assert Elastic(np.eye(6), 30.0, 20.0, 0.99, -1.0).problem == "mechanically unstable"
    assert Elastic(np.eye(6), 30.0, 20.0, 0.5, 1.0).problem == "stress not linear in strain"


# --- hulls ----------------------------------------------------------------------------------------------


def measured(formula: str) -> float:
    table = load_experimental_enthalpies().set_index("formula")
    return float(table.loc[formula, "formation_enthalpy_ev_atom"])


ENERGIES = {"Li": -2.0, "Na": -1.0, "LiCl": -4.0, "NaCl": -3.5}


def test_competing_phases_hold_elements_anchors_and_known_phases() -> None:
    found = competing_formulas(["Li", "Al", "Cl"])
    assert {"Li", "Na", "Al", "LiCl", "NaCl", "LiAlCl4"} <= set(found)
    assert "Cl" not in found
    assert found == competing_formulas(["Cl", "Li", "Al"])


def test_non_metals_are_anchored_to_measured_salts() -> None:
    hull = PotentialHull("test", ENERGIES, ())
    levels = hull.chemical_potentials()
    expected = [2 * (e - measured(s)) - m for s, e, m in (("LiCl", -4.0, -2.0), ("NaCl", -3.5, -1.0))]
    assert levels["Cl"] == pytest.approx(np.mean(expected))
    errors = [hull.formation_energy(s, ENERGIES[s]) - measured(s) for s in ("LiCl", "NaCl")]
    # What the anchor cannot mend is shared evenly.
    assert sum(errors) == pytest.approx(0.0, abs=1e-9)
    assert np.isnan(hull.formation_energy("MgCl2", -3.0))


class FakeReferences:
    """References whose energies are all known."""

    def __init__(self, energies: Mapping[str, float]) -> None:
        self.energies = energies

    def hull(self, formulas: Any) -> PotentialHull:
        known = {f: self.energies[f] for f in formulas if f in self.energies}
        return PotentialHull("test", known, tuple(f for f in formulas if f not in known))


def record(energy: float, **more: Any) -> dict[str, Any]:
    return {"energy_ev_atom": energy, "max_force_ev_a": 0.01, "topology": "kept", "problem": "", **more}


def test_a_higher_polymorph_is_above_the_lower_one() -> None:
    subjects = [("low", "LiCl"), ("high", "LiCl"), ("lost", "LiCl")]
    records = {"low": record(-4.1), "high": record(-3.95), "lost": record(-9.0, problem="exploded")}
    low, high, lost = place_on_hull("test", subjects, records, FakeReferences(ENERGIES))  # type: ignore[arg-type]
    assert low.e_above_hull_ev_atom < -1  # against the elements
    assert high.e_above_hull_ev_atom == pytest.approx(0.15)
    assert low.oxidation_v == pytest.approx(-2 * low.formation_energy_ev_atom, abs=1e-6)
    assert lost.status == "exploded"
    assert np.isnan(lost.e_above_hull_ev_atom)
    assert lost.reason == "no sound relaxation"


def test_tables_hold_means_spreads_and_disagreement() -> None:
    subject = SimpleNamespace(name="x", formula="LiCl", source="a.cif")
    nothing = SimpleNamespace(name="y", formula="LiTaOCl4", source="")
    verdicts = []
    for potential, modulus in (("a", 40.0), ("b", 60.0)):
        records = {"x": record(-4.1, youngs_modulus_gpa=modulus, volume_change=0.2)}
        verdicts += place_on_hull(potential, [("x", "LiCl")], records, FakeReferences(ENERGIES))  # type: ignore[arg-type]
    network = pd.DataFrame(
        {
            "formula": ["LiCl"],
            **{f"{c}_lower": [0.0] for c in ("youngs_modulus_gpa", "e_above_hull_ev_atom")},
            **{f"{c}_upper": [10.0] for c in ("youngs_modulus_gpa", "e_above_hull_ev_atom")},
            **{f"{c}_{end}": [np.nan] for c in ("oxidation_v", "reduction_v") for end in ("lower", "upper")},
        }
    ).set_index("formula")
    table = verified_table([subject, nothing], verdicts, network)
    assert list(table.columns) == list(VERIFIED_COLUMNS)
    row = table.iloc[0]
    assert row["verified_youngs_modulus_gpa"] == 50
    assert row["verified_modulus_spread"] == pytest.approx(0.4)
    assert row["network_check"] == "youngs modulus above its interval"
    assert "potentials disagree on the modulus" in row["verify_notes"]
    assert "large volume change" in row["verify_notes"]
    assert table.iloc[1]["verify_status"] == "no structure"
    assert list(by_potential_table(verdicts).columns) == list(VERIFIED_POTENTIAL_COLUMNS)


# --- what to verify -------------------------------------------------------------------------------------


def test_mistakes_in_the_sources(tmp_path: Path) -> None:
    table = tmp_path / "c.csv"
    table.write_text("formula\nLiCl\n")
    with pytest.raises(UserError, match="nothing to verify"):
        read_subjects([])
    with pytest.raises(UserError, match="comes with other files"):
        read_subjects([table, tmp_path / "a.cif"])
    with pytest.raises(UserError, match="no such file"):
        read_subjects([tmp_path / "a.cif"])
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        ROCK_SALT.to(filename=str(tmp_path / folder / "a.cif"))
    with pytest.raises(UserError, match="two structures are called a"):
        read_subjects([tmp_path / "one" / "a.cif", tmp_path / "two" / "a.cif"])


@needs_ase
@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["--potential", "nope"], "there is no potential"), (["--workers", "0"], "workers")],
)
def test_command_mistakes(arguments: list[str], message: str, tmp_path: Path) -> None:
    ROCK_SALT.to(filename=str(tmp_path / "LiCl.cif"))
    command = ["verify", str(tmp_path / "LiCl.cif"), "--out", str(tmp_path / "out"), *arguments]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 2
    assert message in " ".join(result.output.split())


# --- glasses --------------------------------------------------------------------------------------------


def test_random_cells_are_reproducible_and_roomy() -> None:
    composition = cell_composition("LiAlCl4")
    assert composition.num_atoms == 42
    first, second = (random_cell(composition, sample_rng("LiAlCl4", 3)) for _ in range(2))
    assert first == second
    assert random_cell(composition, sample_rng("LiAlCl4", 4)) != first
    distances = first.distance_matrix + 99 * np.eye(42)
    assert distances.min() > 1.5
    with pytest.raises(PhysicsError, match="broken subscripts"):
        cell_composition("LiAlCl2.5O0.75")
    with pytest.raises(PhysicsError, match="no anion"):
        random_cell(cell_composition("Li"), sample_rng("Li", 0))


def test_first_samples_come_before_second_ones() -> None:
    seeds = [seed for _, (_, seed) in glass_tasks(2)]
    assert seeds == sorted(seeds)


# --- the whole path -------------------------------------------------------------------------------------


@needs_diep
@pytest.mark.slow
def test_one_crystal_under_diep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Relaxation, elastic tensor, hull, comparison; and the same files when a result is computed again."""
    monkeypatch.setenv("SOFTLYTE_CACHE_DIR", str(tmp_path / "cache"))
    ROCK_SALT.to(filename=str(tmp_path / "LiCl.cif"))
    result = verify([tmp_path / "LiCl.cif"], tmp_path / "out", potentials=["diep"], workers=1)
    row = result.verified.iloc[0]
    assert row["verify_status"] == "ok"
    # benchmarks/potentials.py compares with measured values.
    assert 45 < row["verified_youngs_modulus_gpa"] < 58
    assert row["verified_formation_energy_ev_atom"] == pytest.approx(measured("LiCl"), abs=0.05)
    assert row["verified_oxidation_v"] == pytest.approx(
        -2 * row["verified_formation_energy_ev_atom"], abs=0.01
    )
    before = (tmp_path / "out" / "verified.csv").read_bytes()
    (tmp_path / "out" / "tasks" / "results" / "LiCl-diep.json").unlink()
    verify([tmp_path / "LiCl.cif"], tmp_path / "out", potentials=["diep"], workers=1)
    assert (tmp_path / "out" / "verified.csv").read_bytes() == before


# --- a ranking after the check --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def screened(tmp_path_factory: pytest.TempPathFactory, tiny_weights: Path) -> tuple[Predictor, pd.DataFrame]:
    folder = tmp_path_factory.mktemp("screened")
    (folder / "mine.csv").write_text("formula\nLiAlCl4\nLi3YCl6\nLi2ZrCl6\n")
    predictor = Predictor.load(tiny_weights, "cpu")
    result = screen(candidates=folder / "mine.csv", out=folder / "run", predictor=predictor, report=False)
    return predictor, result.candidates


def checked(formulas: list[str], **values: float) -> pd.DataFrame:
    table = pd.DataFrame({name: [np.nan] * len(formulas) for name in VERIFIED_COLUMNS}, dtype=object)
    table["formula"], table["structure"], table["verify_status"] = formulas, formulas, "ok"
    for name in VERIFIED_COLUMNS:
        if name.startswith("verified_") and name != "verified_potentials":
            table[name] = table[name].astype(float)
    for name, value in values.items():
        table[f"verified_{name}"] = value
    return table


@pytest.mark.parametrize(("above_hull", "sign"), [(0.4, -1), (-0.02, 1)])
def test_what_the_potentials_say_moves_the_ranking(
    screened: tuple[Predictor, pd.DataFrame],
    above_hull: float,
    sign: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    predictor, ranked = screened
    name = "Li3YCl6"
    table = checked([name], e_above_hull_ev_atom=above_hull, hull_spread_ev_atom=0.01)
    monkeypatch.setattr(rerank, "subjects_from_compositions", lambda formulas: [])
    monkeypatch.setattr(rerank, "verify_subjects", lambda *a, **k: SimpleNamespace(verified=table))
    targets = load_targets()
    merged = rerank.verified_ranking(ranked, 2, tmp_path, predictor, targets, default_costing())
    before = ranked.set_index(["formula", "phase"])["p_all_targets"]
    after = merged.set_index(["formula", "phase"])["p_all_targets"]
    for phase in ("crystal", "glass"):
        if (name, phase) in before.index:
            assert sign * (after[name, phase] - before[name, phase]) > 0
    # The others keep theirs, and the order is that of the new probabilities.
    assert after["LiAlCl4", "crystal"] == before["LiAlCl4", "crystal"]
    assert list(merged["rank"]) == list(range(1, len(merged) + 1))
    assert merged["p_all_targets"].is_monotonic_decreasing
    assert (merged["verify_status"] == "ok").sum() == (merged["formula"] == name).sum()


def test_a_checked_screening_keeps_the_columns_in_every_table(
    tmp_path: Path, tiny_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = checked(["Li3YCl6"], e_above_hull_ev_atom=0.4, hull_spread_ev_atom=0.01)
    monkeypatch.setattr(rerank, "subjects_from_compositions", lambda formulas: [])
    monkeypatch.setattr(rerank, "verify_subjects", lambda *a, **k: SimpleNamespace(verified=table))
    (tmp_path / "mine.csv").write_text("formula\nLiAlCl4\nLi3YCl6\nLi2ZrCl6\n")
    predictor = Predictor.load(tiny_weights, "cpu")
    found = screen(
        candidates=tmp_path / "mine.csv", out=tmp_path, predictor=predictor, report=False, top=4, verify=2
    )
    best = pd.read_csv(tmp_path / "candidates.csv")
    every = pd.read_parquet(tmp_path / "candidates.parquet")
    assert list(best.columns) == list(every.columns)
    assert set(MERGED_VERIFIED_COLUMNS) < set(every.columns)
    assert len(best) == len(found.candidates) == 4
    assert every["rank"].tolist() == [1, 2, 3, 4, 5, 6]
    assert every["formula"].tolist()[:4] == best["formula"].tolist()
    assert (every["verify_status"] == "ok").sum() >= 1
    assert every["verify_status"].iloc[4:].isna().all()


def test_verified_moduli_count_for_crystals_only(screened: tuple[Predictor, pd.DataFrame]) -> None:
    predictor, ranked = screened
    rows = ranked[ranked["formula"] == "LiAlCl4"].copy()
    values = {"bulk_modulus_gpa": 20.0, "shear_modulus_gpa": 10.0}
    for name in MERGED_VERIFIED_COLUMNS:
        rows[name] = values.get(name.removeprefix("verified_"), np.nan)
    compositions = Compositions.from_formulas(rows["formula"])
    phase = rows["phase"].map(["crystal", "glass"].index).to_numpy(np.uint8)
    known = evaluate(compositions, phase, predictor, default_hull())
    found = rerank.potential_overrides(rows, known)
    youngs = found["youngs_modulus_gpa"].median()
    before = known.assessment.predictions["youngs_modulus_gpa"].median()
    for row, glass in enumerate(phase):
        expected = before[row] if glass else 9 * 20 * 10 / (60 + 10)
        assert youngs[row] == pytest.approx(expected, rel=1e-6)
    hull = known.assessment.predictions["e_above_hull_ev_atom"].median()
    assert found["e_above_hull_ev_atom"].median() == pytest.approx(hull)


def test_screen_refuses_a_check_without_the_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(PhysicsError, match="install the extra"):
        screen(out=tmp_path, verify=3)
    with pytest.raises(UserError, match="verify is -1"):
        screen(out=tmp_path, verify=-1)
