"""Tables from the wheel crabnet 2.0.8: Materials Project (through Matbench v0.1), CritExam, OQMD.

Only data files are read. Matbench v0.1: Dunn et al. 2020, doi 10.1038/s41524-020-00406-3; Materials
Project: Jain et al. 2013, doi 10.1063/1.4812323; CritExam: Bartel et al. 2020, doi
10.1038/s41524-020-00362-y; OQMD: Kirklin et al. 2015, doi 10.1038/npjcompumats.2015.10.
"""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from softlyte.datasets.build.additive import additive_volume
from softlyte.datasets.build.artifacts import Reader
from softlyte.datasets.build.flagging import Flags, contradicting
from softlyte.datasets.formulas import Compositions
from softlyte.datasets.writing import BuiltTable

_DATA = "crabnet/data"
_PARTS = ("train", "val", "test")
_LOG10_2 = float(np.log10(2.0))
_AMU_PER_A3_IN_G_CM3 = 1.66053906660
"""1 u per cubic angstrom in g/cm3 (CODATA 2018 atomic mass constant)."""


def elastic_moduli(read: Reader) -> BuiltTable:
    """Return log10 K and log10 G, one row for each of Matbench's rows in Matbench's order.

    Raises ValueError if the two source files are not row-aligned.
    """
    shear = _read(read, f"{_DATA}/matbench/elasticity_log10(G_VRH).csv")
    bulk = _read(read, f"{_DATA}/matbench/elasticity_log10(K_VRH).csv")
    if list(shear["formula"]) != list(bulk["formula"]):
        raise ValueError("the K and G files of the wheel are not in the same row order; use crabnet 2.0.8")
    formula = pd.Series(Compositions.from_formulas(shear["formula"]).formulas())
    log_k, log_g = bulk["target"], shear["target"]
    k, g = 10.0**log_k, 10.0**log_g
    poisson = (3 * k - 2 * g) / (2 * (3 * k + g))
    flags = Flags(len(formula))
    # The source holds whole GPa; 1 GPa stands for anything up to 1.5 and for cut-off smaller values.
    flags.add(k < 1.5, "bulk_at_floor")
    flags.add(g < 1.5, "shear_at_floor")
    flags.add((poisson < -0.2) | (poisson > 0.48), "improbable_poisson")
    flags.add(contradicting(formula, log_k, _LOG10_2, _LOG10_2 / 2), "contradictory_bulk")
    flags.add(contradicting(formula, log_g, _LOG10_2, _LOG10_2 / 2), "contradictory_shear")
    frame = pd.DataFrame(
        {
            "matbench_row": np.arange(len(formula)),
            "formula": formula,
            "log10_bulk_modulus_gpa": log_k,
            "log10_shear_modulus_gpa": log_g,
            "flag": flags.text(),
        }
    )
    return BuiltTable(frame, {"log10_bulk_modulus_gpa": 6, "log10_shear_modulus_gpa": 6})


def formation_energy(read: Reader) -> BuiltTable:
    """Return the lowest formation energy of each reduced formula, sorted by formula."""
    source = _read(read, f"{_DATA}/matbench/mp_e_form.csv")
    source["formula"] = Compositions.from_formulas(source["formula"]).formulas()
    lowest = source.groupby("formula", sort=True)["target"].min()
    other = _critexam(read, "CritExam__Ef").reindex(lowest.index)
    flags = Flags(len(lowest))
    flags.add((lowest < -5.0) | (lowest > 2.0), "implausible_energy")
    flags.add((lowest - other).abs() > 0.1, "differs_from_critexam")
    frame = pd.DataFrame(
        {
            "formula": lowest.index,
            "formation_energy_ev_atom": lowest.to_numpy(),
            "flag": flags.text(),
        }
    )
    dropped = {"higher_energy_row_of_same_formula": len(source) - len(lowest)}
    return BuiltTable(frame, {"formation_energy_ev_atom": 6}, dropped)


def decomposition_energy(read: Reader) -> BuiltTable:
    """Return CritExam's formation and decomposition energy of each formula, sorted by formula."""
    formation = _critexam(read, "CritExam__Ef")
    decomposition = _critexam(read, "CritExam__Ed").reindex(formation.index)
    if decomposition.isna().any():
        raise ValueError("CritExam's Ef and Ed do not hold the same formulas; use crabnet 2.0.8")
    flags = Flags(len(formation))
    # Ed is the energy above (below, if negative) competing phases, which lie at or below the elements: a
    # value under the formation energy contradicts itself. 0.5 meV/atom allows for rounding.
    flags.add(decomposition < formation - 5e-4, "below_formation_energy")
    flags.add(decomposition > 2.0, "implausible_energy")
    frame = pd.DataFrame(
        {
            "formula": formation.index,
            "formation_energy_ev_atom": formation.to_numpy(),
            "decomposition_energy_ev_atom": decomposition.to_numpy(),
            "flag": flags.text(),
        }
    )
    return BuiltTable(frame, {"formation_energy_ev_atom": 6, "decomposition_energy_ev_atom": 6})


