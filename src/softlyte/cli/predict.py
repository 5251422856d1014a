"""`softlyte predict`: every property of given formulas."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from softlyte.cli.output import note, number_text, print_table, report_rejected
from softlyte.datasets.errors import UserError

if TYPE_CHECKING:
    import pandas as pd


def command(
    formulas: Annotated[
        list[str] | None,
        typer.Argument(metavar="FORMULA...", help="Formulas such as Li3YCl6.", show_default=False),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(help="CSV with a column formula and, if wanted, a column phase.", show_default=False),
    ] = None,
    phase: Annotated[
        Literal["crystal", "glass"] | None, typer.Option(help="Default: both.", show_default=False)
    ] = None,
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
    targets: Annotated[
        Path | None, typer.Option(help="Targets (TOML); default: the shipped ones.", show_default=False)
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(help="Folder of trained weights; default: the shipped ones.", show_default=False),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
) -> None:
    """Predict modulus, conductivity, window, stability, stack pressure and cost of formulas.

    Each prediction comes with its 90% interval. Without --phase a formula is predicted as crystal and as
    glass.
    """
    if bool(formulas) == (file is not None):
        raise UserError("give formulas or --file, one of them; for example: softlyte predict Li3YCl6")
    if out is not None and format == "table":
        raise UserError("a table is for the screen; choose --format csv or json with --out")
    from softlyte.screening.export import atomic_text, check_file_place, csv_text, json_text, write_rejected
    from softlyte.screening.inputs import read_rows, rows_from_formulas
    from softlyte.screening.predict import predict_rows

    if out is not None:
        check_file_place(out)
    rows = read_rows(file) if file is not None else rows_from_formulas(formulas or [])
    frame, rejected = predict_rows(rows, phase=phase, targets=targets, weights=weights, device=device)
    if format is None:
        suffix = out.suffix.lower() if out is not None else ""
        format = "json" if suffix == ".json" else "csv" if out is not None else "table"
    if format == "table":
        _print_blocks(frame)
    elif out is None:
        typer.echo(csv_text(frame) if format == "csv" else json_text(frame), nl=False)
    else:
        with atomic_text(out) as handle:
            handle.write(csv_text(frame) if format == "csv" else json_text(frame))
        note(f"{len(frame)} rows written to {out}")
    refused = write_rejected(out.parent, rejected) if out is not None else None
    report_rejected(rejected, "formula" if file is None else f"{file.name}, row", refused)
    if rejected:
        raise typer.Exit(2)


def _print_blocks(frame: pd.DataFrame) -> None:
    """Print one block per formula: properties as rows, its phases as columns, `value [lower, upper]`."""
    from softlyte.datasets.columns import COLUMNS, INTERVAL_LEVEL, PREDICT_COLUMNS

    common = ("formula", "mobile_ion", "family", "phase")
    names = [n for n in PREDICT_COLUMNS if n in COLUMNS and n not in common]
    for formula, block in frame.groupby("formula", sort=False):
        ion, family = block["mobile_ion"].iloc[0], block["family"].iloc[0]
        phases = [str(p) for p in block["phase"]]
        lines = []
        for name in names:
            column = COLUMNS[name]
            cells = [_cell(row, name, column.predicted) for _, row in block.iterrows()]
            unit = f"V vs {ion}/{ion}+" if column.unit == "V" else column.unit
            lines.append([column.label, unit, *cells])
        title = f"{formula}  ({ion} {family}; [{INTERVAL_LEVEL:.0%} interval])"
        print_table(["property", "unit", *phases], lines, title)


def _cell(row: pd.Series, name: str, predicted: bool) -> str:
    value = number_text(row[name], name)
    if not predicted or not value:
        return value
    return f"{value} [{number_text(row[name + '_lower'])}, {number_text(row[name + '_upper'])}]"
