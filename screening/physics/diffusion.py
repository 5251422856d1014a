"""Diffusion of the mobile ion by molecular dynamics: diffusivity, conductivity, activation energy.

Mean squared displacements and their errors, the diffusivity's distribution and the Arrhenius fit are kinisi's
(McCluskey et al., J. Chem. Theory Comput. 21, 79 (2025), doi 10.1021/acs.jctc.4c01249). The conductivity is
that of Nernst and Einstein, sigma = n q mu with mu = q D / kT: ions that move independently.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr
from dataclasses import asdict, dataclass
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pymatgen.core import Structure
from scipy.constants import elementary_charge, k

from softlyte.datasets.columns import DIFFUSION_COLUMNS
from softlyte.datasets.errors import UserError
from softlyte.featurize.phase_diagram import MOBILE_IONS
from softlyte.screening.crystals.generate import plain_structure
from softlyte.screening.export import write_csv
from softlyte.screening.physics.elasticity import relax
from softlyte.screening.physics.job_folder import JobFolder, one_thread_here
from softlyte.screening.physics.potentials import PhysicsError, find_potential, load_calculator
from softlyte.screening.physics.velocities import set_thermal_velocities

if TYPE_CHECKING:
    from ase import Atoms
    from ase.calculators.calculator import Calculator

DIFFUSION_FILE, SUMMARY_FILE, TASKS_FOLDER = "diffusion.csv", "arrhenius.json", "tasks"
BLOCK_STEPS = 250
"""Steps between two checkpoints."""
ROOM_K = 298.15
LEVEL = 0.90
K_EV = k / elementary_charge
"""Boltzmann's constant in eV/K."""
HOTTEST_FACTOR = 4.0
LARGEST_MEAN_DISPLACEMENT_A = 3.0
"""Root mean square displacement of the framework at which it has melted."""
HIGHEST_ENERGY_EV, PREFACTORS_CM2_S = 2.0, (1e-8, 1e2)
"""Bounds of the prior of activation energy (uniform) and prefactor (log-uniform)."""

FloatArray = NDArray[np.float64]
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class MdSettings:
    """How the dynamics is run.

    Attributes:
        duration_ps: that displacements are taken from.
        equilibration_ps: before it.
        timestep_fs: of the integration.
        sample_fs: between two stored positions.
        fit_from_ps: shortest interval of the fit; below it ions rattle in their cages.
        shortest_a: least length of the supercell's edges.
        seed: of velocities, thermostat and sampling.
    """

    duration_ps: float = 50.0
    equilibration_ps: float = 5.0
    timestep_fs: float = 2.0
    sample_fs: float = 20.0
    fit_from_ps: float = 5.0
    shortest_a: float = 9.0
    seed: int = 0


@dataclass(frozen=True)
class DiffusionResult:
    """Results as they lie in `folder`.

    Attributes:
        folder: holds diffusion.csv, arrhenius.json and the checkpoints.
        table: DIFFUSION_COLUMNS, one row for each temperature.
        arrhenius: activation energy and conductivity at room temperature with their 90% intervals; empty
            with fewer than two temperatures.
    """

    folder: Path
    table: pd.DataFrame
    arrhenius: dict[str, float]


