"""What the networks predict: each task is data (property, transform, fidelity), not a code path."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from softlyte.datasets.columns import FIDELITIES, PHASES

Transform = Literal["log10", "identity"]


@dataclass(frozen=True)
class Task:
    """One property with a head of its own.

    Attributes:
        name: property and unit, as in the predictions.
        transform: "log10" for positive quantities over decades, so that errors are relative.
        crystal_fidelity: the fidelity that answers for a crystal.
        glass_fidelity: the fidelity that answers for a glass.
        arrhenius: True if the property follows log10 y = a - b (1000/T - 1000/298.15).
    """

    name: str
    transform: Transform
    crystal_fidelity: str
    glass_fidelity: str
    arrhenius: bool = False

    def condition(self, phase: str) -> tuple[int, int]:
        """Return the phase and fidelity codes under which the head answers for a phase.

        A quantity that exists for one phase only (a crystal's formation energy, a glass transition) is
        asked for under the conditions that it was learned under, whatever the phase of the candidate.
        """
        fidelity = self.glass_fidelity if phase == "glass" else self.crystal_fidelity
        of_glass = fidelity in ("measured_glass", "potential_glass")
        return PHASES.index("glass" if of_glass else "crystal"), FIDELITIES.index(fidelity)


TASKS: tuple[Task, ...] = (
    Task("bulk_modulus_gpa", "log10", "dft_pbe_crystal", "measured_glass"),
    Task("shear_modulus_gpa", "log10", "dft_pbe_crystal", "measured_glass"),
    Task("sigma_s_cm", "log10", "measured_pellet", "measured_glass", arrhenius=True),
    Task("formation_energy_ev_atom", "identity", "dft_pbe_crystal", "dft_pbe_crystal"),
    Task("oxidation_v", "identity", "dft_pbe_crystal", "dft_pbe_crystal"),
    Task("reduction_v", "identity", "dft_pbe_crystal", "dft_pbe_crystal"),
    Task("density_g_cm3", "log10", "dft_pbe_crystal", "measured_glass"),
    Task("hardness_gpa", "log10", "measured_crystal", "measured_glass"),
    Task("glass_transition_k", "identity", "measured_glass", "measured_glass"),
)
TASK_NAMES: tuple[str, ...] = tuple(task.name for task in TASKS)

YOUNGS_MODULUS = "youngs_modulus_gpa"
"""Label without a head: rows that state only E teach K and G through E = 9KG/(3K+G)."""

TARGET_NAMES: tuple[str, ...] = (*TASK_NAMES, YOUNGS_MODULUS)
"""Columns of the target matrix: every task, then Young's modulus."""

TARGET_TRANSFORMS: tuple[Transform, ...] = (*(task.transform for task in TASKS), "log10")
