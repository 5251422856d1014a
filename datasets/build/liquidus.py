"""Glass transition beside melting or liquidus temperature of halide glasses, from the wheel glasspy 0.4.0.

Read like `glass_properties`: only SciGlass's data files (EPAM Systems 2019), none of the wheel's code.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from softlyte.datasets.build.artifacts import Reader
from softlyte.datasets.build.glasspy import glass_compositions, joined_glasses
from softlyte.datasets.writing import BuiltTable

_HALOGENS = ("F", "Cl", "Br", "I")
_ANIONS = (*_HALOGENS, "N", "O", "S", "Se", "Te")

RATIO_RANGE = (0.4, 0.95)
"""Glass transition over liquidus outside which one of the two is a typing error or another event."""


def glass_liquidus(read: Reader) -> BuiltTable:
    """Return glasses with at least half halogens among their anions and both temperatures, by number.

    The liquidus (TLiq) goes before the melting temperature (Tm) where both are given. A ratio of the two
    temperatures outside RATIO_RANGE flags the row as a whole.
    """
    columns = ["TG", "Tm", "TLiq"]
    source, dropped = joined_glasses(read, columns)
    compositions = glass_compositions(source)
    anions = sum(compositions.amount_of(symbol) for symbol in _ANIONS)
    halogens = sum(compositions.amount_of(symbol) for symbol in _HALOGENS)
    halide = np.asarray((anions > 0) & (halogens >= 0.5 * anions))
    both = (source["TG"].notna() & (source["TLiq"].notna() | source["Tm"].notna())).to_numpy()
    dropped |= {"not_a_halide": int((~halide).sum()), "no_liquidus": int((halide & ~both).sum())}
    keep = np.flatnonzero(halide & both)
    source, compositions = source.iloc[keep].reset_index(drop=True), compositions[keep]
    liquidus = source["TLiq"].notna()
    transition = source["TG"] + 273.15
    melting = source["TLiq"].where(liquidus, source["Tm"]) + 273.15
    odd = ~(transition / melting).between(*RATIO_RANGE)
    frame = pd.DataFrame(
        {
            "glass_id": source["KOD"].astype(str) + "-" + source["GLASNO"].astype(str),
            "formula": compositions.formulas(),
            "glass_transition_k": transition,
            "liquidus_k": melting,
            "kind": np.where(liquidus, "liquidus", "melting"),
            "year": source["Year"].astype(int),
            "flag": np.where(odd, "implausible", ""),
        }
    )
    return BuiltTable(frame, {"glass_transition_k": 2, "liquidus_k": 2}, dropped)
