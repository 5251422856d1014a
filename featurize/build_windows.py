"""Rebuild the table `windows_computed`: hull distance and window of the known Li and Na compounds.

Run `python -m softlyte.featurize.build_windows` after the table formation_energy has changed.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from rich.progress import Progress

from softlyte.datasets.formulas import Compositions
from softlyte.datasets.tables import load_table, tables_folder
from softlyte.datasets.writing import BuiltTable, seal_card, write_table
from softlyte.featurize.phase_diagram import HullStore

NAME = "windows_computed"

MAX_ABOVE_HULL = 0.05
"""eV/atom above the hull up to which a compound is in the table: about what synthesis forgives."""

MAX_OXIDATION_V = 7.5
"""V; beyond what any fluoride bears (LiF 6.4, complex fluorides up to 7.4), so a product is missing."""

_FLAG = "oxidation_beyond_fluorides"


def build_windows(store: HullStore, formulas: list[str]) -> BuiltTable:
    """Compute the rows of windows_computed.

    Args:
        store: formation energies of all phases.
        formulas: the phases to consider; those that are compounds of Li or Na within MAX_ABOVE_HULL of the
            hull become rows, alphabetical by formula.

    Returns:
        formula, mobile_ion (the more abundant of Li and Na, Li if equal), e_above_hull_ev_atom (0 on the
        hull), reduction_v, oxidation_v (phases above the hull put on it), flag.
    """
    compositions = Compositions.from_formulas(formulas)
    lithium, sodium = compositions.amount_of("Li"), compositions.amount_of("Na")
    compound = (compositions.atomic_numbers > 0).sum(axis=1) > 1
    compositions = compositions[((lithium > 0) | (sodium > 0)) & compound]
    ions = np.where(compositions.amount_of("Na") > compositions.amount_of("Li"), "Na", "Li")
    with Progress() as bar:
        task = bar.add_task("hulls and windows", total=len(compositions))
        result = store.evaluate(
            compositions, ions.tolist(), exclude_self=False, progress=lambda rows: bar.advance(task, rows)
        )
    frame = pd.DataFrame(
        {
            "formula": compositions.formulas(),
            "mobile_ion": ions,
            # The phase itself is part of the hull here, so below 0 there is only rounding.
            "e_above_hull_ev_atom": np.maximum(result.e_above_hull_ev_atom, 0.0),
            "reduction_v": result.reduction_v,
            "oxidation_v": result.oxidation_v,
            "flag": np.where(result.oxidation_v > MAX_OXIDATION_V, _FLAG, ""),
        }
    )
    near = frame["e_above_hull_ev_atom"] <= MAX_ABOVE_HULL
    rows = frame[near].sort_values("formula", ignore_index=True)
    decimals = {"e_above_hull_ev_atom": 6, "reduction_v": 4, "oxidation_v": 4}
    return BuiltTable(rows, decimals, {"more_than_50_mev_atom_above_hull": int((~near).sum())})


def main() -> None:
    """Rebuild the table file and seal its card."""
    table = load_table("formation_energy", drop_flagged=True)
    built = build_windows(HullStore.from_table(), table["formula"].tolist())
    path = write_table(built, tables_folder() / f"{NAME}.csv.gz")
    seal_card(tables_folder() / f"{NAME}.yaml", path, built.dropped)


if __name__ == "__main__":
    main()
