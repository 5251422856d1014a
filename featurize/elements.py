"""Element descriptors from pymatgen, standardised, one row an atomic number."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Element

from softlyte.datasets.formulas import MAX_ATOMIC_NUMBER

# Attribute of pymatgen's Element and whether its logarithm is taken (quantities over several decades).
_CONTINUOUS: tuple[tuple[str, bool], ...] = (
    ("X", False),
    ("mendeleev_no", False),
    ("group", False),
    ("row", False),
    ("atomic_mass", True),
    ("atomic_radius", False),
    ("atomic_radius_calculated", False),
    ("average_ionic_radius", False),
    ("average_cationic_radius", False),
    ("average_anionic_radius", False),
    ("van_der_waals_radius", False),
    ("molar_volume", True),
    ("melting_point", True),
    ("boiling_point", True),
    ("density_of_solid", True),
    ("thermal_conductivity", True),
    ("bulk_modulus", True),
    ("youngs_modulus", True),
    ("ionization_energy", False),
    ("electron_affinity", False),
    ("max_oxidation_state", False),
    ("min_oxidation_state", False),
)
_BLOCKS = ("s", "p", "d", "f")
_SHELLS = ("s", "p", "d", "f")
_SHELL_CAPACITY = {"s": 2, "p": 6, "d": 10, "f": 14}


@dataclass(frozen=True)
class ElementDescriptors:
    """Standardised descriptors of all elements.

    Attributes:
        names: D descriptor names.
        values: [104, D] float32, mean 0 and variance 1 over the elements that have the value, 0 where
            pymatgen has none; row = atomic number, row 0 (padding) is 0.
    """

    names: tuple[str, ...]
    values: NDArray[np.float32]

    @property
    def dimension(self) -> int:
        """Number of descriptors D."""
        return len(self.names)


@lru_cache(maxsize=1)
def element_descriptors() -> ElementDescriptors:
    """Return the descriptors of every element up to lawrencium (source: pymatgen's periodic table).

    Continuous properties (some as logarithms), frontier orbital filling, the block, and common
    oxidation states. Nothing is learned here and no data table is read.
    """
    names: list[str] = []
    columns: list[NDArray[np.float64]] = []
    elements = [Element.from_Z(z) for z in range(1, MAX_ATOMIC_NUMBER + 1)]
    with warnings.catch_warnings():
        # pymatgen warns for each value it does not have; those become 0 (the mean) below.
        warnings.simplefilter("ignore")
        for attribute, logarithm in _CONTINUOUS:
            raw = np.array([_number(element, attribute) for element in elements])
            if logarithm:
                raw = np.where(raw > 0, np.log10(np.maximum(raw, 1e-12)), np.nan)
            names.append(f"log10_{attribute}" if logarithm else attribute)
            columns.append(raw)
        for shell in _SHELLS:
            names.append(f"filling_{shell}")
            columns.append(np.array([_valence_filling(element, shell) for element in elements]))
        for block in _BLOCKS:
            names.append(f"block_{block}")
            columns.append(np.array([float(element.block == block) for element in elements]))
        for state in (-3, -2, -1, 1, 2, 3, 4, 5, 6):
            names.append(f"oxidation_state_{state:+d}")
            columns.append(np.array([float(state in e.common_oxidation_states) for e in elements]))
    stacked = np.stack(columns, axis=1)
    centre, spread = np.nanmean(stacked, axis=0), np.nanstd(stacked, axis=0)
    standard = np.nan_to_num((stacked - centre) / np.where(spread > 0, spread, 1.0))
    values = np.concatenate([np.zeros((1, len(names))), standard]).astype(np.float32)
    values.setflags(write=False)
    return ElementDescriptors(tuple(names), values)


def _number(element: Element, attribute: str) -> float:
    try:
        value = getattr(element, attribute)
    except (AttributeError, ValueError, KeyError):
        return math.nan
    return math.nan if value is None else float(value)


def _valence_filling(element: Element, shell: str) -> float:
    """Return the filled share of the outermost subshell of one kind, 0..1."""
    subshells = [(n, count) for n, kind, count in element.full_electronic_structure if kind == shell]
    if not subshells:
        return 0.0
    return max(subshells)[1] / _SHELL_CAPACITY[shell]
