"""The nearest electrolyte that somebody measured, and how far away it is in composition."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from softlyte.datasets.formulas import MAX_ATOMIC_NUMBER, Compositions
from softlyte.datasets.tables import load_table

FloatArray = NDArray[np.float64]

CHUNK_ROWS = 1024
"""Rows compared at once: small enough that the table of distances stays in the cache."""

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
        table = np.zeros((MAX_ATOMIC_NUMBER + 1, len(chosen)))
        row = np.broadcast_to(np.arange(len(chosen))[:, None], chosen.atomic_numbers.shape)
        table[chosen.atomic_numbers, row] = chosen.fractions()
        # Padding has atomic number 0; it counts for nothing.
        table[0] = 0.0
        return cls(np.array(chosen.formulas(), dtype=object), table)


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
    fractions = compositions.fractions()
    numbers = compositions.atomic_numbers
    nearest = np.zeros(len(compositions), dtype=np.int64)
    shared = np.zeros(len(compositions))
    for start in range(0, len(compositions), CHUNK_ROWS):
        rows = slice(start, start + CHUNK_ROWS)
        # Half the L1 distance of two distributions is 1 minus what they share.
        common = np.zeros((len(numbers[rows]), len(known.names)))
        for column in range(numbers.shape[1]):
            common += np.minimum(fractions[rows, column, None], known.fractions[numbers[rows, column]])
        nearest[rows] = common.argmax(axis=1)
        shared[rows] = common[np.arange(len(common)), nearest[rows]]
    distance = np.clip(1.0 - shared, 0.0, 1.0)
    distance[distance < 1e-12] = 0.0
    return np.where(shared > 0, known.names[nearest], ""), distance
