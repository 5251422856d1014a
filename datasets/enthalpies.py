"""Experimental formation enthalpies, read from the installed pymatgen."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pandas as pd

from softlyte.datasets.errors import UserError
from softlyte.datasets.formulas import Compositions

_FILE = "exp_compounds.json.gz"
_FOLDERS = ("analysis/compatibility", "entries", "analysis")
"""Where pymatgen has kept the file over the years, newest first."""


class EnthalpyError(UserError):
    """The enthalpies cannot be read from the installed pymatgen."""


def load_experimental_enthalpies() -> pd.DataFrame:
    """Return measured formation enthalpies of crystalline compounds at 298 K, elements at 0.

    Columns:
        formula: reduced formula in normal form, each once.
        formation_enthalpy_ev_per_formula: eV per formula unit as the source writes it.
        formation_enthalpy_ev_atom: eV per atom.
        uncertainty_ev_atom: stated uncertainty in eV per atom, NaN where the source gives none.
        materials_project_id: entry of the crystal in the Materials Project.

    The data are those of the Materials Project's mixing corrections (Wang et al. 2021, doi
    10.1038/s41598-021-94550-5), which collects Kubaschewski, NIST-JANAF and other compilations. They are
    measured enthalpies, not DFT: do not put single ones into a DFT hull.

    Raises EnthalpyError naming the file if the installed pymatgen does not hold it.
    """
    entries = json.loads(gzip.decompress(_path().read_bytes()))
    compositions = Compositions.from_formulas(entry["formula"] for entry in entries)
    per_formula = np.array([entry["exp energy"] for entry in entries], dtype=np.float64)
    uncertainty = np.array(
        [np.nan if entry["uncertainty"] is None else entry["uncertainty"] for entry in entries],
        dtype=np.float64,
    )
    atoms = compositions.amounts.sum(axis=1)
    per_atom = per_formula / atoms
    return pd.DataFrame(
        {
            "formula": compositions.formulas(),
            "formation_enthalpy_ev_per_formula": per_formula,
            "formation_enthalpy_ev_atom": per_atom,
            # A zero stands for "not stated": no calorimeter is exact.
            "uncertainty_ev_atom": np.where(uncertainty > 0, uncertainty, np.nan) / atoms,
            "materials_project_id": [entry["mpid"] or "" for entry in entries],
        }
    )


def _path() -> Path:
    import pymatgen.core

    root = Path(pymatgen.core.__file__).resolve().parent.parent
    roots = [root, *(Path(part) for part in getattr(pymatgen, "__path__", []))]
    for folder in _FOLDERS:
        for base in roots:
            if (base / folder / _FILE).is_file():
                return base / folder / _FILE
    raise EnthalpyError(
        f"the installed pymatgen holds no {_FILE} (looked in {', '.join(_FOLDERS)}); "
        "install pymatgen>=2025.1.9"
    )