def crystal_volume(read: Reader) -> BuiltTable:
    """Return OQMD's volume and density of every compound with F, Cl, Br, I, O or S, sorted by formula.

    A volume is flagged where it is more than 1.6 times larger or smaller than the sum of its elements'
    mean volumes (least squares over the table itself): cells that were never relaxed.
    """
    source, compositions, anion, count = _oqmd_volumes(read)
    built = _volume_table(source, compositions, anion & (count > 1))
    dropped = {
        "no_f_cl_br_i_o_s": int((~anion).sum()),
        "element": int((anion & (count == 1)).sum()),
    }
    return BuiltTable(built.frame, built.decimals, dropped)


def crystal_volume_other(read: Reader) -> BuiltTable:
    """Return OQMD's volume of the other compounds (alloys, nitrides, phosphides) that formation_energy holds.

    What electrolytes decompose into besides salts; flags as in `crystal_volume`.
    """
    source, compositions, anion, count = _oqmd_volumes(read)
    known = set(
        Compositions.from_formulas(_read(read, f"{_DATA}/matbench/mp_e_form.csv")["formula"]).formulas()
    )
    shared = source["formula"].isin(known).to_numpy()
    built = _volume_table(source, compositions, ~anion & (count > 1) & shared)
    dropped = {
        "f_cl_br_i_o_s": int(anion.sum()),
        "element": int((~anion & (count == 1)).sum()),
        "not_in_formation_energy": int((~anion & (count > 1) & ~shared).sum()),
    }
    return BuiltTable(built.frame, built.decimals, dropped)


def _oqmd_volumes(
    read: Reader,
) -> tuple[pd.DataFrame, Compositions, NDArray[np.bool_], NDArray[np.int64]]:
    """Return OQMD's volumes, their compositions, who holds F, Cl, Br, I, O or S, and numbers of elements."""
    source = _parts(read, "OQMD_Volume_per_atom")
    compositions = Compositions.from_formulas(source["formula"])
    source["formula"] = compositions.formulas()
    anion = np.zeros(len(source), dtype=bool)
    for element in ("F", "Cl", "Br", "I", "O", "S"):
        anion |= compositions.amount_of(element) > 0
    return source, compositions, anion, (compositions.amounts > 0).sum(axis=1)


def _volume_table(source: pd.DataFrame, compositions: Compositions, chosen: NDArray[np.bool_]) -> BuiltTable:
    """Return the chosen rows, sorted by formula, with density and flags."""
    keep = np.flatnonzero(chosen)
    order = keep[np.argsort(source["formula"].to_numpy()[keep], kind="stable")]
    rows, compositions = source.iloc[order].reset_index(drop=True), compositions[order]
    if rows["formula"].duplicated().any():
        raise ValueError("OQMD_Volume_per_atom holds a formula twice; use crabnet 2.0.8")
    volume = rows["target"].to_numpy()
    mass = compositions.masses() / compositions.amounts.sum(axis=1)
    ratio = volume / additive_volume(compositions, volume)
    flags = Flags(len(rows))
    flags.add((ratio > 1.6) | (ratio < 1 / 1.6), "volume_far_from_additive")
    flags.add(volume < 5.0, "implausible_volume")
    frame = pd.DataFrame(
        {
            "formula": rows["formula"],
            "volume_a3_atom": volume,
            "density_g_cm3": mass / volume * _AMU_PER_A3_IN_G_CM3,
            "flag": flags.text(),
        }
    )
    return BuiltTable(frame, {"volume_a3_atom": 4, "density_g_cm3": 4})


def _critexam(read: Reader, name: str) -> pd.Series:
    source = _parts(read, name)
    source["formula"] = Compositions.from_formulas(source["formula"]).formulas()
    if source["formula"].duplicated().any():
        raise ValueError(f"{name} holds a formula twice; use crabnet 2.0.8")
    return source.set_index("formula")["target"].sort_index()


def _parts(read: Reader, name: str) -> pd.DataFrame:
    parts = [_read(read, f"{_DATA}/benchmark_data/{name}/{part}.csv") for part in _PARTS]
    return pd.concat(parts, ignore_index=True)


def _read(read: Reader, member: str) -> pd.DataFrame:
    # "NaN" is sodium nitride: nothing may be read as missing.
    return pd.read_csv(
        io.BytesIO(read(member)),
        dtype={"formula": str, "target": float},
        keep_default_na=False,
    )
