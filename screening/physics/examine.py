"""One structure under one potential: relaxed, strained, and judged, as a record of JSON types."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Structure
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

from softlyte.screening.crystals.generate import plain_structure
from softlyte.screening.physics.elasticity import SETTLED_EV_A, CpuClock, elastic, relax

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator

SYMMETRY_A = 0.1
"""Tolerance of the symmetry that a relaxed structure has left."""


def examine(structure: Structure, calculator: Calculator, with_elasticity: bool = True) -> dict[str, Any]:
    """Relax a structure, take its elastic tensor if it is sound, and return the record.

    `problem` is empty or: exploded, collapsed, unconverged, mechanically unstable, stress not linear in
    strain.
    `topology` is kept, changed (another structure), or amorphised (another one without any symmetry).

    Args:
        structure: ordered.
        calculator: of the potential.
        with_elasticity: False ends after the relaxation.

    Raises:
        PhysicsError: partial occupancies, or an element that the potential does not know.
    """
    clock = CpuClock()
    relaxed = relax(structure, calculator)
    found = relaxed.structure
    record: dict[str, Any] = {
        "atoms": len(found),
        "energy_ev_atom": relaxed.energy_ev_atom,
        "volume_a3_atom": found.volume / len(found),
        "density_g_cm3": float(found.density),
        "volume_change": relaxed.volume_change,
        "max_force_ev_a": relaxed.max_force_ev_a,
        "topology": _topology(structure, found),
        "problem": relaxed.problem,
        "structure": plain_structure(found),
    }
    if with_elasticity and not relaxed.problem:
        tensor = elastic(found, calculator)
        record |= {
            "bulk_modulus_gpa": tensor.bulk_gpa,
            "shear_modulus_gpa": tensor.shear_gpa,
            "youngs_modulus_gpa": tensor.youngs_gpa,
            "elastic_r2": tensor.r2,
            "elastic_lowest_gpa": tensor.lowest_eigenvalue_gpa,
            "elastic_tensor_gpa": tensor.tensor_gpa.round(4).tolist(),
            "problem": tensor.problem,
        }
    return record | {"cpu_s": clock.seconds()}


def has_energy(record: Mapping[str, Any]) -> bool:
    """Tell whether a record's energy is that of a relaxed structure, whatever its elastic tensor."""
    if "energy_ev_atom" not in record or record.get("problem") in ("exploded", "collapsed"):
        return False
    return bool(record["max_force_ev_a"] <= SETTLED_EV_A)


def _topology(before: Structure, after: Structure) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if StructureMatcher(attempt_supercell=False).fit(before, after):
            return "kept"
        groups = [SpacegroupAnalyzer(s, SYMMETRY_A).get_space_group_number() for s in (before, after)]
    return "amorphised" if groups[1] == 1 < groups[0] else "changed"
