"""`softlyte report`: one HTML page from the folder of a screening."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from softlyte.cli import options
from softlyte.cli.output import note, print_json


def command(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder that softlyte screen wrote.")],
    out: Annotated[
        Path | None, typer.Option(help="File to write; default: report.html in DIR.", show_default=False)
    ] = None,
    title: Annotated[
        str | None, typer.Option(help="Heading; default: names the space.", show_default=False)
    ] = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Write a page to read, sort and filter a screening's results; it opens without a network.

    Funnel, maps, windows, costs, elements, a table, and a card for each candidate, in one HTML file.
    """
    from softlyte.screening.report import write_report

    written = write_report(folder, out, title)
    if as_json:
        print_json({"report": str(written)})
    else:
        note(f"the report is {written}")
