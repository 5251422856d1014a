"""Fit the numbers of the mechanics and pressure models and write their table.

    python -m softlyte.screening.fit_parameters [--pellet-curves FILE.csv] [--out FOLDER]

Everything is fitted on tables of the package but the pellet curves, which their publishers keep: without a
file of them the four numbers fitted on them are taken over from the present table. Takes about half a minute.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pymatgen.core import Element

from softlyte.datasets.formulas import MAX_ATOMIC_NUMBER, Compositions
from softlyte.datasets.tables import load_table, tables_folder
from softlyte.datasets.writing import BuiltTable, seal_card, write_table
from softlyte.models.support import ANIONS as ANION_CLASSES
from softlyte.models.support import main_anion
from softlyte.screening.fusion import ANIONS, HALOGENS, OXYGEN
from softlyte.screening.mechanics import mechanics
from softlyte.screening.parameters import Parameter, replaced
from softlyte.screening.pellet import fit_curves
from softlyte.screening.pressure_fit import FLOW_SCATTER, fit, summarise
from softlyte.screening.pressure_panel import anchor, panel

FloatArray = NDArray[np.float64]
Row = tuple[str, float, float, str, int, str]
"""Parameter, value, standard deviation, unit, rows that it was fitted on, what it is and from where."""

HEAVY_SHARE = 0.9
"""Share of Cl, Br and I among the anions from which on a glass counts as a heavy-halide glass."""

PELLET_PAIRS = (
    ("LLZO", "t-LLZO"),
    ("Al-stabilised cubic LLZO", "t-LLZO"),
    ("LLTO", "LLTO Li1/2La1/2TiO3"),
    ("LATP", "LiTi2(PO4)3"),
    ("LATP coarse to fine grained", "LiTi2(PO4)3"),
    ("Na1+2xAlxYxZr2-2x(PO4)3", "NaZr2(PO4)3"),
    ("75Li2S-25P2S5 glass (Li3PS4 composition)", "gamma-Li3PS4"),
)
"""Measured material and the computed crystal of the same kind, by `name` in mechanics_cited."""

MILLER_HECKEL_MPA = 246.0
"""Mean yield pressure of Li5.5PS4.5Cl1.5 pellets (Miss et al., ACS Appl. Mater. Interfaces 2026)."""

DOUX_POROSITY, DOUX_MPA = 0.18, 370.0
"""Porosity of Li6PS5Cl pressed at a pressure (Doux et al., Adv. Energy Mater. 10, 1903253, 2020)."""


def hardness_offset() -> Row:
    """Return mean and scatter of log10(measured hardness / Tian form) over glasses with K, G and hardness."""
    glasses = load_table("glass_properties", drop_flagged=True).dropna(
        subset=["bulk_modulus_gpa", "shear_modulus_gpa", "hardness_gpa"]
    )
    form = mechanics(glasses["bulk_modulus_gpa"].to_numpy(), glasses["shear_modulus_gpa"].to_numpy())
    offset = np.log10(glasses["hardness_gpa"].to_numpy() / form.hardness_tian_gpa)
    what = "measured hardness over the form of Tian et al. 2012, glasses of glass_properties"
    return "hardness_tian_log10_offset", offset.mean(), offset.std(), "decades", len(offset), what


def pellet_offset() -> Row:
    """Return mean and scatter of log10(measured pellet / computed crystal) of Young's modulus."""
    table = load_table("mechanics_cited")
    young = table[["youngs_modulus_gpa_min", "youngs_modulus_gpa_max"]].mean(axis=1)
    by_name = young.groupby(table["name"]).mean()
    ratio = np.log10([by_name[measured] / by_name[computed] for measured, computed in PELLET_PAIRS])
    what = "Young's modulus of measured pellets over DFT crystals of the same kind, pairs of mechanics_cited"
    return "pellet_log10_offset", ratio.mean(), ratio.std(ddof=1), "decades", len(ratio), what


class _Glasses:
    """Cation shares, anion shares and glass transition of the glasses that have one."""

    def __init__(self) -> None:
        table = load_table("glass_properties")
        table = table[table["glass_transition_k"].notna()]
        self.compositions = Compositions.from_formulas(table["formula"])
        self.kelvin = table["glass_transition_k"].to_numpy()
        wide = np.zeros((len(table), MAX_ATOMIC_NUMBER + 1))
        rows = np.arange(len(table))[:, None]
        np.add.at(wide, (rows, self.compositions.atomic_numbers.astype(int)), self.compositions.amounts)
        anion = np.isin(np.arange(MAX_ATOMIC_NUMBER + 1), list(ANIONS))
        with np.errstate(invalid="ignore"):
            self.anions = np.nan_to_num(wide * anion / (wide * anion).sum(axis=1, keepdims=True))
            self.cations = np.nan_to_num(wide * ~anion / (wide * ~anion).sum(axis=1, keepdims=True))
        self.heavy = self.anions[:, list(HALOGENS[1:])].sum(axis=1)


