"""Relaxation and elastic tensor of one structure with a potential, and what went wrong with it.

Elastic tensors are those with relaxed ions: each strained cell's ions are relaxed before its stress is taken.
Clamped ions give moduli 1.4-3.7 times too stiff in halide electrolytes.
"""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from pymatgen.core import Structure

from softlyte.screening.physics.potentials import PhysicsError

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator

FMAX_EV_A = 0.02
"""Largest force on an atom, and on the cell, of a relaxed structure, eV/angstrom."""
MAX_STEPS = 500
NORM_STRAINS = (-0.01, -0.005, 0.005, 0.01)
SHEAR_STRAINS = (-0.02, -0.01, 0.01, 0.02)
"""Strains of the 24 cells whose stresses are fitted."""
EXPLODED = 1.5
"""Volume after relaxation over that before, from which a structure fell apart; below its inverse it collapsed."""
LEAST_R2 = 0.90
"""Mean R2 of the linear fits of stress against strain, below which the tensor is not trusted."""


@dataclass(frozen=True)
class Relaxed:
    """A structure relaxed with a potential.

    Attributes:
        structure: relaxed.
        energy_ev_atom: of the potential, isolated atoms or its own reference at zero.
        volume_change: relaxed over given volume, minus 1.
        max_force_ev_a: largest force that is left.
        converged: whether that is below FMAX_EV_A.
    """

    structure: Structure
    energy_ev_atom: float
    volume_change: float
    max_force_ev_a: float
    converged: bool

    @property
    def problem(self) -> str:
        """Return why the structure cannot be used, empty if it can."""
        ratio = 1.0 + self.volume_change
        if not np.isfinite(self.energy_ev_atom) or ratio > EXPLODED:
            return "exploded"
        if ratio < 1.0 / EXPLODED:
            return "collapsed"
        return "" if self.converged else "unconverged"


@dataclass(frozen=True)
class Elastic:
    """Elasticity with relaxed ions.

    Attributes:
        tensor_gpa: [6, 6] Voigt.
        bulk_gpa, shear_gpa: Voigt-Reuss-Hill averages.
        r2: mean coefficient of determination of the fits.
        lowest_eigenvalue_gpa: of the tensor; not positive means mechanically unstable.
    """

    tensor_gpa: np.ndarray[Any, np.dtype[np.float64]]
    bulk_gpa: float
    shear_gpa: float
    r2: float
    lowest_eigenvalue_gpa: float

    @property
    def youngs_gpa(self) -> float:
        """E = 9KG/(3K+G), NaN where that is not defined."""
        below = 3.0 * self.bulk_gpa + self.shear_gpa
        return 9.0 * self.bulk_gpa * self.shear_gpa / below if below > 0 else float("nan")

    @property
    def problem(self) -> str:
        """Return why the tensor cannot be used, empty if it can."""
        if self.lowest_eigenvalue_gpa <= 0:
            return "mechanically unstable"
        return "" if self.r2 >= LEAST_R2 else "stress not linear in strain"


def relax(
    structure: Structure,
    calculator: Calculator,
    fmax: float = FMAX_EV_A,
    max_steps: int = MAX_STEPS,
    relax_cell: bool = True,
) -> Relaxed:
    """Relax ions, and the cell unless told otherwise, with ASE's FIRE.

    Args:
        structure: ordered.
        calculator: of a potential.
        fmax: force to stop at, eV/angstrom.
        max_steps: steps after which the structure counts as unconverged.
        relax_cell: False keeps the cell.

    Raises:
        PhysicsError: partial occupancies, or an element that the potential does not know.
    """
    from matcalc import RelaxCalc

    if not structure.is_ordered:
        raise PhysicsError(f"{structure.composition.reduced_formula} has partial occupancies; order it first")
    relaxer = RelaxCalc(calculator, fmax=fmax, max_steps=max_steps, relax_cell=relax_cell)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = relaxer.calc(structure)
    except (KeyError, IndexError) as error:
        raise PhysicsError(
            f"the potential cannot treat {structure.composition.reduced_formula} (unknown element {error})"
        ) from error
    relaxed: Structure = found["final_structure"]
    return Relaxed(
        relaxed,
        float(found["energy"]) / len(relaxed),
        relaxed.volume / structure.volume - 1.0,
        float(found["max_force"]),
        bool(found["is_converged"]),
    )


def elastic(structure: Structure, calculator: Calculator) -> Elastic:
    """Return the elastic tensor of a relaxed structure with relaxed ions.

    24 strained cells, fitted linearly; settings as the constants of this module.

    Args:
        structure: relaxed with the same potential.
        calculator: of the potential.
    """
    from matcalc import ElasticityCalc

    calculation = ElasticityCalc(
        calculator,
        norm_strains=NORM_STRAINS,
        shear_strains=SHEAR_STRAINS,
        fmax=FMAX_EV_A,
        relax_structure=False,
        relax_deformed_structures=True,
        units_GPa=True,
        r2_min=-1.0,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = calculation.calc(structure)
    tensor = np.array(found["elastic_tensor"].voigt, dtype=np.float64)
    lowest = float(np.linalg.eigvalsh((tensor + tensor.T) / 2.0)[0])
    return Elastic(
        tensor,
        float(found["bulk_modulus_vrh"]),
        float(found["shear_modulus_vrh"]),
        float(found["r2_score_mean"]),
        lowest,
    )


class CpuClock:
    """Processor seconds of this process since it was made."""

    def __init__(self) -> None:
        self._start = time.process_time()

    def seconds(self) -> float:
        """Return the processor seconds spent so far."""
        return round(time.process_time() - self._start, 2)
