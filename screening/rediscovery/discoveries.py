"""What was known until a year, and what was discovered after it.

A discovery is a lithium or sodium halide or oxyhalide that was measured at DISCOVERY_MS_CM or more near room
temperature, published after the year, and of which nothing alike had been measured before: no row of a
conductivity table that was, or may have been, published by then lies within NEAR_DUPLICATE of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from softlyte.datasets.distances import distances, within
from softlyte.datasets.formulas import Compositions
from softlyte.datasets.publication_year import LATEST_DELAY, publication_years
from softlyte.datasets.tables import load_table, unfit_rows
from softlyte.screening.families import FAMILIES, MOBILE_IONS, classify_family, mobile_ion_of

DISCOVERY_MS_CM = 1.0
"""Least conductivity of a discovery, the shipped target."""

NEAR_DUPLICATE = 0.02
"""Composition distance (`softlyte.datasets.distances`) up to which two compositions count as one: about a
tenth of a site in a substitution series of A2MX6."""

HALIDES = FAMILIES[: FAMILIES.index("antiperovskite")]
"""Families of halides and oxyhalides."""

_CONDUCTIVITIES = tuple(f"log10_sigma_s_cm_{celsius}c" for celsius in (20, 100, 150, 300))


@dataclass(frozen=True)
class Discovery:
    """A composition that was measured after a year, with those that count as one with it.

    Attributes:
        formula: the one with the highest conductivity.
        alike: the others within NEAR_DUPLICATE of it.
        year: of the earliest publication of any of them.
        sigma_ms_cm: highest measured conductivity near room temperature.
        phase: crystal, glass or unknown, of that measurement.
    """

    formula: str
    alike: tuple[str, ...]
    year: int
    sigma_ms_cm: float
    phase: str

    @property
    def formulas(self) -> tuple[str, ...]:
        """All of them, the name first."""
        return (self.formula, *self.alike)


def measurements() -> pd.DataFrame:
    """Return every measured conductivity, a row each.

    Columns: formula, phase, sigma_ms_cm (NaN for a glass of SciGlass), earliest and latest (first and last
    year in which it can have been published, NaN where not known) and usable (uncensored, unflagged, near
    room temperature).
    """
    cited = load_table("conductivity_cited")
    obelix = load_table("conductivity_obelix")
    glass = load_table("glass_properties")
    glass = glass[glass[list(_CONDUCTIVITIES)].notna().any(axis=1)]
    stated = publication_years(obelix["doi"])
    # Where the panel quotes an entry it says when the paper came out.
    quoted = cited.dropna(subset=["year_published"]).drop_duplicates("obelix_id").set_index("obelix_id")
    said = obelix["id"].map(quoted["year_published"].drop(index="", errors="ignore")).to_numpy(float)
    parts = [
        pd.DataFrame(
            {
                "formula": cited["formula"],
                "phase": cited["phase"],
                "sigma_ms_cm": cited["sigma_ms_cm"],
                "earliest": cited["year_published"].astype(float),
                "latest": cited["year_published"].astype(float),
                "usable": cited["train"].astype(bool) & ~cited["censored"].astype(bool),
            }
        ),
        pd.DataFrame(
            {
                "formula": obelix["formula"],
                "phase": "crystal",
                "sigma_ms_cm": 1e3 * 10.0 ** obelix["log10_sigma_s_cm"],
                "earliest": np.where(np.isnan(said), stated, said),
                "latest": np.where(np.isnan(said), stated + LATEST_DELAY, said),
                "usable": ~unfit_rows(obelix["flag"]) & ~obelix["censored"].astype(bool),
            }
        ),
        pd.DataFrame(
            {
                "formula": glass["formula"],
                "phase": "glass",
                "sigma_ms_cm": np.nan,
                "earliest": glass["year"].astype(float),
                "latest": glass["year"].astype(float),
                "usable": False,
            }
        ),
    ]
    return pd.concat(parts, ignore_index=True)


def is_halide(compositions: Compositions) -> NDArray[np.bool_]:
    """Return which are lithium or sodium halides or oxyhalides with no more oxygen than halogen, [N]."""
    family = np.isin(classify_family(compositions), [FAMILIES.index(name) for name in HALIDES])
    halogen = np.sum([compositions.amount_of(x) for x in ("F", "Cl", "Br", "I")], axis=0)
    mobile = mobile_ion_of(compositions) < len(MOBILE_IONS)
    return np.asarray(family & mobile & (halogen >= compositions.amount_of("O")))


def known_until(table: pd.DataFrame, year: int) -> Compositions:
    """Return the lithium and sodium halides that were, or may have been, measured until a year."""
    compositions = Compositions.from_formulas(table["formula"][~(table["earliest"] > year)].drop_duplicates())
    return compositions[is_halide(compositions)]


def conductors_until(table: pd.DataFrame, year: int) -> Compositions:
    """Return those of them that were certainly published by then, at DISCOVERY_MS_CM or more."""
    fast = table["usable"] & (table["latest"] <= year) & (table["sigma_ms_cm"] >= DISCOVERY_MS_CM)
    compositions = Compositions.from_formulas(table["formula"][fast].drop_duplicates())
    return compositions[is_halide(compositions)]


def discoveries_after(table: pd.DataFrame, year: int) -> tuple[Discovery, ...]:
    """Return the discoveries after a year, fastest first.

    Args:
        table: `measurements()`.
        year: the last one that counts as known.
    """
    later = table[table["usable"] & (table["earliest"] > year) & (table["sigma_ms_cm"] >= DISCOVERY_MS_CM)]
    later = later.sort_values(["sigma_ms_cm", "formula"], ascending=[False, True], kind="stable")
    later = later.reset_index(drop=True)
    compositions = Compositions.from_formulas(later["formula"])
    before = Compositions.from_formulas(table["formula"][~(table["earliest"] > year)].drop_duplicates())
    new = is_halide(compositions) & ~within(compositions, before, NEAR_DUPLICATE)
    later, compositions = later[new].reset_index(drop=True), compositions[new]
    near = distances(compositions, compositions) <= NEAR_DUPLICATE + 1e-9
    found: list[Discovery] = []
    free = np.ones(len(later), bool)
    for first in range(len(later)):
        if not free[first]:
            continue
        together = np.flatnonzero(near[first] & free)
        free[together] = False
        rows = later.iloc[together]
        formulas = list(dict.fromkeys(compositions[together].formulas()))
        found.append(
            Discovery(
                formulas[0],
                tuple(formulas[1:]),
                int(rows["earliest"].min()),
                float(rows["sigma_ms_cm"].iloc[0]),
                str(rows["phase"].iloc[0]),
            )
        )
    return tuple(found)


def all_formulas(found: tuple[Discovery, ...]) -> tuple[str, ...]:
    """Return every formula of some discoveries, in their order."""
    return tuple(formula for discovery in found for formula in discovery.formulas)