def transition_ratio() -> Row:
    """Return glass transition over liquidus of heavy-halide glasses."""
    table = load_table("glass_liquidus", drop_flagged=True)
    compositions = Compositions.from_formulas(table["formula"])
    heavy = np.sum([compositions.amount_of(s) for s in ("Cl", "Br", "I")], axis=0)
    others = np.sum([compositions.amount_of(s) for s in ("F", "O", "S", "Se", "Te", "N")], axis=0)
    ratio = (table["glass_transition_k"] / table["liquidus_k"])[heavy >= HEAVY_SHARE * (heavy + others)]
    what = "glass transition over liquidus, glasses of glass_liquidus with at least 90% of Cl, Br, I"
    return "glass_transition_ratio", ratio.mean(), ratio.std(), "", len(ratio), what


def transition_slopes(glasses: _Glasses) -> list[Row]:
    """Return how fast glass transitions of heavy-halide glasses part with cation shares and with oxygen."""
    heavy = np.flatnonzero(glasses.heavy > HEAVY_SHARE)
    cations, log_k = glasses.cations[heavy], np.log(glasses.kelvin[heavy])
    first, second = np.triu_indices(len(heavy), 1)
    distance = np.concatenate(
        [0.5 * np.abs(cations[i + 1 :] - cations[i]).sum(axis=1) for i in range(len(heavy) - 1)]
    )
    apart = (log_k[first] - log_k[second]) ** 2
    edges = np.array([0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0001])
    place = np.digitize(distance, edges) - 1
    centre = np.array([distance[place == b].mean() for b in range(len(edges) - 1)])
    square = np.array([apart[place == b].mean() for b in range(len(edges) - 1)])
    # The nearest pairs differ as repeat measurements do; what comes on top is fitted by a line through zero.
    excess = np.sqrt(np.maximum(square[1:] - square[0], 0.0))
    slope = float((excess * centre[1:]).sum() / (centre[1:] ** 2).sum())
    blind = float(np.sqrt(square[-1]))
    what = "relative difference of glass transitions per unit of cation distance, heavy-halide glasses"
    rows: list[Row] = [("glass_transition_cation_slope", slope, 0.0, "", len(heavy), what)]
    what = "relative difference of glass transitions of heavy-halide glasses with hardly a cation in common"
    rows.append(("glass_transition_blind", blind, 0.0, "", len(heavy), what))
    oxygen = glasses.anions[:, OXYGEN]
    with_oxygen = np.flatnonzero((oxygen > 0.03) & (oxygen < 0.4) & (glasses.heavy > 0.6))
    pairs = []
    for row in with_oxygen:
        near = 0.5 * np.abs(cations - glasses.cations[row]).sum(axis=1) < 0.2
        if near.any():
            pairs.append((oxygen[row], np.log(glasses.kelvin[row]) - np.median(log_k[near])))
    share, shift = np.array(pairs).T
    slope = float(np.sqrt((shift**2).sum() / (share**2).sum()))
    what = "relative change of the glass transition per unit of oxygen among the anions, against like cations"
    rows.append(("glass_transition_oxygen_slope", slope, 0.0, "", len(share), what))
    return rows


def eutectic_excess() -> Row:
    """Return by how much the eutectic of an ideal mixture lies above the measured one."""
    excess = load_table("eutectics_cited", drop_flagged=True)["ideal_minus_measured_k"]
    what = "eutectic of an ideal mixture minus the measured one, eutectics_cited"
    return "ideal_eutectic_excess_k", excess.mean(), excess.std(), "K", len(excess), what


def pressure_law(hardness: Row, pellet: Row, published_until: int | None = None) -> list[Row]:
    """Return the numbers of the pressure law, with a year those that pressures published until then give."""
    seen = panel(hardness[1], pellet[1], published_until=published_until)
    posterior = fit(seen, anchor(hardness[1], pellet[1]))
    numbers = summarise(seen, posterior)
    moments = posterior.moments()
    count, source = len(seen), "Bayesian fit on the material-only rows of pressure_cited"
    flow = moments["flow"]
    return [
        (
            "law_anchor",
            numbers.anchor,
            0.0,
            "log10(MPa)",
            count,
            f"contact pressure of the sulfides; {source}",
        ),
        ("law_intercept", numbers.intercept, 0.0, "decades", count, f"median offset at the anchor; {source}"),
        (
            "law_slope",
            numbers.slope,
            moments["slope"][1],
            "",
            count,
            f"decades per decade of contact pressure; {source}",
        ),
        *(
            (
                f"law_variance_{i}",
                v,
                0.0,
                "decades^2",
                count,
                f"predictive variance, power {i} of the distance; {source}",
            )
            for i, v in enumerate(numbers.variance)
        ),
        ("law_loo_rms", numbers.loo_rms, 0.0, "decades", count, f"leave-one-material-out residual; {source}"),
        (
            "alkali_metal_shift",
            *moments["shift"],
            "decades",
            count,
            f"effect of an alkali-metal electrode; {source}",
        ),
        (
            "flow_log10_mpa",
            flow[0],
            float(np.hypot(flow[1], FLOW_SCATTER)),
            "log10(MPa)",
            count,
            f"pressure under flow; {source}",
        ),
    ]


