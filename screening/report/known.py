"""What the cited tables know: electrolytes to draw beside the candidates, and the source of each value."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from softlyte.datasets.tables import load_table
from softlyte.screening.known import NOT_ELECTROLYTES

_MOBILE = re.compile(r"(?:Li|Na)(?![a-z])")


def address_of(doi: str | float, address: str | float = "") -> str:
    """Return a web address for a source, "" if none is known: that of the DOI, else of where it was read."""
    name = "" if pd.isna(doi) else str(doi).strip()
    if re.fullmatch(r"10\.\d+/\S+", name):
        return f"https://doi.org/{name}"
    found = re.match(r"https?://\S+", "" if pd.isna(address) else str(address).strip())
    return found.group() if found else ""


def facts_about(formulas: Iterable[str]) -> dict[str, list[dict[str, str]]]:
    """Return what the cited tables say of each formula: conductivity, modulus, window.

    Returns:
        formula -> facts, each with what, value (with unit), source and address; formulas without any are
        left out.
    """
    wanted = {formula for formula in formulas if formula}
    facts: dict[str, list[dict[str, str]]] = {}

    def add(row: Any, what: str, value: str, doi: str | float = "") -> None:
        caution = f"; flagged: {row.flag.replace('_', ' ')}" if _given(row.flag) else ""
        facts.setdefault(row.formula, []).append(
            {
                "what": what,
                "value": value + caution,
                "source": str(row.source_title),
                "address": address_of(doi, row.source_address),
            }
        )

    for row in _about("conductivity_cited", wanted):
        value = f"{row.sigma_ms_cm:.3g} mS/cm at {row.temperature_c:g} °C ({row.phase})"
        add(row, "Conductivity", value, row.doi)
    for row in _about("mechanics_cited", wanted):
        modulus = _range(row.youngs_modulus_gpa_min, row.youngs_modulus_gpa_max)
        if modulus:
            how = "computed" if row.computed == "yes" else "measured"
            add(row, "Young's modulus", f"{modulus} GPa ({how})")
    for row in _about("windows_cited", wanted):
        low = f"{row.reduction_v:.2f}" if pd.notna(row.reduction_v) else "?"
        high = f"{row.oxidation_v:.2f}" if pd.notna(row.oxidation_v) else "?"
        if (low, high) != ("?", "?"):
            how = {"yes": "computed", "no": "measured or stated"}.get(row.computed, "origin unclear")
            add(row, "Window", f"{low} to {high} V ({how})")
    return facts


def known_points() -> list[dict[str, Any]]:
    """Return the Li and Na electrolytes with both a cited modulus and a cited conductivity, for a map.

    Of several reports the geometric mean is the point and their range its bars. Modulus and conductivity are
    mostly of different samples. Flagged rows and upper bounds are left out. Conductivities come from
    conductivity_cited, and from OBELiX where that has none.

    Returns:
        one record each: formula, name, youngs_gpa and sigma_ms_cm as [point, lowest, highest], computed (is
        the modulus a computed one), modulus_source, sigma_source.
    """
    mechanics = load_table("mechanics_cited")
    formula, flag = mechanics["formula"].fillna(""), mechanics["flag"].fillna("")
    usable = (flag == "") & ~mechanics["class"].isin(NOT_ELECTROLYTES) & formula.str.contains(_MOBILE)
    mechanics = mechanics[usable & mechanics["youngs_modulus_gpa_max"].notna()]
    cited, obelix = load_table("conductivity_cited"), load_table("conductivity_obelix")
    cited = cited[(cited["flag"].fillna("") == "") & ~cited["censored"].astype(bool)]
    obelix = obelix[(obelix["flag"].fillna("") == "") & ~obelix["censored"].astype(bool)]
    points = []
    for name, moduli in mechanics.groupby("formula", sort=False):
        ours, theirs = cited[cited["formula"] == name], obelix[obelix["formula"] == name]
        if len(ours):
            sigma = ours["sigma_ms_cm"].to_numpy(np.float64)
            where = "; ".join(dict.fromkeys(ours["source_title"].astype(str)))
        elif len(theirs):
            sigma = 10.0 ** (theirs["log10_sigma_s_cm"].to_numpy(np.float64) + 3.0)
            where = "OBELiX, doi " + ", ".join(dict.fromkeys(theirs["doi"].fillna("").astype(str)))
        else:
            continue
        sigma = sigma[sigma > 0]
        high = moduli["youngs_modulus_gpa_max"].to_numpy(np.float64)
        low = moduli["youngs_modulus_gpa_min"].fillna(moduli["youngs_modulus_gpa_max"]).to_numpy(np.float64)
        low = low[low > 0]
        if not len(sigma) or not len(low):
            continue
        points.append(
            {
                "formula": str(name),
                "name": str(moduli["name"].iloc[0]),
                "youngs_gpa": _spread(np.concatenate([low, high])),
                "sigma_ms_cm": _spread(sigma),
                "computed": bool((moduli["computed"] == "yes").all()),
                "modulus_source": "; ".join(dict.fromkeys(moduli["source_title"].astype(str))),
                "sigma_source": where,
            }
        )
    return points


def _spread(values: np.ndarray) -> list[float]:
    point = float(np.exp(np.log(values).mean()))
    return [float(f"{v:.4g}") for v in (point, values.min(), values.max())]


def _about(table: str, wanted: set[str]) -> Iterable[Any]:
    frame = load_table(table)
    return frame[frame["formula"].isin(wanted)].itertuples(index=False)


def _given(value: object) -> bool:
    return isinstance(value, str) and value != ""


def _range(low: float, high: float) -> str:
    if pd.isna(high):
        return ""
    if pd.isna(low):
        return f"at most {high:.3g}"
    return f"{high:.3g}" if low == high else f"{low:.3g} to {high:.3g}"
