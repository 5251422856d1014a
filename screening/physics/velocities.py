"""Velocities that dynamics start from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ase import Atoms


def set_thermal_velocities(atoms: Atoms, kelvin: float, rng: np.random.Generator) -> None:
    """Give atoms Maxwell-Boltzmann velocities without drift of the whole.

    Args:
        atoms: changed in place.
        kelvin: temperature; the atoms have it exactly.
        rng: that the velocities are drawn from.
    """
    from ase import units

    masses = atoms.get_masses()[:, None]
    velocity = rng.standard_normal((len(atoms), 3)) * np.sqrt(units.kB * kelvin / masses)
    velocity -= (masses * velocity).sum(axis=0) / masses.sum()
    kinetic = 0.5 * float((masses * velocity**2).sum())
    wanted = 0.5 * units.kB * kelvin * atoms.get_number_of_degrees_of_freedom()
    atoms.set_momenta(masses * velocity * np.sqrt(wanted / kinetic))
