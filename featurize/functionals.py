"""Which energies may stand on one hull: one functional and one correction scheme at a time."""

from __future__ import annotations

from softlyte.datasets.errors import UserError

PBE = "PBE"
"""PBE and PBE+U as mixed and corrected by the Materials Project: the kind of the shipped table."""

FUNCTIONALS = (PBE, "R2SCAN", "SCAN", "PBESOL", "EXPERIMENT")
"""Kinds of energy, by the name that a store of them carries."""

_RUN_TYPES = {
    "PBE": PBE,
    "PBE+U": PBE,
    "GGA": PBE,
    "GGA+U": PBE,
    "GGA_GGA+U": PBE,
    "R2SCAN": "R2SCAN",
    "MATPES-R2SCAN": "R2SCAN",
    "SCAN": "SCAN",
    "PBESOL": "PBESOL",
    "EXPERIMENT": "EXPERIMENT",
    "MEASURED": "EXPERIMENT",
}


class FunctionalError(UserError):
    """Energies of kinds that must not be mixed, or of an unknown kind; the message names them."""


def functional_of(run_type: str) -> str:
    """Return the kind of energy that a run type names ("GGA+U" is PBE), whatever its capitals.

    Raises:
        FunctionalError: the name is unknown.
    """
    found = _RUN_TYPES.get(run_type.strip().upper())
    if found is None:
        raise FunctionalError(
            f"the functional {run_type!r} is unknown; write one of {', '.join(sorted(_RUN_TYPES))}"
        )
    return found


def refuse_mixing(first: str, second: str, what: str) -> None:
    """Raise FunctionalError if two kinds of energy differ.

    Args:
        first: functional of the collection that is there.
        second: functional of what is to be added.
        what: what is to be added, for the message.
    """
    if first != second:
        raise FunctionalError(
            f"{what} are {second} energies and the collection holds {first}; energies of two functionals "
            f"cannot share a hull: give {first} energies, or a complete collection of {second} ones alone"
        )
