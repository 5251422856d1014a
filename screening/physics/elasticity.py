"""Relaxation and elastic tensor of one structure with a potential, and what went wrong with it.

Elastic tensors are those with relaxed ions: each strained cell's ions are relaxed before its stress is taken.
Clamped ions give moduli 1.4-3.7 times too stiff in halide electrolytes.
"""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Structure

from softlyte.screening.physics.potentials import PhysicsError

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator

FMAX_EV_A = 0.02
"""Largest force on an atom, and on the cell, of a relaxed structure, eV/angstrom."""
MAX_STEPS = 500
STRAINED_STEPS = 150
"""For the ions of a strained cell. Sound crystals need a third of this; an unstable one, which would slide
off its saddle for thousands of steps, is recognised without them."""
CONVERGED_FACTOR = 1.5
"""Forces in the cell's deformed frame, which the optimiser stops at, differ a little from those reported."""
SETTLED_EV_A = 0.1
"""Force up to which the energy of a structure that did not converge is good to some meV/atom."""
QUICK_STEPS = 40
OPTIMIZER = f"LBFGS, after {QUICK_STEPS} steps FIRE"
"""ASE's, see `settling_optimizer`."""
NORM_STRAINS = (-0.01, -0.005, 0.005, 0.01)
SHEAR_STRAINS = (-0.02, -0.01, 0.01, 0.02)
"""Strains of the 24 cells whose stresses are fitted."""
EXPLODED = 1.5
"""Volume after over before relaxation, from which a structure fell apart; below the inverse it collapsed."""
GPA_PER_EV_A3 = 160.21766
"""GPa in one eV per cubic angstrom (elementary charge of the SI, 2019)."""
LEAST_R2 = 0.90
"""R2 of stress against strain over all components together, below which the tensor is not trusted."""


@dataclass(frozen=True)
class Relaxed:
    """A structure relaxed with a potential.

    Attributes:
        structure: relaxed.
        energy_ev_atom: of the potential, isolated atoms or its own reference at zero.
        volume_change: relaxed over given volume, minus 1.
        max_force_ev_a: largest force that is left.
        converged: whether that is near the force that was asked for.
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
        r2: coefficient of determination of the linear fits, all stress components together.
        lowest_eigenvalue_gpa: of the tensor; not positive means mechanically unstable.
    """

    tensor_gpa: NDArray[np.float64]
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


@lru_cache(maxsize=1)
def settling_optimizer() -> Any:
    """Return an ASE optimizer: L-BFGS, and FIRE for what that has not relaxed in QUICK_STEPS.

    L-BFGS needs half the steps of FIRE in the strained cells of Li2ZrCl6 and Li3InCl6, but in soft iodides
    it goes to and fro above the wanted force for hundreds of steps, where FIRE comes down in 30-70.
    """
    from ase.optimize import FIRE, LBFGS

    class Settling(LBFGS):
        def __init__(self, atoms: Any, **settings: Any) -> None:
            super().__init__(atoms, **settings)
            self._calm = FIRE(atoms, logfile=None)

        def step(self, forces: Any = None) -> None:
            (super().step if self.nsteps < QUICK_STEPS else self._calm.step)(forces)

    return Settling


def relax(
    structure: Structure,
    calculator: Calculator,
    fmax: float = FMAX_EV_A,
    max_steps: int = MAX_STEPS,
    relax_cell: bool = True,
) -> Relaxed:
    """Relax ions, and the cell unless told otherwise.

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

    relaxer = RelaxCalc(
        calculator, optimizer=settling_optimizer(), fmax=fmax, max_steps=max_steps, relax_cell=relax_cell
    )
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
        float(found["max_force"]) <= CONVERGED_FACTOR * fmax,
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
        relax_calc_kwargs={"optimizer": settling_optimizer(), "max_steps": STRAINED_STEPS},
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
        _r2(tensor, float(found["residuals_sum"])),
        lowest,
    )


def _r2(tensor_gpa: NDArray[np.float64], residuals: float) -> float:
    """Return the R2 of all fits together; single components that symmetry makes zero hold only noise.

    Args:
        tensor_gpa: [6, 6] fitted.
        residuals: sum of squared residuals as matcalc gives it: eV2/A6 times one factor eV/A3 -> GPa.
    """
    # Sums of squared Voigt strains about zero; a shear strain counts twice in Voigt's notation.
    normal, shear = (float(np.sum(np.square(s))) for s in (NORM_STRAINS, np.multiply(2.0, SHEAR_STRAINS)))
    spread = np.array([normal] * 3 + [shear] * 3)
    explained = float((tensor_gpa**2 * spread[:, None]).sum())
    left = residuals * GPA_PER_EV_A3
    return explained / (explained + left) if explained + left > 0 else 0.0


class CpuClock:
    """Processor seconds of this process since it was made."""

    def __init__(self) -> None:
        self._start = time.process_time()

    def seconds(self) -> float:
        """Return the processor seconds spent so far."""
        return round(time.process_time() - self._start, 2)
