"""Elastic moduli, volume and energy of crystals with a potential: the order of the job, its records."""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pymatgen.core import Composition

from softlyte.screening.crystals.substitution import Crystal
from softlyte.screening.physics.examine import examine

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator

LARGEST_FIRST_CELL = 30
"""Crystals of more atoms are left to the end."""


def crystal_label(crystal: Crystal, calculator: Calculator) -> dict[str, Any]:
    """Relax a crystal, strain it and return the record: JSON types, units in the names.

    Args:
        crystal: ordered.
        calculator: of the potential.

    Raises:
        PhysicsError: an element that the potential does not know.
    """
    named = {"name": crystal.name, "formula": crystal.formula, "parent": crystal.parent}
    return named | examine(crystal.structure, calculator)


def label_order(crystals: Sequence[Crystal]) -> list[Crystal]:
    """Return crystals so that every beginning is a diverse sample, small cells first.

    In rounds: each round takes one crystal of every group of parent and anions, the likeliest of a chemical
    system that the group has not given yet. Within a round small cells come first.
    """
    groups: dict[tuple[str, str], list[Crystal]] = defaultdict(list)
    for crystal in crystals:
        groups[crystal.parent, _anions(crystal)].append(crystal)
    queues = [_fresh_systems_first(found) for _, found in sorted(groups.items())]
    order: list[Crystal] = []
    for place in range(max(map(len, queues), default=0)):
        row = [queue[place] for queue in queues if place < len(queue)]
        order += sorted(row, key=lambda c: (len(c.structure), zlib.crc32(c.name.encode())))
    large = [c for c in order if len(c.structure) > LARGEST_FIRST_CELL]
    return [c for c in order if len(c.structure) <= LARGEST_FIRST_CELL] + large


def _anions(crystal: Crystal) -> str:
    present = {el.symbol for el in Composition(crystal.formula).elements}
    return "-".join(sorted(present & {"O", "F", "Cl", "Br", "I"}))


def _fresh_systems_first(crystals: Sequence[Crystal]) -> list[Crystal]:
    """Return crystals of one group: one of each chemical system in turn, the likeliest first."""
    systems: dict[str, list[Crystal]] = defaultdict(list)
    for crystal in sorted(crystals, key=lambda c: (-c.likelihood, c.name)):
        systems["-".join(sorted(el.symbol for el in Composition(crystal.formula).elements))].append(crystal)
    queues = list(systems.values())
    return [q[i] for i in range(max(map(len, queues))) for q in queues if i < len(q)]
