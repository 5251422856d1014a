"""The nearest electrolyte that somebody measured, and how far away it is in composition."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from softlyte.datasets.distances import fraction_table, nearest
from softlyte.datasets.formulas import Compositions
from softlyte.datasets.tables import load_table

FloatArray = NDArray[np.float64]

NOT_ELECTROLYTES = frozenset({"active material", "binary", "metal", "polymer"})
"""Classes of mechanics_cited that are no electrolytes."""


@dataclass(frozen=True)
class KnownElectrolytes:
    """A panel of K measured electrolytes.

    Attributes:
        names: [K] formulas.
        fractions: [104, K] atomic fraction of each element (by atomic number) in each.
    """

    names: NDArray[np.object_]
    fractions: FloatArray

    @classmethod
    def from_compositions(cls, compositions: Compositions) -> KnownElectrolytes:
        """Build from compositions; equal ones are taken once, first come first named."""
        _, first = np.unique(compositions.keys(), return_index=True)
        chosen = compositions[np.sort(first)]
        return cls(np.array(chosen.formulas(), dtype=object), fraction_table(chosen))


@lru_cache(maxsize=1)
def known_electrolytes() -> KnownElectrolytes:
    """Return the Li and Na electrolytes of conductivity_cited, windows_cited and mechanics_cited, once."""
    conductivity, windows = load_table("conductivity_cited"), load_table("windows_cited")
    mechanics = load_table("mechanics_cited")
    mechanics = mechanics[~mechanics["class"].isin(NOT_ELECTROLYTES)]
    formulas = pd.concat([conductivity["formula"], windows["formula"], mechanics["formula"]])
    compositions = Compositions.from_formulas(formulas[formulas != ""].drop_duplicates())
    mobile = (compositions.amount_of("Li") > 0) | (compositions.amount_of("Na") > 0)
    return KnownElectrolytes.from_compositions(compositions[mobile])


def nearest_known(
    compositions: Compositions, known: KnownElectrolytes | None = None
) -> tuple[NDArray[np.object_], FloatArray]:
    """Return the nearest known electrolyte of each composition and its distance.

    Args:
        compositions: N compositions.
        known: None for the cited panel.

    Returns:
        names [N] and distances [N]: half the sum of absolute differences of atomic fractions, 0 for the
        same composition, 1 if no element is shared (the name is "" then). Of equally near ones the first
        of the panel is taken.
    """
    known = known_electrolytes() if known is None else known
    place, distance = nearest(compositions, known.fractions)
    return np.where(distance < 1.0, known.names[place], ""), distance
