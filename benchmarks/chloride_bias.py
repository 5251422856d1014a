"""Two defects of the DFT energies of halides against measured enthalpies; writes a section of RESULTS.md.

python -m benchmarks.chloride_bias
"""

from __future__ import annotations

import argparse

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import HuberRegressor

from benchmarks.report import markdown_table, write_section
from softlyte.datasets.enthalpies import load_experimental_enthalpies
from softlyte.datasets.formulas import Compositions
from softlyte.datasets.splits import split_by_formula
from softlyte.featurize.corrections import (
    CHLORIDE_VALENCE_EV,
    OXIDE_CORRECTION_EV,
    chloride_shares,
    oxidised_halogen_correction,
)
from softlyte.featurize.phase_diagram import HullStore

Array = NDArray[np.float64]


def slope(chlorine: Array, weighted: Array, missing: Array) -> float:
    """Return the fitted eV per chlorine and charge beyond the first, from rows per atom.

    Args:
        chlorine: [N] chlorine per atom.
        weighted: [N] chlorine times its cation's valence, per atom.
        missing: [N] eV/atom, measured minus DFT.
    """
    fit = HuberRegressor(fit_intercept=False, alpha=0.0)
    fit.fit((weighted / chlorine - 1)[:, None], missing / chlorine)
    return float(fit.coef_[0])


def by_valence(valence: Array, error: Array) -> str:
    """Return the error per chlorine by the cation's valence as a Markdown table."""
    body = []
    for z in range(1, 7):
        rows = np.abs(valence - z) < 1e-6
        values = error[rows]
        body.append([str(z), str(rows.sum()), f"{values.mean():+.3f}", f"{np.median(values):+.3f}"])
    return markdown_table(["valence", "chlorides", "mean, eV per Cl", "median, eV per Cl"], body)


def main() -> None:
    """Run the benchmark."""
    argparse.ArgumentParser(description="bias of DFT chlorides against experiment").parse_args()
    measured = load_experimental_enthalpies()
    compositions = Compositions.from_formulas(measured["formula"])
    dft = HullStore.from_table(cached=False).known_energy(compositions)
    missing = measured["formation_enthalpy_ev_atom"].to_numpy() - dft
    halate = oxidised_halogen_correction(compositions)
    chlorine, weighted = chloride_shares(compositions)
    ammonium = compositions.amount_of("N") > 0  # NH4Cl: its error is that of ammonium
    rows = (chlorine > 0) & (halate == 0) & np.isfinite(dft) & ~ammonium
    chlorine, weighted, error = chlorine[rows], weighted[rows], missing[rows]
    half = split_by_formula(compositions[rows], (0.5, 0.0, 0.5), seed=0) == "train"
    body = []
    for name, fit in (("first (shipped)", half), ("second", ~half)):
        b, test = slope(chlorine[fit], weighted[fit], error[fit]), ~fit
        left = error[test] - b * (weighted - chlorine)[test]
        before, after = np.abs(error[test]).mean(), np.abs(left).mean()
        cells = [name, str(fit.sum()), f"{b:.3f}", str(test.sum()), f"{before:.3f}", f"{after:.3f}"]
        body.append([*cells, f"{after / before - 1:+.0%}"])
        if fit is half:
            assert abs(b - CHLORIDE_VALENCE_EV) < 5e-4, "the shipped slope is not the one that this fit gives"
    halves = markdown_table(
        ["fitted on half", "rows", "eV per Cl and charge", "tested on", "MAE before", "after", "change"], body
    )
    oxidised = (halate != 0) & np.isfinite(dft) & ~ammonium
    names = measured["formula"].to_numpy()[oxidised]
    per_formula = compositions.amounts.sum(axis=1)[oxidised]
    perchlorates = markdown_table(
        ["compound", "DFT minus measured, eV per formula", "corrected"],
        [
            [name, f"{-m * n:+.2f}", f"{(h - m) * n:+.2f}"]
            for name, m, h, n in zip(names, missing[oxidised], halate[oxidised], per_formula, strict=True)
        ],
    )
    binary = (compositions.atomic_numbers[rows] > 0).sum(axis=1) == 2
    valence = (weighted / chlorine)[binary]
    text = "\n\n".join(
        [
            f"DFT minus measured of {binary.sum()} binary chlorides:",
            by_valence(valence, -(error / chlorine)[binary]),
            "Correction `chloride_valence`, proportional to the valence beyond one (eV/atom, all chlorides):",
            halves,
            f"Correction `oxidised_halogens`, {OXIDE_CORRECTION_EV} eV per oxygen on a halogen, not fitted:",
            perchlorates,
        ]
    )
    print(text)
    write_section("chloride-bias", text)


if __name__ == "__main__":
    main()
