"""`softlyte results`: rows of a screening's results, by a condition or in SQL."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from softlyte.cli import options
from softlyte.cli.output import note, number_text, print_table
from softlyte.cli.results import check_place, chosen_format
from softlyte.cli.screen import SHOWN

if TYPE_CHECKING:
    import pandas as pd

SHOWN_ROWS = 20


def command(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder that softlyte screen wrote.")],
    where: Annotated[
        str | None,
        typer.Option(
            help="SQL condition, such as \"phase = 'glass' AND oxidation_v > 4\".", show_default=False
        ),
    ] = None,
    top: Annotated[
        int | None,
        typer.Option(min=1, help=f"Rows at most; default: all, as a table {SHOWN_ROWS}.", show_default=False),
    ] = None,
    sql: Annotated[
        str | None,
        typer.Option(
            help="A whole SELECT over the tables candidates, evaluated and funnel.", show_default=False
        ),
    ] = None,
    format: options.ResultFormat = None,
    out: options.ResultFile = None,
    overwrite: options.Overwrite = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Ask for rows of a screening's results.

    The table candidates holds every candidate with a hull calculation; evaluated every one that the networks
    were asked about (place, formula, phase, p_without_hull, medians of the targets' columns).
    """
    chosen = check_place(out, chosen_format(format, as_json), overwrite)
    from softlyte.screening.export import atomic_text, csv_text, json_text
    from softlyte.screening.query import query_results

    if chosen == "table":
        _show(query_results(folder, where, top or SHOWN_ROWS, sql))
        return
    frame = query_results(folder, where, top, sql)
    text = csv_text(frame) if chosen == "csv" else json_text(frame)
    if out is None:
        typer.echo(text, nl=False)
        return
    with atomic_text(out) as handle:
        handle.write(text)
    note(f"{len(frame)} rows written to {out}")


def _show(frame: pd.DataFrame) -> None:
    names = list(frame.columns)
    if set(SHOWN) <= set(names):
        names = list(SHOWN)
    headings = [SHOWN.get(name, name) for name in names]
    numeric = [h for h, name in zip(headings, names, strict=True) if frame[name].dtype.kind in "iuf"]
    cells = (
        [
            number_text(value if isinstance(value, str | int | float) else str(value), name)
            for name, value in zip(names, row, strict=True)
        ]
        for row in frame[names].itertuples(index=False, name=None)
    )
    print_table(headings, cells, right=numeric)