def diffuse(
    structure: Structure,
    out: Path | str,
    temperatures_k: Sequence[float] = (600.0, 750.0, 900.0),
    potential: str = "diep",
    device: str = "cpu",
    settings: MdSettings | None = None,
    progress: Progress | None = None,
) -> DiffusionResult:
    """Relax a crystal, run dynamics at each temperature and analyse the mobile ion's displacements.

    A run that was stopped goes on from its last checkpoint and ends with the same files.

    Args:
        structure: ordered, with Li or Na.
        out: folder for the results.
        temperatures_k: at constant volume of the relaxed crystal.
        potential: name or dotted path.
        device: "cpu" or "cuda".
        settings: None for the usual ones.
        progress: called with the temperature, steps done and in all.

    Raises:
        UserError: no mobile ion, impossible settings, a crystal that does not relax or melts.
    """
    plan = MdSettings() if settings is None else settings
    ion = next((name for name in MOBILE_IONS if structure.composition[name] > 0), None)
    if ion is None:
        name = structure.composition.reduced_formula
        raise UserError(f"{name} holds neither Li nor Na; give an electrolyte")
    if not temperatures_k or min(temperatures_k) <= 0:
        raise UserError("temperatures are positive, in kelvin, and at least one; correct them")
    if plan.duration_ps <= 2 * plan.fit_from_ps:
        raise UserError(
            f"a run of {plan.duration_ps:g} ps is too short to fit from {plan.fit_from_ps:g} ps; lengthen it"
        )
    loaded = find_potential(potential)
    config = {
        "job": "diffusion",
        "potential": potential,
        "weights": loaded.checksum(),
        "device": device,
        "settings": asdict(plan),
        "structure": plain_structure(structure),
    }
    folder = JobFolder(Path(out) / TASKS_FOLDER, config)
    calculator = load_calculator(potential, device)
    cell = _supercell(structure, calculator, folder, plan)
    rows: list[dict[str, Any]] = []
    samples: dict[float, FloatArray] = {}
    for kelvin in sorted(set(temperatures_k)):
        positions = _dynamics(cell, float(kelvin), calculator, folder, plan, progress)
        drift = _framework_displacement(positions, cell, ion)
        if drift > LARGEST_MEAN_DISPLACEMENT_A:
            raise PhysicsError(
                f"the framework moved {drift:.1f} angstrom at {kelvin:g} K: it has melted; take lower "
                "temperatures"
            )
        diffusivity = diffusivity_samples(positions, cell, ion, plan)
        samples[float(kelvin)] = diffusivity
        rows.append(_row(structure, ion, float(kelvin), diffusivity, cell, drift, plan))
    table = pd.DataFrame(rows, columns=list(DIFFUSION_COLUMNS))
    arrhenius = arrhenius_fit(samples, cell, ion, plan.seed) if len(samples) > 1 else {}
    write_csv(Path(out) / DIFFUSION_FILE, table)
    (Path(out) / SUMMARY_FILE).write_text(json.dumps(arrhenius, indent=1) + "\n", encoding="utf-8")
    return DiffusionResult(Path(out), table, arrhenius)


@one_thread_here()
def _supercell(
    structure: Structure, calculator: Calculator, folder: JobFolder, plan: MdSettings
) -> Structure:
    """Return the relaxed supercell, kept in the folder."""
    record = folder.load("supercell")
    if record is None:
        relaxed = relax(structure, calculator)
        if relaxed.problem:
            raise PhysicsError(f"the crystal is {relaxed.problem} when relaxed; give another structure")
        cell = relaxed.structure.copy()
        cell.make_supercell([int(np.ceil(plan.shortest_a / length)) for length in cell.lattice.abc])
        record = {"structure": plain_structure(cell)}
        folder.save("supercell", record)
    return Structure.from_dict(record["structure"])


@one_thread_here()
def _dynamics(
    cell: Structure,
    kelvin: float,
    calculator: Calculator,
    folder: JobFolder,
    plan: MdSettings,
    progress: Progress | None,
) -> FloatArray:
    """Return unwrapped positions [samples, atoms, 3] in angstrom; block by block, each kept."""
    from ase import units
    from ase.md.bussi import Bussi
    from pymatgen.io.ase import AseAtomsAdaptor

    atoms: Atoms = AseAtomsAdaptor.get_atoms(cell)
    atoms.calc = calculator
    rng = np.random.default_rng([plan.seed, round(kelvin * 100)])
    set_thermal_velocities(atoms, kelvin, rng)
    skip = max(round(plan.sample_fs / plan.timestep_fs), 1)
    warm = round(plan.equilibration_ps * 1000 / plan.timestep_fs)
    steps = warm + round(plan.duration_ps * 1000 / plan.timestep_fs)
    stored: list[FloatArray] = []
    done = 0
    while done < steps:
        key = f"{kelvin:g}K-{done // BLOCK_STEPS:05d}"
        record = folder.load(key)
        if record is None:
            step = plan.timestep_fs * units.fs
            dynamics = Bussi(atoms, step, temperature_K=kelvin, taut=100 * units.fs, rng=rng)
            record = _block(atoms, dynamics, done, min(BLOCK_STEPS, steps - done), warm, skip, kelvin)
            record["rng"] = rng.bit_generator.state
            folder.save(key, record)
        # Whether just computed or read: the next block starts from the numbers that are on disk.
        atoms.set_positions(np.array(record["last"]))
        atoms.set_momenta(np.array(record["momenta"]))
        rng.bit_generator.state = record["rng"]
        stored += [np.array(p) for p in record["positions"]]
        done += min(BLOCK_STEPS, steps - done)
        if progress is not None:
            progress(f"{kelvin:g} K", done, steps)
    return np.array(stored)


