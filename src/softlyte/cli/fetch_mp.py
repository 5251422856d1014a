"""`softlyte data fetch-mp`: energies, moduli and structures from the Materials Project."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from softlyte.cli import options
from softlyte.cli.output import is_quiet, note, print_json, print_table
from softlyte.cli.progress import progress_bar

if TYPE_CHECKING:
    from softlyte.datasets.materials_project import Fetched

_USES = {
    "thermo.parquet": "softlyte window FORMULA --entries {path}",
    "candidates.csv": "softlyte screen --candidates {path} --out DIR",
}
"""What a table is for, shown after it was written."""


def command(
    query: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="QUERY...",
            help="Chemical systems (Li-Y-Cl, Li-*-Cl), formulas (Li3YCl6), ids (mp-149).",
            show_default=False,
        ),
    ] = None,
    file: Annotated[
        Path | None, typer.Option(help="Text file with further queries, one a line.", show_default=False)
    ] = None,
    out: Annotated[
        Path, typer.Option(help="Folder for the tables and their card.", show_default=False)
    ] = ...,  # type: ignore[assignment]
    table: Annotated[
        list[str] | None,
        typer.Option(
            help="structures, thermo or elasticity; may be repeated. Default: all.", show_default=False
        ),
    ] = None,
    functional: Annotated[
        Literal["PBE", "R2SCAN"], typer.Option(help="Whose energies.", case_sensitive=False)
    ] = "PBE",
    exact: Annotated[
        bool,
        typer.Option("--exact", help="Chemical systems without their subsystems (no hull can be built)."),
    ] = False,
    tries: Annotated[int, typer.Option(min=1, help="Requests for a page before giving up.")] = 6,
    timeout: Annotated[
        float, typer.Option(min=0.1, help="Seconds until a silent server counts as down.")
    ] = 30.0,
    overwrite: options.Overwrite = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Fetch energies, elastic moduli and structures from the Materials Project (extra: mp).

    The key is read from the environment variable MP_API_KEY alone. Writes structures.parquet, thermo.parquet,
    elasticity.parquet, candidates.csv and card.yaml into --out. An interrupted run goes on where it was when
    the same command is given again.
    """
    from softlyte.datasets.materials_project import Patience, fetch, read_query
    from softlyte.datasets.materials_project.fetch import TABLES

    words = [*(query or ()), *(read_query(file) if file is not None else ())]
    patience = Patience(tries=tries, timeout_s=timeout)
    with progress_bar() as show:
        fetched = fetch(
            words,
            out,
            tables=table or TABLES,
            functional=functional,
            subsystems=not exact,
            patience=patience,
            overwrite=overwrite,
            progress=show,
            say=note,
        )
    if as_json:
        print_json(fetched.card.model_dump(mode="json"))
    elif not is_quiet():
        _print(fetched)
    if not fetched.new:
        note(f"all of it was in {out} already; --overwrite fetches it anew")


def _print(fetched: Fetched) -> None:
    rows = []
    for name, file in fetched.card.files.items():
        left_out = "; ".join(f"{count:,} {reason}" for reason, count in file.left_out.items())
        rows.append([name, f"{file.rows:,}", left_out])
    title = f"Materials Project, database {fetched.card.database_version}, {fetched.card.licence}"
    print_table(["file", "rows", "left out"], rows, title, right=["rows"], whole=["file"])
    for name, use in _USES.items():
        if name in fetched.card.files:
            note(f"{name}: {use.format(path=fetched.folder / name)}")