def pellet_numbers(curves: pd.DataFrame, hardness: Row) -> list[Row]:
    """Return the numbers fitted on measured pellet curves."""
    table = load_table("mechanics_cited")
    table = table[table["bulk_modulus_gpa_min"].notna() & (table["class"].str.startswith("sulfide"))]
    form = mechanics(table["bulk_modulus_gpa_min"].to_numpy(), table["shear_modulus_gpa_min"].to_numpy())
    gpa = dict(zip(table["formula"], form.hardness_tian_gpa * 10.0 ** hardness[1], strict=True))
    gpa["Li5.5PS4.5Cl1.5"] = gpa["Li6PS5Cl"]
    found = fit_curves(curves, gpa)
    half = np.log10(found["half_over_hardness"])
    source = "sulfide pellets, Cronau et al. 2021 (doi 10.1021/acsenergylett.1c01299) and Miss et al. 2026"
    heckel = np.log10(MILLER_HECKEL_MPA / (1e3 * gpa["Li6PS5Cl"]))
    intercept = np.log(1 / DOUX_POROSITY) - DOUX_MPA / MILLER_HECKEL_MPA
    return [
        (
            "pellet_log10_half_over_hardness",
            half.mean(),
            half.std(ddof=1),
            "decades",
            len(half),
            f"half pressure over hardness; {source}",
        ),
        (
            "pellet_exponent",
            found["exponent"].mean(),
            found["exponent"].std(ddof=1),
            "",
            len(half),
            f"Hill exponent; {source}",
        ),
        (
            "heckel_log10_yield_over_hardness",
            heckel,
            half.std(ddof=1),
            "decades",
            1,
            "246 MPa for Li5.5PS4.5Cl1.5 (Miss et al. 2026); scatter of the pellet curves",
        ),
        (
            "heckel_intercept",
            intercept,
            0.25,
            "",
            1,
            "18% porosity of Li6PS5Cl at 370 MPa (Doux et al. 2020); the error is a guess at the filling",
        ),
    ]


def support_table(glasses: _Glasses) -> pd.DataFrame:
    """Return how many glasses with a measured transition hold a cation beside a main anion."""
    anion = main_anion(glasses.compositions)
    lines = []
    for z in range(1, MAX_ATOMIC_NUMBER + 1):
        present = glasses.cations[:, z] >= 0.1
        for code, count in enumerate(np.bincount(anion[present], minlength=len(ANION_CLASSES) + 1)):
            if count and code:
                other = ANION_CLASSES[code - 1]
                lines.append((Element.from_Z(z).symbol, z, Element.from_Z(other).symbol, other, int(count)))
    return pd.DataFrame(
        lines, columns=["element", "atomic_number", "anion", "anion_atomic_number", "glasses"]
    )


def main(arguments: list[str] | None = None) -> None:
    """Fit everything and write both tables with their cards' checksums."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pellet-curves", type=Path, help="CSV with the points of the pellet curves")
    parser.add_argument(
        "--out", type=Path, default=tables_folder(), help="folder of the tables and their cards"
    )
    options = parser.parse_args(arguments)
    glasses = _Glasses()
    _write(BuiltTable(support_table(glasses), {}), options.out, "glass_transition_support")
    hardness, pellet = hardness_offset(), pellet_offset()
    rows: list[Row] = [hardness, pellet, transition_ratio(), *transition_slopes(glasses), eutectic_excess()]
    if options.pellet_curves is not None:
        rows += pellet_numbers(pd.read_csv(options.pellet_curves, keep_default_na=True), hardness)
    else:
        old = load_table("pressure_parameters")
        kept = old[old["parameter"].str.startswith(("pellet_log10_half", "pellet_exponent", "heckel"))]
        rows += [tuple(row) for row in kept.itertuples(index=False, name=None)]
    with replaced({row[0]: Parameter(row[1], row[2]) for row in rows}):
        rows += pressure_law(hardness, pellet)
    _write(_built(rows), options.out, "pressure_parameters")


def _built(rows: list[Row]) -> BuiltTable:
    columns = ["parameter", "value", "standard_deviation", "unit", "fitted_rows", "meaning"]
    return BuiltTable(pd.DataFrame(rows, columns=columns), {"value": 4, "standard_deviation": 4})


def _write(table: BuiltTable, folder: Path, name: str) -> None:
    path = write_table(table, folder / f"{name}.csv")
    seal_card(folder / f"{name}.yaml", path)


if __name__ == "__main__":
    main()
