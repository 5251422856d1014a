"""`softlyte cost`: what formulas cost, and how they would be made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from softlyte.cli import options
from softlyte.cli.output import number_text, print_table
from softlyte.cli.results import check_place, chosen_format, give, place_of, read_formulas

if TYPE_CHECKING:
    import pandas as pd

    from softlyte.screening.quotation import Quotations

_ELSEWHERE = ("formula", "phase", "precursor_route", "batch_recipe", "byproducts", "alternative_routes")
"""Columns that are not in the first table of a formula."""


def command(
    formulas: options.Formulas = None,
    file: options.FormulaFile = None,
    route: options.Route = "mechanochemical",
    phase: options.Phase = None,
    prices: options.Prices = None,
    date: options.PriceDate = None,
    without: options.Without = None,
    price_level: options.PriceLevel = "central",
    currency: options.Currency = "USD",
    density: Annotated[
        float | None,
        typer.Option(help="g/cm3, in place of the predicted density.", show_default=False),
    ] = None,
    thickness: options.Thickness = 50.0,
    batch: Annotated[float, typer.Option(help="Mass of product that the recipe is for, grams.")] = 10.0,
    reference_year: Annotated[
        int, typer.Option(help="Year (2023-2030) of the sulfide price that costs are compared with.")
    ] = 2030,
    format: options.ResultFormat = None,
    as_json: options.Json = False,
    out: options.ResultFile = None,
    overwrite: options.Overwrite = False,
    weights: options.Weights = None,
    device: options.Device = "auto",
    quiet: options.Quiet = False,
) -> None:
    """Price formulas: USD per kg, litre and m2, the cheapest recipe, alternatives and supply risk.

    Precursors only: no processing, yield, solvent or profit. Each cost comes with its 90% interval. The
    density is predicted for a crystal and for a glass, unless --phase or --density says otherwise.
    """
    rows = read_formulas(formulas, file, "cost")
    written = check_place(out, chosen_format(format, as_json), overwrite)
    from softlyte.screening.costing import load_costing
    from softlyte.screening.quotation import quote_rows

    costing = load_costing(prices, date, without or (), route, price_level, currency, thickness)
    quotations = quote_rows(
        rows, phase, costing, density, batch, reference_year, weights=weights, device=device
    )
    give(
        quotations.table,
        quotations.rejected,
        place_of(file),
        written,
        out,
        lambda: _print_blocks(quotations, batch, thickness, reference_year),
    )


def _print_blocks(quotations: Quotations, batch: float, thickness: float, reference_year: int) -> None:
    """Print for each formula its costs (phases as columns), its recipe and its alternatives."""
    from softlyte.datasets.columns import COLUMNS, INTERVAL_LEVEL

    extra = {"cost_usd_m2": f", {thickness:g} um", "sulfide_usd_kg": f", {reference_year}"}
    costs = [name for name in quotations.table.columns if name in COLUMNS and name not in _ELSEWHERE]
    for formula, block in quotations.table.groupby("formula", sort=False):
        lines = []
        for name in costs:
            column = COLUMNS[name]
            label = column.label + extra.get(name, "")
            lines.append([label, column.unit, *(_cell(row, name) for _, row in block.iterrows())])
        title = f"{formula}  (precursors only; [{INTERVAL_LEVEL:.0%} interval])"
        print_table(["property", "unit", *(str(p) for p in block["phase"])], lines, title)
        _print_recipe(quotations, str(formula), block.iloc[0], batch)


def _print_recipe(quotations: Quotations, formula: str, row: pd.Series, batch: float) -> None:
    from softlyte.screening.commodities import year_text

    recipe = quotations.recipes[quotations.recipes["formula"] == formula]
    if not len(recipe):
        return
    lines = [
        [
            str(line["precursor"]),
            f"{line['grams']:.4f}",
            f"{line['cost_share']:.0%}",
            f"{number_text(line['price_usd_kg'])} [{number_text(line['low_usd_kg'])}, "
            f"{number_text(line['high_usd_kg'])}]",
            str(line["basis"]),
            year_text(float(line["year"])),
            str(line["made_from"]),
        ]
        for _, line in recipe.iterrows()
    ]
    heads = ["precursor", "grams", "of cost", "price, USD/kg", "basis", "date", "priced from"]
    title = f"Recipe for {batch:g} g: {row['precursor_route']}"
    print_table(heads, lines, title, right=("grams", "of cost"), whole=("precursor", "price, USD/kg"))
    for label, text in (
        ("Leaves the batch", row["byproducts"]),
        ("Other recipes", row["alternative_routes"]),
    ):
        if text:
            typer.echo(f"{label}: {text}")
    typer.echo("")


def _cell(row: pd.Series, name: str) -> str:
    value = number_text(row[name], name)
    if not value or f"{name}_lower" not in row.index:
        return value
    return f"{value} [{number_text(row[name + '_lower'])}, {number_text(row[name + '_upper'])}]"
