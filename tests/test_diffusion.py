"""Diffusion of the mobile ion: analysis of known walks, and a short real run that is stopped and goes on."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure
from typer.testing import CliRunner

from softlyte.cli.app import app
from softlyte.datasets.errors import UserError

pytestmark = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("ase", "diep", "kinisi", "matcalc")),
    reason="the extra 'physics' (matcalc, ASE, diep, kinisi, sevenn) is not installed",
)

ROCK_SALT = Structure.from_spacegroup(
    "Fm-3m", Lattice.cubic(5.13), ["Li", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]
)


def test_conductivity_of_nernst_and_einstein() -> None:
    from softlyte.screening.physics.diffusion import nernst_einstein_ms_cm

    # n q^2 D / kT by hand: 2e22/cm3, 1e-8 cm2/s, 300 K.
    by_hand = 2e28 * 1.602176634e-19**2 * 1e-12 / (1.380649e-23 * 300) * 10
    assert nernst_einstein_ms_cm(np.array([1e-8]), 2e22, 300.0)[0] == pytest.approx(by_hand)


def test_a_random_walk_gives_its_own_diffusivity() -> None:
    from softlyte.screening.physics.diffusion import MdSettings, diffusivity_samples

    cell = ROCK_SALT * (2, 2, 2)
    rng = np.random.default_rng(0)
    ions = np.array([site.specie.symbol == "Li" for site in cell])
    samples, step_ps, diffusivity = 1500, 0.02, 1e-4
    # <x2> = 2 D t along each axis; 1 cm2/s is 1e4 angstrom2/ps.
    width = np.sqrt(2 * diffusivity * 1e4 * step_ps)
    moves = rng.normal(0.0, width, (samples, len(cell), 3)) * ions[None, :, None]
    positions = cell.cart_coords[None] + np.cumsum(moves, axis=0)
    plan = MdSettings(duration_ps=samples * step_ps, fit_from_ps=1.0, sample_fs=20.0)
    found = diffusivity_samples(positions, cell, "Li", plan)
    assert np.median(found) == pytest.approx(diffusivity, rel=0.15)
    assert found.std() / found.mean() < 0.3
    again = diffusivity_samples(positions, cell, "Li", plan)
    assert np.array_equal(found, again)


def test_arrhenius_finds_the_energy_put_in() -> None:
    from softlyte.screening.physics.diffusion import K_EV, arrhenius_fit

    rng = np.random.default_rng(1)
    samples = {}
    for kelvin in (600.0, 750.0, 900.0):
        value = 1e-3 * np.exp(-0.3 / (K_EV * kelvin))
        samples[kelvin] = rng.normal(value, 0.05 * value, 2000)
    fit = arrhenius_fit(samples, ROCK_SALT, "Li")
    assert fit["activation_energy_ev"] == pytest.approx(0.3, abs=0.03)
    assert fit["activation_energy_ev_lower"] < 0.3 < fit["activation_energy_ev_upper"]
    assert fit["sigma_25c_ms_cm_lower"] < fit["sigma_25c_ms_cm"] < fit["sigma_25c_ms_cm_upper"]


def test_a_stopped_run_ends_with_the_same_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from softlyte.screening.physics import diffusion

    monkeypatch.setattr(diffusion, "BLOCK_STEPS", 10)
    plan = diffusion.MdSettings(
        duration_ps=0.06, equilibration_ps=0.02, fit_from_ps=0.01, sample_fs=2.0, shortest_a=5.0
    )
    primitive = ROCK_SALT.get_primitive_structure()
    diffusion.diffuse(primitive, tmp_path / "whole", (500.0,), settings=plan)
    shutil.copytree(tmp_path / "whole", tmp_path / "stopped")
    blocks = sorted((tmp_path / "stopped" / "tasks" / "results").glob("500K-*.json"))
    assert len(blocks) == 4
    for block in blocks[2:]:
        block.unlink()
    (tmp_path / "stopped" / "diffusion.csv").unlink()
    diffusion.diffuse(primitive, tmp_path / "stopped", (500.0,), settings=plan)
    written = [(tmp_path / name / "diffusion.csv").read_bytes() for name in ("whole", "stopped")]
    assert written[0] == written[1]
    assert b"LiCl,Li,500" in written[0]


def test_mistakes(tmp_path: Path) -> None:
    from softlyte.screening.physics.diffusion import MdSettings, diffuse

    salt = Structure.from_spacegroup("Fm-3m", Lattice.cubic(6.3), ["K", "Cl"], [[0, 0, 0], [0.5] * 3])
    with pytest.raises(UserError, match="neither Li nor Na"):
        diffuse(salt, tmp_path)
    with pytest.raises(UserError, match="too short"):
        diffuse(ROCK_SALT, tmp_path, settings=MdSettings(duration_ps=5.0))
    with pytest.raises(UserError, match="positive"):
        diffuse(ROCK_SALT, tmp_path, ())
    ROCK_SALT.to(filename=str(tmp_path / "a.cif"))
    command = ["diffuse", str(tmp_path / "a.cif"), "--out", str(tmp_path / "o"), "--duration", "1"]
    assert CliRunner().invoke(app, command).exit_code == 2
