"""Where the table of a verb goes: the screen, stdout as text, or a file with the refused rows beside it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import typer

from softlyte.cli.output import note, report_rejected
from softlyte.datasets.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

    from softlyte.screening.inputs import InputRows, RejectedRow

Format = Literal["table", "csv", "json"]


def read_formulas(formulas: list[str] | None, file: Path | None, verb: str) -> InputRows:
    """Return the rows of a verb that takes formulas or a file; raises UserError unless one is given."""
    if bool(formulas) == (file is not None):
        raise UserError(f"give formulas or --file, one of them; for example: softlyte {verb} Li3YCl6")
    from softlyte.screening.csv_rows import read_rows
    from softlyte.screening.inputs import rows_from_formulas

    return read_rows(file) if file is not None else rows_from_formulas(formulas or [])


def chosen_format(format: Format | None, as_json: bool) -> Format | None:
    """Return the format that --format and --json ask for together; raises UserError where they differ."""
    if as_json and format not in (None, "json"):
        raise UserError(f"--json and --format {format} ask for two formats; give one of them")
    return "json" if as_json else format


def check_place(out: Path | None, format: Format | None, overwrite: bool) -> Format:
    """Return the format to write, after checking, before any work, that it can be written.

    Raises UserError if the place cannot be written, or holds results and overwrite is False.
    """
    if out is None:
        return format or "table"
    if format == "table":
        raise UserError("a table is for the screen; choose --format csv or json with --out")
    from softlyte.screening.export import check_file_place, check_free

    check_file_place(out)
    if not overwrite:
        check_free(out)
    return format or ("json" if out.suffix.lower() == ".json" else "csv")


def give(
    frame: pd.DataFrame,
    rejected: list[RejectedRow],
    place: str,
    format: Format,
    out: Path | None,
    show: Callable[[], None],
) -> None:
    """Write or print a result, say which rows have none, and end with exit code 2 if some were refused.

    Args:
        frame: the result.
        rejected: refused and repeated rows.
        place: what stands before a row's number, such as "formula" or "candidates.csv, row".
        format: from `check_place`.
        out: file, None for stdout.
        show: prints the result for a person, for the format "table".
    """
    from softlyte.screening.export import atomic_text, csv_text, json_text, write_rejected
    from softlyte.screening.inputs import refused

    if format == "table":
        show()
    else:
        text = csv_text(frame) if format == "csv" else json_text(frame)
        if out is None:
            typer.echo(text, nl=False)
        else:
            with atomic_text(out) as handle:
                handle.write(text)
            note(f"{len(frame)} rows written to {out}")
    report_rejected(rejected, place, write_rejected(out.parent, rejected) if out is not None else None)
    if refused(rejected):
        raise typer.Exit(2)


def place_of(file: Path | None) -> str:
    """Return what stands before a row's number."""
    return "formula" if file is None else f"{file.name}, row"
