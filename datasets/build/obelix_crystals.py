"""Halide crystals of OBELiX's sdist obelix-data 1.2.0 that candidates are derived from by substitution.

OBELiX: Therrien et al. 2025, arXiv 2502.14234, CC BY 4.0. Its CIFs of disordered crystals carry coordinates
that were shifted at random; they give the topology of a parent, which a relaxation has to put right.
"""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
from pymatgen.core import Structure

from softlyte.datasets.build.artifacts import Reader
from softlyte.datasets.formulas import Compositions
from softlyte.datasets.writing import BuiltTable

ENTRIES = (
    *("4kt", "4p7", "9wf", "an2", "be9", "bjw", "de5"),
    *("dvn", "ei3", "elz", "l9v", "p81", "qbb", "yav"),
)
"""Halides and oxyhalides without doped sites whose cell contents fit the stated composition."""


def crystal_parents(read: Reader) -> BuiltTable:
    """Return OBELiX's halide and oxyhalide crystals with their CIF text, by entry id."""
    rows = []
    for entry in ENTRIES:
        text = read(f"data/randomized_cifs/{entry}.cif").decode("utf-8").replace("\r\n", "\n")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            structure = Structure.from_str(text, fmt="cif")
        rows.append(
            {
                "id": entry,
                "formula": Compositions.from_formulas([_nominal(structure)]).formulas()[0],
                "sites": len(structure),
                "disordered": not structure.is_ordered,
                "cif": text,
            }
        )
    return BuiltTable(pd.DataFrame(rows), {})


def _nominal(structure: Structure) -> str:
    """Return the cell's composition, refined occupancies rounded to whole atoms."""
    amounts = structure.composition.get_el_amt_dict()
    return "".join(f"{symbol}{int(np.round(amount))}" for symbol, amount in amounts.items())
