"""Glasses made by melting and quenching random cells with a potential, and their instantaneous elasticity.

A cell of 40-80 atoms, melted and quenched within picoseconds: a rough sample of the glass. Its elastic moduli
are instantaneous ones. Above its glass transition a real glass flows and is softer; the two stay apart.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Composition, Element, Lattice, Structure

from softlyte.datasets.build.obelix import ANION_RADII_A
from softlyte.screening.physics.elasticity import CpuClock, relax
from softlyte.screening.physics.examine import examine
from softlyte.screening.physics.potentials import PhysicsError
from softlyte.screening.physics.velocities import set_thermal_velocities

if TYPE_CHECKING:
    from ase import Atoms
    from ase.calculators.calculator import Calculator

SMALLEST_CELL, LARGEST_CELL = 40, 80
ANION_VOLUME_FACTOR = 1.25
"""Volume of the random cell over that of its close-packed anions; the relaxation corrects it."""
TRIALS = 60
"""Random places tried for an atom; the roomiest is taken."""
CATION_SPACING_A = 3.0
"""Cations aim at this distance from each other in the random cell."""
HOTTEST_FACTOR = 4.0
"""An instantaneous temperature above this many times the melt's means that the run exploded."""
EXPANDED = 2.0
"""Volume during the quench over that at its start, from which the melt evaporated."""


@dataclass(frozen=True)
class Schedule:
    """How a cell is melted and quenched.

    Attributes:
        melt_k, end_k: temperatures at the start and the end of the quench.
        melt_ps, quench_ps: durations.
        timestep_fs: of the integration.
        melt_expansion: volume of the melt over that of the relaxed random cell.
        compressibility_per_gpa: that the barostat of the quench assumes.
    """

    melt_k: float = 900.0
    end_k: float = 100.0
    melt_ps: float = 0.8
    quench_ps: float = 1.7
    timestep_fs: float = 2.0
    melt_expansion: float = 1.05
    compressibility_per_gpa: float = 0.1


GLASS_CELLS = (
    *("Li4Al4Cl10O3", "Na4Al4Cl10O3", "Li22Zr6Al2Cl30O11", "LiAlCl4", "Li2ZrOCl4", "Li2ZrCl6", "LiTaOCl4"),
    *("NaAlCl4", "LiNbOCl4", "Li7Zr4Cl19O2", "Li3YCl6", "LiTaCl6", "Li2GaCl2F3", "Li2Al2Cl6O", "Li3InCl6"),
    *("NaTaCl6", "Na2ZrCl6", "LiGaCl4", "LiAlCl3F", "LiZnAlCl6", "LiAlBr4", "Li3GaCl3F3", "NaTaOCl4"),
    *("NaNbOCl4", "Li2HfOCl4", "NaAlBr4", "Na2ZrOCl4", "NaAlCl3F", "LiYCl4", "Li2MgCl4"),
)
"""Glasses of the label job, most wanted first. Li4Al4Cl10O3 and Na4Al4Cl10O3 are the measured soft glasses
LiAlCl2.5O0.75 and NaAlCl2.5O0.75 (doi 10.1038/s41560-023-01356-y); Li22Zr6Al2Cl30O11 stands for
1.4 Li2O-0.75 ZrCl4-0.25 AlCl3, rounded to whole atoms."""


