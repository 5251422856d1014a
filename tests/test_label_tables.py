"""Finished label jobs become tables with cards; the order of the jobs; potential labels in training."""

from __future__ import annotations

import gzip
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Lattice, Structure

from softlyte.datasets.cards import read_card
from softlyte.datasets.errors import UserError
from softlyte.datasets.tables import read_rows
from softlyte.models.training_data import DEFAULT_TABLES, SOURCES
from softlyte.screening.crystals.generate import plain_structure
from softlyte.screening.crystals.substitution import Crystal
from softlyte.screening.physics.crystal_labels import label_order
from softlyte.screening.physics.job_folder import JobFolder
from softlyte.screening.physics.label_tables import main, reference_energies
from softlyte.screening.physics.reference_labels import competing_phases

ROCK_SALT = Structure.from_spacegroup(
    "Fm-3m", Lattice.cubic(5.13), ["Li", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]
).get_primitive_structure()
CONFIG = {"job": "test", "potential": "diep", "weights": "0123456789abcdef"}


def record(**more: Any) -> dict[str, Any]:
    return {
        "formula": "LiCl",
        "atoms": 2,
        "energy_ev_atom": -4.0,
        "volume_a3_atom": 16.9,
        "density_g_cm3": 2.07,
        "volume_change": -0.02,
        "max_force_ev_a": 0.01,
        "topology": "kept",
        "problem": "",
        "structure": plain_structure(ROCK_SALT),
        "cpu_s": 1.5,
        **more,
    }


MODULI = {"bulk_modulus_gpa": 39.0, "shear_modulus_gpa": 20.0, "youngs_modulus_gpa": 51.2, "elastic_r2": 0.99}


@pytest.fixture
def jobs(tmp_path: Path) -> Path:
    crystals, glasses = JobFolder(tmp_path / "c", CONFIG), JobFolder(tmp_path / "g", CONFIG)
    references = JobFolder(tmp_path / "r", CONFIG)
    for name, more in (
        ("LiCl-1", MODULI),
        ("LiCl-2", MODULI | {"problem": "mechanically unstable"}),
        ("LiCl-3", {"problem": "exploded", "volume_change": 0.9}),
    ):
        crystals.save(name, {"key": name, **record(name=name, parent="p", **more)})
    crystals.save("bad", {"key": "bad", "problem": "PhysicsError: unknown element"})
    glass = record(cell="LiCl", seed=0, atoms=40, energy_ev_atom=-3.9, **MODULI)
    glasses.save("LiCl-0", {"key": "LiCl-0", **glass})
    for formula, energy in (("Li", -2.0), ("Na", -1.0), ("NaCl", -3.5), ("LiCl", -4.0), ("LiCl", -3.0)):
        key = f"{formula}{energy}"
        references.save(key, {"key": key, **record(formula=formula, energy_ev_atom=energy, source_id="mp-1")})
    return tmp_path


def test_tables_and_cards_agree(jobs: Path) -> None:
    out = jobs / "tables"
    main([jobs / "r"], out, jobs / "c", jobs / "g")
    for name, suffix in (
        ("potential_crystals", ".csv.gz"),
        ("potential_glasses", ".csv"),
        ("potential_references", ".csv"),
    ):
        card = read_card(out / f"{name}.yaml")
        content = (out / f"{name}{suffix}").read_bytes()
        frame = read_rows(gzip.decompress(content) if suffix.endswith("gz") else content, card)
        assert len(frame) == card.rows
        if name == "potential_crystals":
            crystals = frame.set_index("name")
        if name == "potential_glasses":
            glass = frame.iloc[0]
    assert crystals.loc["LiCl-1", "flag"] == ""
    assert np.isnan(crystals.loc["LiCl-2", "bulk_modulus_gpa"])
    assert "bulk_modulus_gpa:mechanically_unstable=39.000" in crystals.loc["LiCl-2", "flag"]
    assert crystals.loc["LiCl-3", "flag"] == "exploded"
    assert Structure.from_str(crystals.loc["LiCl-1", "cif"], fmt="cif").composition.reduced_formula == "LiCl"
    # The glass is measured from the lowest LiCl of the references.
    assert glass["energy_above_crystals_ev_atom"] == pytest.approx(0.1, abs=1e-4)
    log = pd.read_csv(out / "potential_crystals.log.csv")
    assert log["cpu_s"].sum() == pytest.approx(4.5)


def test_the_lowest_sound_energy_counts() -> None:
    found = reference_energies(
        [record(energy_ev_atom=-3.0), record(), record(energy_ev_atom=-9.0, problem="exploded")]
    )
    assert found == {"LiCl": -4.0}


def test_every_beginning_of_the_crystal_job_is_diverse() -> None:
    crystals = [
        Crystal(f"{f}-{n}", f, parent, 1.0 - n / 10, ROCK_SALT)
        for parent in ("a", "b")
        for f in ("LiCl", "NaCl", "LiBr", "NaF")
        for n in range(3)
    ]
    order = label_order(crystals)
    assert Counter(c.name for c in order) == Counter(c.name for c in crystals)
    first = order[:6]
    assert len({(c.parent, c.formula[-2:]) for c in first}) == 6


def test_potential_tables_are_learned_from_only_when_asked() -> None:
    assert {"potential_crystals", "potential_glasses"} <= set(SOURCES)
    assert not {"potential_crystals", "potential_glasses"} & set(DEFAULT_TABLES)


def test_competing_phases_are_near_the_hull_and_simple(tmp_path: Path) -> None:
    rows = {"LiCl": -2.0, "Li": 0.0, "NaCl": -2.1, "LiNaCl2": -2.0, "KCl": -2.2}
    frame = pd.DataFrame(
        {
            "mp_id": [f"mp-{n}" for n in range(len(rows))],
            "formula": list(rows),
            "formation_energy_ev_atom": list(rows.values()),
            "cif": [str(ROCK_SALT.to(fmt="cif"))] * len(rows),
        }
    )
    frame.to_parquet(tmp_path / "s.parquet")
    found = [phase.formula for phase in competing_phases(tmp_path / "s.parquet")]
    assert found == ["Li", "LiCl", "NaCl"]


def test_packed_results_go_on_elsewhere(tmp_path: Path) -> None:
    config = {"job": "glasses", "weights": "1"}
    first = JobFolder(tmp_path / "first", config)
    for key in ("a", "b"):
        first.save(key, {"key": key, "value": 0.1})
    packed = tmp_path / "packed.jsonl.gz"
    assert first.pack(packed) == 2
    content = packed.read_bytes()
    second = JobFolder(tmp_path / "second", config)
    second.save("b", {"key": "b", "value": 0.2})
    assert second.unpack(packed) == 1
    assert [record["value"] for record in second.results()] == [0.1, 0.2]
    assert JobFolder(tmp_path / "first", config).pack(tmp_path / "again.jsonl.gz") == 2
    assert (tmp_path / "again.jsonl.gz").read_bytes() == content
    with pytest.raises(UserError, match=r"other settings \(weights\)"):
        JobFolder(tmp_path / "third", config | {"weights": "2"}).unpack(packed)
    (tmp_path / "text").write_text("no results")
    with pytest.raises(UserError, match="no packed results"):
        second.unpack(tmp_path / "text")