def _block(
    atoms: Atoms, dynamics: Any, done: int, steps: int, warm: int, skip: int, kelvin: float
) -> dict[str, Any]:
    """Run some steps and return their record; raises PhysicsError if the crystal explodes."""
    positions = []
    for step in range(done + 1, done + steps + 1):
        dynamics.run(1)
        if not atoms.get_temperature() < HOTTEST_FACTOR * kelvin:
            raise PhysicsError(f"the crystal exploded at {kelvin:g} K; take a lower temperature or time step")
        if step > warm and (step - warm) % skip == 0:
            positions.append(atoms.get_positions().round(4).tolist())
    return {
        "positions": positions,
        "last": atoms.get_positions().tolist(),
        "momenta": atoms.get_momenta().tolist(),
    }


def _framework_displacement(positions: FloatArray, cell: Structure, ion: str) -> float:
    """Return the root mean square displacement of what should stay, over the run, in angstrom."""
    stays = np.array([site.specie.symbol != ion for site in cell])
    moved = positions[-1, stays] - positions[0, stays]
    moved -= moved.mean(axis=0)
    return float(np.sqrt((moved**2).sum(axis=1).mean()))


def diffusivity_samples(positions: FloatArray, cell: Structure, ion: str, plan: MdSettings) -> FloatArray:
    """Return samples of the posterior of the ion's self-diffusion coefficient, [S] cm2/s, by kinisi.

    Args:
        positions: [samples, atoms, 3] unwrapped, angstrom.
        cell: supercell of the run.
        ion: Li or Na.
        plan: sampling interval, start of the fit and seed.
    """
    import scipp as sc
    from kinisi.analyze import DiffusionAnalyzer
    from pymatgen.io.ase import AseAtomsAdaptor

    start = AseAtomsAdaptor.get_atoms(cell)
    frames = []
    for one in positions:
        frame = start.copy()
        frame.set_positions(one)
        frames.append(frame)
    every = max(round(plan.sample_fs / plan.timestep_fs), 1)
    longest, interval = plan.duration_ps / 2, plan.sample_fs / 1000
    counts = np.arange(1, int(longest / interval) + 1)
    intervals = counts[:: max(len(counts) // 100, 1)] * interval
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        analysis = DiffusionAnalyzer.from_ase(
            frames,
            specie=ion,
            time_step=sc.scalar(plan.timestep_fs / 1000, unit="ps"),
            step_skip=sc.scalar(every),
            dt=sc.array(dims=["time interval"], values=intervals, unit="ps"),
            progress=False,
        )
        analysis.diffusion(
            sc.scalar(plan.fit_from_ps, unit="ps"),
            progress=False,
            random_state=np.random.RandomState(plan.seed),
        )
    return np.asarray(analysis.D.to(unit="cm^2/s", copy=False).values, dtype=np.float64)


def nernst_einstein_ms_cm(diffusivity_cm2_s: FloatArray, per_cm3: float, kelvin: float) -> FloatArray:
    """Return sigma = n q mu with mu = q D / kT in mS/cm for singly charged ions.

    Args:
        diffusivity_cm2_s: self-diffusion coefficients.
        per_cm3: ions in one cubic centimetre.
        kelvin: temperature.
    """
    # D in m2/s and n per m3 give S/m, which is 10 mS/cm.
    sigma = per_cm3 * 1e6 * elementary_charge**2 * diffusivity_cm2_s * 1e-4 / (k * kelvin)
    return np.asarray(sigma * 10.0)


def _density(cell: Structure, ion: str) -> float:
    """Return ions in one cubic centimetre."""
    return float(cell.composition[ion] / cell.volume * 1e24)


def _row(
    structure: Structure,
    ion: str,
    kelvin: float,
    diffusivity: FloatArray,
    cell: Structure,
    drift: float,
    plan: MdSettings,
) -> dict[str, Any]:
    sigma = nernst_einstein_ms_cm(diffusivity, _density(cell, ion), kelvin)
    low, high = (1 - LEVEL) / 2, (1 + LEVEL) / 2
    return {
        "formula": structure.composition.reduced_formula,
        "mobile_ion": ion,
        "temperature_k": kelvin,
        "diffusivity_cm2_s": float(np.median(diffusivity)),
        "diffusivity_cm2_s_lower": float(np.quantile(diffusivity, low)),
        "diffusivity_cm2_s_upper": float(np.quantile(diffusivity, high)),
        "nernst_einstein_ms_cm": float(np.median(sigma)),
        "nernst_einstein_ms_cm_lower": float(np.quantile(sigma, low)),
        "nernst_einstein_ms_cm_upper": float(np.quantile(sigma, high)),
        "framework_displacement_a": drift,
        "duration_ps": plan.duration_ps,
        "atoms": len(cell),
    }


def _start(data: Any) -> tuple[Any, Any]:
    """Return activation energy and prefactor of a straight line through ln D, within the priors."""
    import scipp as sc

    inverse = 1.0 / (K_EV * data.coords["temperature"].values)
    slope, intercept = np.polyfit(inverse, np.log(data.values), 1)
    energy = float(np.clip(-slope, 0.01, 0.99 * HIGHEST_ENERGY_EV))
    low, high = PREFACTORS_CM2_S
    prefactor = float(np.clip(np.exp(intercept), 2 * low, high / 2))
    return sc.scalar(energy, unit="eV"), sc.scalar(prefactor, unit="cm^2/s")


def arrhenius_fit(
    samples: dict[float, FloatArray], cell: Structure, ion: str, seed: int = 0
) -> dict[str, float]:
    """Return activation energy and conductivity at room temperature with 90% intervals, by kinisi.

    Args:
        samples: posterior of the diffusivity in cm2/s by temperature in K; at least two temperatures.
        cell: supercell of the runs.
        ion: Li or Na.
        seed: of the sampling.
    """
    import scipp as sc
    from kinisi.arrhenius import Arrhenius
    from scipy.stats import loguniform, uniform

    kelvin = np.array(sorted(samples))
    data = sc.DataArray(
        data=sc.array(
            dims=["temperature"],
            values=[float(samples[t].mean()) for t in kelvin],
            variances=[float(samples[t].var()) for t in kelvin],
            unit="cm^2/s",
        ),
        coords={"temperature": sc.array(dims=["temperature"], values=kelvin, unit="K")},
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = Arrhenius(data, priors=[uniform(0.0, HIGHEST_ENERGY_EV), loguniform(*PREFACTORS_CM2_S)])
        np.random.seed(seed)  # noqa: NPY002 - kinisi's sampler draws from the global state
        with redirect_stderr(StringIO()):  # its progress bar cannot be turned off
            fit.mcmc(x0=_start(data))
        energy = np.asarray(fit.activation_energy.values, dtype=np.float64)
        cold = np.asarray(fit.extrapolate(sc.scalar(ROOM_K, unit="K")).values, dtype=np.float64)
    sigma = nernst_einstein_ms_cm(cold, _density(cell, ion), ROOM_K)
    found: dict[str, float] = {}
    for name, values in (("activation_energy_ev", energy), ("sigma_25c_ms_cm", sigma)):
        for end, share in (("", 0.5), ("_lower", (1 - LEVEL) / 2), ("_upper", (1 + LEVEL) / 2)):
            found[name + end] = float(np.quantile(values, share))
    return found