def cell_composition(formula: str, least: int = SMALLEST_CELL, most: int = LARGEST_CELL) -> Composition:
    """Return the smallest whole multiple of a formula with at least `least` atoms.

    Raises PhysicsError for a formula that has none up to `most` atoms.
    """
    unit = Composition(formula)
    if any(abs(amount - round(amount)) > 1e-6 for amount in unit.values()):
        raise PhysicsError(f"{formula} has broken subscripts; give a formula of whole atoms")
    size = round(unit.num_atoms)
    count = -(-least // size)
    if size * count > most:
        raise PhysicsError(f"no multiple of {formula} has {least} to {most} atoms; give a smaller formula")
    return unit * count


def random_cell(composition: Composition, rng: np.random.Generator) -> Structure:
    """Return a cube with the atoms at random, none too close to another.

    Each atom goes, cations and anions mixed, to the roomiest of TRIALS random places: the one whose
    shortest distance to the atoms already there, over the sum of the ionic radii, is largest.

    Args:
        composition: of the cell, whole atoms.
        rng: of this sample.
    """
    symbols = [el.symbol for el, amount in composition.items() for _ in range(round(amount))]
    anion = {symbol: symbol in ANION_RADII_A for symbol in symbols}
    if not any(anion.values()):
        raise PhysicsError(f"{composition.reduced_formula} has no anion; a salt is needed")
    volume = ANION_VOLUME_FACTOR * sum(
        4.0 * np.sqrt(2.0) * ANION_RADII_A[symbol] ** 3 for symbol in symbols if anion[symbol]
    )
    side = float(np.cbrt(volume))
    order = rng.permutation(len(symbols))
    placed: NDArray[np.float64] = np.zeros((0, 3))
    names: list[str] = []
    for index in order:
        symbol = symbols[index]
        trials = rng.random((TRIALS, 3))
        if names:
            apart = trials[:, None] - placed[None]
            distance = np.linalg.norm((apart - np.round(apart)) * side, axis=2)
            wanted = np.array([_spacing(symbol, other, anion) for other in names])
            best = int(np.argmax((distance / wanted).min(axis=1)))
        else:
            best = 0
        placed = np.vstack([placed, trials[best]])
        names.append(symbol)
    return Structure(Lattice.cubic(side), names, placed).get_sorted_structure()


def _spacing(first: str, second: str, anion: dict[str, bool]) -> float:
    """Return the distance in angstrom that two ions aim at in a random cell."""
    if not anion[first] and not anion[second]:
        return CATION_SPACING_A
    return _radius(first, anion) + _radius(second, anion)


def _radius(symbol: str, anion: dict[str, bool]) -> float:
    if anion[symbol]:
        return ANION_RADII_A[symbol]
    # pymatgen's average over oxidation states; half an angstrom where it has none.
    return float(Element(symbol).average_cationic_radius) or 0.5


def melt_quench(
    structure: Structure, calculator: Calculator, rng: np.random.Generator, schedule: Schedule | None = None
) -> Structure:
    """Return the cell after melting at constant volume and quenching at zero pressure; not yet relaxed.

    Bussi's stochastic velocity rescaling in the melt, Berendsen's thermostat and barostat in the quench,
    whose temperature falls linearly.

    Args:
        structure: start, of a sensible density.
        calculator: of the potential.
        rng: of this sample; velocities and thermostat draw from it.
        schedule: temperatures and times; None for the usual ones.

    Raises:
        PhysicsError: the run exploded, or the melt evaporated.
    """
    from ase import units
    from ase.md.bussi import Bussi
    from ase.md.nptberendsen import NPTBerendsen
    from pymatgen.io.ase import AseAtomsAdaptor

    plan = Schedule() if schedule is None else schedule
    atoms: Atoms = AseAtomsAdaptor.get_atoms(structure)
    atoms.set_cell(atoms.cell * float(np.cbrt(plan.melt_expansion)), scale_atoms=True)
    atoms.calc = calculator
    set_thermal_velocities(atoms, plan.melt_k, rng)
    step = plan.timestep_fs * units.fs
    melt = Bussi(atoms, step, temperature_K=plan.melt_k, taut=50.0 * units.fs, rng=rng)
    hottest = HOTTEST_FACTOR * plan.melt_k
    for _ in range(round(plan.melt_ps * 1000.0 / plan.timestep_fs)):
        melt.run(1)
        _check(atoms, hottest)
    start = atoms.get_volume()
    quench = NPTBerendsen(
        atoms,
        step,
        temperature_K=plan.melt_k,
        pressure_au=0.0,
        taut=50.0 * units.fs,
        taup=500.0 * units.fs,
        compressibility_au=plan.compressibility_per_gpa / units.GPa,
    )
    steps = round(plan.quench_ps * 1000.0 / plan.timestep_fs)
    for number in range(steps):
        quench.set_temperature(temperature_K=plan.melt_k + (plan.end_k - plan.melt_k) * (number + 1) / steps)
        quench.run(1)
        _check(atoms, hottest)
        if atoms.get_volume() > EXPANDED * start:
            raise PhysicsError("the melt evaporated during the quench")
    return AseAtomsAdaptor.get_structure(atoms)


def _check(atoms: Atoms, hottest_k: float) -> None:
    kelvin = atoms.get_temperature()
    if not np.isfinite(kelvin) or kelvin > hottest_k:
        raise PhysicsError(f"the melt exploded ({kelvin:.0f} K)")


def sample_rng(formula: str, seed: int) -> np.random.Generator:
    """Return the random generator of one sample, the same on every machine."""
    return np.random.default_rng([seed, zlib.crc32(formula.encode())])


def glass_sample(
    formula: str, seed: int, calculator: Calculator, schedule: Schedule | None = None
) -> dict[str, Any]:
    """Make one glass and return its record: JSON types, units in the names.

    Args:
        formula: of whole atoms.
        seed: number of the sample.
        calculator: of the potential.
        schedule: of melting and quenching; None for the usual one.

    Raises:
        PhysicsError: no cell of the size, explosion or evaporation.
    """
    clock = CpuClock()
    rng = sample_rng(formula, seed)
    start = random_cell(cell_composition(formula), rng)
    # A few steps bring the random cell to the density and the neighbours of a liquid.
    packed = relax(start, calculator, fmax=0.5, max_steps=100).structure
    quenched = melt_quench(packed, calculator, rng, schedule)
    named = {"formula": Composition(formula).reduced_formula, "cell": formula, "seed": seed}
    return named | examine(quenched, calculator) | {"cpu_s": clock.seconds()}


def glass_tasks(samples: int, formulas: Sequence[str] = GLASS_CELLS) -> list[tuple[str, tuple[str, int]]]:
    """Return (key, (formula, seed)) of every sample: all first samples before any second one."""
    return [(f"{formula}-{seed}", (formula, seed)) for seed in range(samples) for formula in formulas]


def schedule_config(schedule: Schedule | None = None) -> dict[str, float]:
    """Return the schedule as JSON types."""
    return asdict(Schedule() if schedule is None else schedule)
