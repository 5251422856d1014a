"""The published stack pressures that the pressure law is fitted on, and what is known of their materials.

Only rows in which the electrolyte itself set the pressure count; rows carried by an interlayer, binder,
spring, coating or temperature are flagged `other_lever` in the table and left out. One lever is modelled
instead: an alkali-metal electrode, which creeps into the gaps (lithium yields below 1 MPa). A published
pressure is one that worked: an upper bound, unless the source also says below which pressure the cell failed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtr

from softlyte.datasets.formulas import Compositions
from softlyte.datasets.tables import load_table
from softlyte.screening.contact import DEFAULT_CONTACT, elastic_pressure_mpa, plastic_pressure_mpa
from softlyte.screening.glass_transition import rule_estimate
from softlyte.screening.mechanics import mechanics, moduli_from_youngs

FloatArray = NDArray[np.float64]

ASSUMED_POISSON = 0.35
"""Poisson's ratio of soft halides and sulfides where only Young's modulus is cited (Li6PS5Cl: 0.37)."""

AMBIENT_MPA = 0.1
"""What acts on a cell without external pressure, which the table codes as 0: the atmosphere on its pouch."""

ROOM_K = 298.15

LZAOC_HARDNESS_SHARE = 0.1
"""Hardness of 1.4Li2O-0.75ZrCl4-0.25AlCl3 over that of sulfides: below 10% (press; the row in
mechanics_cited)."""


@dataclass(frozen=True)
class Observation:
    """One published pressure.

    Attributes:
        label: what it is.
        material: observations of one material are left out together.
        published: year of the source of the pressure.
        pressure_name: `name` of the unflagged rows of pressure_cited; `strategy` narrows them down.
        modulus_formula: `formula` of the unflagged rows of mechanics_cited that give the modulus.
        crystal: True for a DFT crystal modulus, which the pellet offset brings down.
        failed_below_mpa: the source's pressure below which the cell failed, 0 where only an upper bound is
            known.
        two_sided: True where the row is a range that cells need, not one that worked.
        alkali_metal: True if an alkali-metal electrode helped.
        glass_formula: composition of a glass that may flow, "" for a crystal.
        hardness_share: share of the modulus row's hardness that the material has (a statement without a
            number).
        log10_sd: uncertainty of the contact pressure in decades.
    """

    label: str
    material: str
    published: int
    pressure_name: str
    modulus_formula: str
    strategy: str = ""
    crystal: bool = False
    failed_below_mpa: float = 0.0
    two_sided: bool = False
    alkali_metal: bool = False
    glass_formula: str = ""
    hardness_share: float = 1.0
    log10_sd: float = 0.2


COLUMNS = ("label", "material", "contact", "contact_sd", "low", "high", "alkali_metal", "flow_weight")
"""Of a panel."""

OBSERVATIONS = (
    Observation(
        "sulfides, industry",
        "sulfide",
        2026,
        "sulfide electrolytes (industry)",
        "Li6PS5Cl",
        crystal=True,
        two_sided=True,
        log10_sd=0.1,
    ),
    Observation(
        "Li6PS5Cl with lithium",
        "sulfide",
        2020,
        "LPSC",
        "Li6PS5Cl",
        "stack pressure 5 MPa with Li metal",
        crystal=True,
        alkali_metal=True,
        log10_sd=0.1,
    ),
    Observation(
        "Na4(CB11H12)2(B12H12) with sodium",
        "closo-borate",
        2022,
        "NCBB",
        "NaB6H6",
        "stack pressure sweep, soft electrolyte",
        failed_below_mpa=1.0,
        alkali_metal=True,
        log10_sd=0.2,
    ),
    Observation(
        "LZAOC with lithium",
        "LZAOC",
        2026,
        "LZAOC 1.4Li2O-0.75ZrCl4-0.25AlCl3",
        "Li6PS5Cl",
        crystal=True,
        alkali_metal=True,
        glass_formula="Li2.8Zr0.75Al0.25Cl3.75O1.4",
        hardness_share=LZAOC_HARDNESS_SHARE,
        log10_sd=0.3,
    ),
    Observation(
        "LACO powder",
        "LACO powder",
        2026,
        "powdery LACO",
        "Li2Al0.9Cl3.3O0.7",
        glass_formula="Li2Al0.9Cl3.3O0.7",
    ),
    Observation("LACO glass", "LACO glass", 2023, "LACO", "LiAlCl2.5O0.75", glass_formula="LiAlCl2.5O0.75"),
    Observation("NACO glass", "NACO glass", 2023, "NACO", "NaAlCl2.5O0.75", glass_formula="NaAlCl2.5O0.75"),
    Observation(
        "GaF3-2LiCl clay",
        "clay",
        2021,
        "GaF3-2LiCl clay",
        "Li2GaCl2F3",
        glass_formula="Li2GaCl2F3",
        log10_sd=0.5,
    ),
)
"""Rows where the electrolyte, with or without an alkali metal beside it, set the pressure."""


def contact_log10_mpa(
    bulk_gpa: FloatArray,
    shear_gpa: FloatArray,
    hardness_log10_offset: FloatArray | float,
    fraction: float = DEFAULT_CONTACT,
) -> tuple[FloatArray, NDArray[np.bool_], FloatArray]:
    """Return log10 of the contact pressure, whether it is plastic, and log10 of the hardness (all for MPa).

    The smaller of the elastic and the plastic pressure governs. The arrays have the shape of K and G.

    Args:
        bulk_gpa: bulk modulus.
        shear_gpa: shear modulus, of the same shape.
        hardness_log10_offset: offset of measured hardness from the Tian form, its mean or draws of it that
            broadcast to the shape of K and G.
        fraction: wanted real over nominal contact area.
    """
    solid = mechanics(bulk_gpa, shear_gpa)
    hardness = solid.hardness_tian_gpa * 10.0**hardness_log10_offset
    elastic = elastic_pressure_mpa(solid.plane_modulus_gpa, fraction)
    plastic = plastic_pressure_mpa(hardness, fraction)
    return np.log10(np.minimum(elastic, plastic)), plastic <= elastic, np.log10(hardness * 1e3)


def panel(
    hardness_log10_offset: float,
    pellet_log10_offset: float,
    pressure: pd.DataFrame | None = None,
    elastic: pd.DataFrame | None = None,
    published_until: int | None = None,
) -> pd.DataFrame:
    """Return the observations as numbers, one row each; with a year those published until then.

    Columns: label, material, contact (log10 of the contact pressure in MPa at DEFAULT_CONTACT), contact_sd,
    low, high (log10 MPa; low is -inf for an upper bound), alkali_metal (0 or 1), flow_weight (probability
    that the glass flows at 25 C by the melting rule alone, so that no measured glass transition enters).

    Raises ValueError naming an observation that the tables do not hold.
    """
    pressure = load_table("pressure_cited") if pressure is None else pressure
    elastic = load_table("mechanics_cited") if elastic is None else elastic
    lines = []
    for seen in OBSERVATIONS:
        if published_until is not None and seen.published > published_until:
            continue
        rows = pressure[(pressure["name"] == seen.pressure_name) & (pressure["flag"] == "")]
        if seen.strategy:
            rows = rows[rows["strategy"] == seen.strategy]
        if rows.empty:
            raise ValueError(f"the cited tables hold no pressure for {seen.label}")
        contact = _contact(seen, elastic, hardness_log10_offset, pellet_log10_offset)
        highest = max(float(rows["stack_pressure_mpa_max"].max()), AMBIENT_MPA)
        lowest = float(rows["stack_pressure_mpa_min"].min()) if seen.two_sided else seen.failed_below_mpa
        lines.append(
            {
                "label": seen.label,
                "material": seen.material,
                "contact": contact + np.log10(seen.hardness_share),
                "contact_sd": seen.log10_sd,
                "low": np.log10(lowest) if lowest > 0 else -np.inf,
                "high": np.log10(highest),
                "alkali_metal": float(seen.alkali_metal),
                "flow_weight": _flow_weight(seen.glass_formula),
            }
        )
    return pd.DataFrame(lines, columns=list(COLUMNS))


def anchor(hardness_log10_offset: float, pellet_log10_offset: float) -> float:
    """Return log10 of the contact pressure of the sulfides in MPa, which the law is anchored on.

    It follows from a computed modulus, whether or not a pressure was published.
    """
    elastic = load_table("mechanics_cited")
    return _contact(OBSERVATIONS[0], elastic, hardness_log10_offset, pellet_log10_offset)


def _contact(seen: Observation, elastic: pd.DataFrame, hardness: float, pellet: float) -> float:
    """Return log10 of the contact pressure (MPa) of an observation by its cited modulus."""
    moduli = elastic[(elastic["formula"] == seen.modulus_formula) & (elastic["flag"] == "")]
    if moduli.empty:
        raise ValueError(f"the cited tables hold no modulus for {seen.label}")
    k, g = _moduli(moduli)
    scale = 10.0**pellet if seen.crystal else 1.0
    contact, _, _ = contact_log10_mpa(np.array(k * scale), np.array(g * scale), hardness)
    return float(contact)


def _moduli(rows: pd.DataFrame) -> tuple[float, float]:
    """Return mean K and G of cited rows in GPa, from E and ASSUMED_POISSON where only E is cited."""
    k = rows[["bulk_modulus_gpa_min", "bulk_modulus_gpa_max"]].mean(axis=1).mean()
    g = rows[["shear_modulus_gpa_min", "shear_modulus_gpa_max"]].mean(axis=1).mean()
    if not np.isnan(k) and not np.isnan(g):
        return float(k), float(g)
    e = rows[["youngs_modulus_gpa_min", "youngs_modulus_gpa_max"]].mean(axis=1).mean()
    bulk, shear = moduli_from_youngs(float(e), ASSUMED_POISSON)
    return float(bulk), float(shear)


def _flow_weight(formula: str) -> float:
    """Return P(glass transition below 25 C) by the melting rule, 0 for a crystal."""
    if not formula:
        return 0.0
    rule = rule_estimate(Compositions.from_formulas([formula]))
    return float(np.nan_to_num(ndtr((ROOM_K - rule.mean_k[0]) / rule.sd_k[0])))
