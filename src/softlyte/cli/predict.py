"""`softlyte predict`: every property of given formulas."""

from __future__ import annotations

from typing import TYPE_CHECKING

from softlyte.cli import options
from softlyte.cli.output import number_text, print_table
from softlyte.cli.progress import progress_bar
from softlyte.cli.results import check_place, chosen_format, give, place_of, read_formulas

if TYPE_CHECKING:
    import pandas as pd

LONG_INPUT = 200
"""Rows from which a progress bar is worth its line."""


def command(
    formulas: options.Formulas = None,
    file: options.FormulaFile = None,
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
    device: options.Device = "auto",
    quiet: options.Quiet = False,
) -> None:
    """Predict modulus, conductivity, window, stability, stack pressure and cost of formulas.

    Each prediction comes with its 90% interval. Without --phase a formula is predicted as crystal and as
    glass. Costs follow the options of `softlyte cost`.
    """
    rows = read_formulas(formulas, file, "predict")
    written = check_place(out, chosen_format(format, as_json), overwrite)
    from softlyte.screening.costing import load_costing
    from softlyte.screening.predict import predict_rows

    costing = load_costing(prices, date, without or (), route, price_level, currency, thickness)
    with progress_bar() as show:

        def advance(done: int, total: int) -> None:
            if total >= LONG_INPUT:
                show("predict", done, total)

        frame, rejected = predict_rows(
            rows,
            phase=phase,
            targets=targets,
            weights=weights,
            device=device,
            costing=costing,
            progress=advance,
        )
    give(frame, rejected, place_of(file), written, out, lambda: _print_blocks(frame, thickness))


def _print_blocks(frame: pd.DataFrame, thickness: float) -> None:
    """Print one block per formula: properties as rows, its phases as columns, `value [lower, upper]`."""
    from softlyte.datasets.columns import COLUMNS, INTERVAL_LEVEL

    common = ("formula", "mobile_ion", "family", "phase")
    names = [n for n in frame.columns if n in COLUMNS and n not in common]
    for formula, block in frame.groupby("formula", sort=False):
        ion, family = block["mobile_ion"].iloc[0], block["family"].iloc[0]
        phases = [str(p) for p in block["phase"]]
        lines = []
        for name in names:
            column = COLUMNS[name]
            cells = [_cell(row, name, column.predicted) for _, row in block.iterrows()]
            unit = f"V vs {ion}/{ion}+" if column.unit == "V" else column.unit
            label = f"{column.label}, {thickness:g} um" if name == "cost_usd_m2" else column.label
            lines.append([label, unit, *cells])
        title = f"{formula}  ({ion} {family}; [{INTERVAL_LEVEL:.0%} interval])"
        print_table(["property", "unit", *phases], lines, title)


def _cell(row: pd.Series, name: str, predicted: bool) -> str:
    value = number_text(row[name], name)
    if not predicted or not value:
        return value
    return f"{value} [{number_text(row[name + '_lower'])}, {number_text(row[name + '_upper'])}]"
