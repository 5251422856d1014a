"""Predicted beside measured values for known electrolytes; writes a section of RESULTS.md.

    python -m benchmarks.known_electrolytes

The shipped weights have seen the cited values (all rows are used in the refit), so this shows what a user
sees, not an accuracy; held-out errors stand in another section.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from benchmarks.report import markdown_table, write_section
from softlyte.datasets.formulas import Compositions
from softlyte.datasets.tables import load_table
from softlyte.screening.predict import predict

SHOWN = (
    ("LiAlCl2.5O0.75", "glass"),
    ("NaAlCl2.5O0.75", "glass"),
    ("Li2.8Zr0.75Al0.25Cl3.75O1.4", "glass"),
    ("LiTaOCl4", "glass"),
    ("Li3YCl6", "crystal"),
    ("Li3InCl6", "crystal"),
    ("Li2ZrCl6", "crystal"),
    ("Li6PS5Cl", "crystal"),
    ("Li10GeP2S12", "crystal"),
    ("Li7La3Zr2O12", "crystal"),
)


def cited(table: str, columns: tuple[str, ...], formula: str) -> str:
    """Return the range of the cited values of one composition, over all rows and columns; empty if none."""
    rows = load_table(table)
    rows = rows[rows["formula"] != ""]
    same = (
        Compositions.from_formulas(rows["formula"]).keys() == Compositions.from_formulas([formula]).keys()[0]
    )
    values = rows.loc[same, list(columns)].apply(pd.to_numeric, errors="coerce").to_numpy().ravel()
    values = values[~np.isnan(values)]
    if not len(values):
        return ""
    low, high = f"{values.min():.3g}", f"{values.max():.3g}"
    return low if low == high else f"{low}-{high}"


def main() -> None:
    """Run the comparison."""
    body = []
    for formula, phase in SHOWN:
        row = predict([formula], phase=phase).iloc[0]

        def interval(name: str, row: pd.Series = row) -> str:
            return f"{row[name]:.3g} [{row[f'{name}_lower']:.2g}, {row[f'{name}_upper']:.2g}]"

        body.append(
            [
                formula,
                phase,
                interval("youngs_modulus_gpa"),
                cited("mechanics_cited", ("youngs_modulus_gpa_min", "youngs_modulus_gpa_max"), formula),
                interval("sigma_ms_cm"),
                cited("conductivity_cited", ("sigma_ms_cm",), formula),
                interval("stack_pressure_mpa"),
                f"{row['p_below_target_pressure']:.2f}",
                cited("pressure_cited", ("stack_pressure_mpa_min", "stack_pressure_mpa_max"), formula),
                f"{row['cost_usd_kg']:.3g} / {row['cost_usd_l']:.3g}",
                f"{row['applicability']:.2f}",
            ]
        )
    head = ["formula", "phase", "E, GPa", "cited", "sigma, mS/cm", "cited", "pressure, MPa", "P(< 2 MPa)"]
    text = markdown_table([*head, "published pressures", "cost, USD/kg / USD/L", "applicability"], body)
    print(text)
    write_section("known-electrolytes", text)


if __name__ == "__main__":
    main()
