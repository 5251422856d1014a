"""`softlyte report`: one HTML page from the folder of a screening."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from softlyte.cli.output import note


def command(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder that softlyte screen wrote.")],
    out: Annotated[
        Path | None, typer.Option(help="File to write; default: report.html in DIR.", show_default=False)
    ] = None,
    title: Annotated[
        str | None, typer.Option(help="Heading; default: names the space.", show_default=False)
    ] = None,
) -> None:
    """Write a page to read, sort and filter a screening's results; it opens without a network.

    Funnel, maps, windows, costs, elements, a table, and a card for each candidate, in one HTML file.
    """
    from softlyte.screening.report import write_report

    note(f"the report is {write_report(folder, out, title)}")
