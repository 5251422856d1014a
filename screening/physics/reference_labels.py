"""Energies of known phases with a potential, from a table of structures: the competing phases of a hull."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd
from pymatgen.core import Composition, Structure

from softlyte.datasets.errors import UserError
from softlyte.datasets.formulas import Compositions
from softlyte.datasets.tables import load_table
from softlyte.screening.physics.elasticity import CpuClock, relax

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator

MOBILE = frozenset({"Li", "Na"})
HALOGENS = frozenset({"F", "Cl", "Br", "I"})
FRAMEWORK = (
    *("Al", "Zr", "Y", "In", "Ga", "Ta", "Nb", "Hf", "Sc", "Mg", "Zn", "Er", "Ti", "Ca", "La", "Sn"),
    *("Sr", "Ba", "Gd", "Ho", "Yb", "Lu", "Dy", "Tb", "Tm", "Sm", "Nd", "Pr", "Ce", "Fe", "Mn", "Cr"),
    *("Ge", "Si", "B", "P"),
)
"""Framework cations whose phases are computed, most wanted first."""
MOST_SITES = 40
NEAR_HULL_EV_ATOM = 0.03
"""Potential and DFT place phases on the hull differently by about this much."""


class KnownPhase(NamedTuple):
    """A structure of a known phase.

    Attributes:
        formula: reduced, in normal form.
        source_id: of the structure in its collection.
        structure: ordered.
    """

    formula: str
    source_id: str
    structure: Structure


def competing_phases(table: Path, framework: Sequence[str] = FRAMEWORK) -> list[KnownPhase]:
    """Return the phases of a table of structures that hulls of simple halides and oxyhalides need.

    One structure, that of lowest formation energy, of each formula with at most one mobile ion, one framework
    cation, one halogen, and oxygen, that the shipped decomposition energies put within NEAR_HULL_EV_ATOM of
    the hull, or say nothing of.
    Elements come first, then phases in the order of their framework cation.

    Args:
        table: Parquet with mp_id, formula, formation_energy_ev_atom and cif.
        framework: elements.
    """
    frame = pd.read_parquet(table)
    needed = {"mp_id", "formula", "formation_energy_ev_atom", "cif"}
    if not needed <= set(frame.columns):
        raise UserError(
            f"{table} lacks {', '.join(sorted(needed - set(frame.columns)))}; give a table of structures"
        )
    frame["formula"] = Compositions.from_formulas(frame["formula"]).formulas()
    known = load_table("decomposition_energy", drop_flagged=True)
    decomposition = dict(zip(known["formula"], known["decomposition_energy_ev_atom"], strict=True))
    frame = frame.sort_values("formation_energy_ev_atom", kind="stable").drop_duplicates("formula")
    wanted: list[tuple[tuple[int, int], KnownPhase]] = []
    for row in frame.itertuples(index=False):
        elements = {el.symbol for el in Composition(row.formula).elements}
        rank = _rank(elements, framework)
        if rank is None or (len(elements) > 1 and decomposition.get(row.formula, 0.0) > NEAR_HULL_EV_ATOM):
            continue
        structure = Structure.from_str(str(row.cif), fmt="cif").get_primitive_structure()
        if structure.is_ordered and len(structure) <= MOST_SITES:
            phase = KnownPhase(str(row.formula), str(row.mp_id), structure)
            wanted.append(((rank, len(structure)), phase))
    return [phase for _, phase in sorted(wanted, key=lambda pair: (pair[0], pair[1].formula))]


def _rank(elements: Iterable[str], framework: Sequence[str]) -> int | None:
    """Return how early a chemical system is wanted; None if it is not."""
    rest = set(elements) - MOBILE - HALOGENS - {"O"}
    mobile, halogens = set(elements) & MOBILE, set(elements) & HALOGENS
    if len(mobile) > 1 or len(halogens) > 1 or len(rest) > 1 or not rest <= set(framework):
        return None
    if len(set(elements)) == 1:
        return -2
    if not rest:
        return -1
    # Chlorides and oxychlorides before the others of the same cation.
    later = 0 if halogens <= {"Cl"} else len(framework)
    return framework.index(next(iter(rest))) + later


def phase_energy(phase: KnownPhase, calculator: Calculator) -> dict[str, Any]:
    """Relax a phase and return its record: energy and volume, no structure."""
    clock = CpuClock()
    relaxed = relax(phase.structure, calculator)
    return {
        "formula": phase.formula,
        "source_id": phase.source_id,
        "atoms": len(relaxed.structure),
        "energy_ev_atom": relaxed.energy_ev_atom,
        "volume_a3_atom": relaxed.structure.volume / len(relaxed.structure),
        "volume_change": relaxed.volume_change,
        "max_force_ev_a": relaxed.max_force_ev_a,
        "problem": relaxed.problem,
        "cpu_s": clock.seconds(),
    }
