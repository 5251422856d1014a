"""The OBELiX conductivity table from the sdist obelix-data 1.2.0.

OBELiX: Therrien et al. 2025, arXiv 2502.14234, CC BY 4.0. The sdist's processed.csv writes censored
conductivities ("<1E-10") as 1e-15; raw.xlsx keeps them, so both are read.
"""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from softlyte.datasets.build.artifacts import Reader
from softlyte.datasets.build.flagging import Flags, contradicting
from softlyte.datasets.formulas import DECIMALS, Compositions
from softlyte.datasets.writing import BuiltTable

_SIGMA = "Ionic conductivity (S cm-1)"
_AMU_PER_A3_IN_G_CM3 = 1.66053906660

ANION_RADII_A = {
    "H": 1.40,
    "N": 1.46,
    "O": 1.40,
    "F": 1.33,
    "S": 1.84,
    "Cl": 1.81,
    "Se": 1.98,
    "Br": 1.96,
    "I": 2.20,
}
"""Six-coordinate (N: four-coordinate) ionic radii in angstrom, Shannon 1976, doi 10.1107/S0567739476001551.

Hydride is not in Shannon's table; it is given oxide's radius, near its usual 1.3-1.5 angstrom."""

PACKING_RANGE = {
    "O": (0.7, 2.2),
    "F": (0.7, 2.0),
    "S": (0.7, 1.6),
    "Se": (0.7, 1.6),
    "Cl": (0.7, 1.6),
    "Br": (0.7, 1.6),
    "I": (0.7, 1.6),
}
"""By the commonest anion: cell volume over that of its close-packed anions, beyond which the stated cell
contents cannot be right (too many or too few formula units). Nitrides, hydrides, phosphides: no check."""


def conductivity_obelix(read: Reader) -> BuiltTable:
    """Return OBELiX's 599 measurements in its own order, with censoring, official split and density.

    Raises ValueError if processed.csv, raw.xlsx and the split files do not name the same entries.
    """
    rows = pd.read_csv(io.BytesIO(read("data/processed.csv")), keep_default_na=False, dtype=str)
    raw = pd.read_excel(
        io.BytesIO(read("data/raw.xlsx")), engine="openpyxl", dtype=str, keep_default_na=False
    )
    if list(rows["ID"]) != list(raw["ID"]):
        raise ValueError("OBELiX's processed.csv and raw.xlsx differ in their entries; use version 1.2.0")
    cell = Compositions.from_formulas(rows["Composition"])
    units = raw["Z"].astype(float).to_numpy()
    per_unit = Compositions(cell.atomic_numbers, np.round(cell.amounts / units[:, None], DECIMALS))
    formula = pd.Series(per_unit.formulas())
    space_group = rows["Space group number"].astype(int)
    stated = raw[_SIGMA].str.strip()
    censored = stated.str.startswith("<")
    log_sigma = pd.Series(np.log10(stated.str.lstrip("<").astype(float).to_numpy()))
    density, misfit = _cell(rows, cell)
    flags = Flags(len(rows))
    flags.add((formula == "Li3ClO") & (log_sigma > -2.0), "contested")
    flags.add(
        raw["note"].str.contains("composition should be corrected|check the composition"),
        "composition_doubted",
    )
    flags.add(raw["note"].str.contains("should be deleted|could be deleted|duplicated"), "entry_doubted")
    same_crystal = formula + " " + space_group.astype(str)
    flags.add(contradicting(same_crystal, log_sigma.where(~censored), 2.0, 1.0), "contradictory_sigma")
    flags.take_out(misfit, "density_g_cm3", "cell_contents_misfit", density, 4)
    frame = pd.DataFrame(
        {
            "id": rows["ID"],
            "formula": formula,
            "log10_sigma_s_cm": log_sigma,
            "censored": censored,
            "split": _official_split(read, rows["ID"]),
            "space_group": space_group,
            "density_g_cm3": np.where(misfit, np.nan, density),
            "family": raw["Family"].str.strip(),
            "doi": rows["DOI"].str.strip(),
            "flag": flags.text(),
        }
    )
    return BuiltTable(frame, {"log10_sigma_s_cm": 4, "density_g_cm3": 4})


def _official_split(read: Reader, ids: pd.Series) -> NDArray[np.object_]:
    """Return 'train' or 'test' for each id; raises ValueError if an id is in neither list or both."""
    parts = {
        side: set(
            pd.read_csv(io.BytesIO(read(f"data/{side}_idx.csv")), dtype=str, keep_default_na=False)["ID"]
        )
        for side in ("train", "test")
    }
    in_train, in_test = ids.isin(parts["train"]), ids.isin(parts["test"])
    if not (in_train ^ in_test).all():
        odd = ids[~(in_train ^ in_test)].iloc[0]
        raise ValueError(f"OBELiX's entry {odd!r} is not in exactly one of its official lists")
    return np.where(in_test, "test", "train").astype(object)


def _cell(rows: pd.DataFrame, cell: Compositions) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return crystal density in g/cm3 and whether the stated cell contents cannot be right, [N] each.

    OBELiX's Composition is the content of the whole unit cell (Z formula units). Touching close-packed
    anions of radius r take 4 sqrt(2) r^3 each; PACKING_RANGE bounds the cell volume relative to that.
    """
    a, b, c = (rows[side].astype(float).to_numpy() for side in "abc")
    cos = np.cos(np.radians(rows[["alpha", "beta", "gamma"]].astype(float).to_numpy()))
    volume = a * b * c * np.sqrt(1 - (cos**2).sum(axis=1) + 2 * cos.prod(axis=1))
    amounts = np.stack([cell.amount_of(element) for element in ANION_RADII_A], axis=1)
    packed = amounts @ (4 * np.sqrt(2) * np.array(list(ANION_RADII_A.values())) ** 3)
    limits = np.array([PACKING_RANGE.get(element, (0.0, np.inf)) for element in ANION_RADII_A])
    low, high = limits[amounts.argmax(axis=1)].T
    with np.errstate(divide="ignore"):
        ratio = volume / packed
    # A cell without any of these anions is not checked.
    misfit = (packed > 0) & ((ratio < low) | (ratio > high))
    return cell.masses() / volume * _AMU_PER_A3_IN_G_CM3, misfit
