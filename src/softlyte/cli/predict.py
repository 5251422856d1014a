"""`softlyte predict`: every property of given formulas."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from softlyte.cli import options
from softlyte.cli.output import number_text, print_table
from softlyte.cli.progress import progress_bar
from softlyte.cli.results import check_place, chosen_format, give, place_of, read_formulas
from softlyte.datasets.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

LONG_INPUT = 200
"""Rows from which a progress bar is worth its line."""


def command(
    formulas: options.Formulas = None,
    file: options.FormulaFile = None,
    structure: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE...",
            help="CIF, POSCAR or pymatgen JSON files in place of formulas.",
            show_default=False,
        ),
    ] = None,
    phase: options.Phase = None,
    format: options.ResultFormat = None,
    as_json: options.Json = False,
    out: options.ResultFile = None,
    overwrite: options.Overwrite = False,
    targets: options.TargetsFile = None,
    route: options.Route = "mechanochemical",
    prices: options.Prices = None,
    date: options.PriceDate = None,
    without: options.Without = None,
    price_level: options.PriceLevel = "central",
    currency: options.Currency = "USD",
    thickness: options.Thickness = 50.0,
    weights: options.Weights = None,
    crystal_weights: options.CrystalWeights = None,
    device: options.Device = "auto",
    quiet: options.Quiet = False,
) -> None:
    """Predict modulus, conductivity, window, stability, stack pressure and cost of formulas.

    Each prediction comes with its 90% interval. Without --phase a formula is predicted as crystal and as
    glass. Costs follow the options of `softlyte cost`. Of a structure, moduli, density and energy above the
    hull are its own, the rest is its composition's.
    """
    files = [*structure, *(Path(name) for name in formulas or ())] if structure else []
    if files and (file is not None or phase is not None):
        raise UserError("a structure is one crystal; leave --file and --phase out")
    if crystal_weights is not None and not files:
        raise UserError("--crystal-weights is for structures; give --structure FILE, or leave it out")
    rows = None if files else read_formulas(formulas, file, "predict")
    written = check_place(out, chosen_format(format, as_json), overwrite)
    from softlyte.screening.costing import load_costing

    costing = load_costing(prices, date, without or (), route, price_level, currency, thickness)
    with progress_bar() as show:

        def advance(done: int, total: int) -> None:
            if total >= LONG_INPUT:
                show("predict", done, total)

        if rows is None:
            from softlyte.screening.structures import predict_structure_rows

            frame, rejected = predict_structure_rows(
                files,
                targets=targets,
                weights=weights,
                crystal_weights=crystal_weights,
                device=device,
                costing=costing,
                progress=advance,
            )
        else:
            from softlyte.screening.predict import predict_rows

            frame, rejected = predict_rows(
                rows,
                phase=phase,
                targets=targets,
                weights=weights,
                device=device,
                costing=costing,
                progress=advance,
            )
    place = "structure" if files else place_of(file)
    give(frame, rejected, place, written, out, lambda: _print_blocks(frame, thickness))


def _print_blocks(frame: pd.DataFrame, thickness: float) -> None:
    """Print a block per formula or structure: properties as rows, phases as columns, with intervals."""
    from softlyte.datasets.columns import COLUMNS, INTERVAL_LEVEL

    common = ("structure", "formula", "mobile_ion", "family", "phase")
    by = "structure" if "structure" in frame else "formula"
    names = [n for n in frame.columns if n in COLUMNS and n not in common]
    for name, block in frame.groupby(by, sort=False):
        formula = block["formula"].iloc[0]
        ion, family = block["mobile_ion"].iloc[0], block["family"].iloc[0]
        phases = [str(p) for p in block["phase"]]
        lines = []
        for column_name in names:
            column = COLUMNS[column_name]
            cells = [_cell(row, column_name, column.predicted) for _, row in block.iterrows()]
            unit = f"V vs {ion}/{ion}+" if column.unit == "V" else column.unit
            label = f"{column.label}, {thickness:g} um" if column_name == "cost_usd_m2" else column.label
            lines.append([label, unit, *cells])
        what = formula if by == "formula" else f"{name}: {formula}"
        title = f"{what}  ({ion} {family}; [{INTERVAL_LEVEL:.0%} interval])"
        print_table(["property", "unit", *phases], lines, title)


def _cell(row: pd.Series, name: str, predicted: bool) -> str:
    value = number_text(row[name], name)
    if not predicted or not value:
        return value
    return f"{value} [{number_text(row[name + '_lower'])}, {number_text(row[name + '_upper'])}]"
