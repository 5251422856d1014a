"""`softlyte cost`: what formulas cost, and how they would be made."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from softlyte.cli.output import note, number_text, print_table, report_rejected
from softlyte.datasets.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

    from softlyte.screening.quotation import Quotations

_ELSEWHERE = ("formula", "phase", "precursor_route", "batch_recipe", "byproducts", "alternative_routes")
"""Columns that are not in the first table of a formula."""


def command(
    formulas: Annotated[
        list[str] | None,
        typer.Argument(metavar="FORMULA...", help="Formulas such as Li3YCl6.", show_default=False),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(help="CSV with a column formula and, if wanted, a column phase.", show_default=False),
    ] = None,
    route: Annotated[
        Literal["mechanochemical", "hydrate"],
        typer.Option(help="hydrate: H2O, HCl and CO2 may leave the batch."),
    ] = "mechanochemical",
    phase: Annotated[
        Literal["crystal", "glass"] | None,
        typer.Option(help="Whose density counts. Default: both.", show_default=False),
    ] = None,
    prices: Annotated[
        Path | None,
        typer.Option(help="CSV of own prices: formula, price_per_kg and more.", show_default=False),
    ] = None,
    date: Annotated[
        str | None,
        typer.Option(help="Date of the prices: 2023 or 2023-11. Default: 2024.", show_default=False),
    ] = None,
    without: Annotated[
        list[str] | None,
        typer.Option(help="Precursor that may not be used; may be repeated.", show_default=False),
    ] = None,
    currency: Annotated[str, typer.Option(help="Show costs in this currency too, such as EUR.")] = "USD",
    density: Annotated[
        float | None,
        typer.Option(help="g/cm3, in place of the predicted density.", show_default=False),
    ] = None,
    thickness: Annotated[float, typer.Option(help="Of the layer that USD/m2 is of, micrometres.")] = 50.0,
    batch: Annotated[float, typer.Option(help="Mass of product that the recipe is for, grams.")] = 10.0,
    reference_year: Annotated[
        int, typer.Option(help="Year of the sulfide price that costs are compared with.")
    ] = 2030,
    format: Annotated[
        Literal["table", "csv", "json"] | None,
        typer.Option(help="Default: table, or what the name of --out ends with.", show_default=False),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="File for the result; refused rows go to rejected.csv beside it.", show_default=False
        ),
    ] = None,
) -> None:
    """Price formulas: USD per kg, litre and m2, the cheapest recipe, alternatives and supply risk.

    Precursors only: no processing, yield, solvent or profit. Each cost comes with its 90% interval.
    """
    if bool(formulas) == (file is not None):
        raise UserError("give formulas or --file, one of them; for example: softlyte cost LiAlCl2.5O0.75")
    if out is not None and format == "table":
        raise UserError("a table is for the screen; choose --format csv or json with --out")
    from softlyte.screening.export import atomic_text, check_file_place, csv_text, json_text, write_rejected
    from softlyte.screening.inputs import read_rows, rows_from_formulas
    from softlyte.screening.price_list import load_prices
    from softlyte.screening.quotation import quote_rows

    if out is not None:
        check_file_place(out)
    listed = load_prices(prices, date, without or ())
    rows = read_rows(file) if file is not None else rows_from_formulas(formulas or [])
    quotations = quote_rows(rows, phase, listed, route, density, thickness, batch, reference_year, currency)
    if format is None:
        suffix = out.suffix.lower() if out is not None else ""
        format = "json" if suffix == ".json" else "csv" if out is not None else "table"
    frame = quotations.table
    if format == "table":
        _print_blocks(quotations, batch, thickness, reference_year)
    elif out is None:
        typer.echo(csv_text(frame) if format == "csv" else json_text(frame), nl=False)
    else:
        with atomic_text(out) as handle:
            handle.write(csv_text(frame) if format == "csv" else json_text(frame))
        note(f"{len(frame)} rows written to {out}")
    refused = write_rejected(out.parent, quotations.rejected) if out is not None else None
    report_rejected(quotations.rejected, "formula" if file is None else f"{file.name}, row", refused)
    if quotations.rejected:
        raise typer.Exit(2)


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
