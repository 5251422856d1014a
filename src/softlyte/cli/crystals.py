"""`softlyte crystals`: candidates as crystals, by substitution into known ones."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from softlyte.cli import options
from softlyte.cli.output import is_quiet, note, print_json, print_table
from softlyte.cli.progress import progress_bar


def command(
    space: Annotated[
        str | None,
        typer.Argument(
            metavar="SPACE", help="Space whose ions are used; default: default.", show_default=False
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the crystals.", show_default=False)] = ...,  # type: ignore[assignment]
    parent: Annotated[
        list[Path] | None,
        typer.Option(help="Own parent (CIF, POSCAR, JSON); may be repeated.", show_default=False),
    ] = None,
    formula: Annotated[
        list[str] | None,
        typer.Option(help="Only this composition; may be repeated.", show_default=False),
    ] = None,
    threshold: Annotated[float, typer.Option(help="Least likelihood of a substitution.")] = 0.003,
    per_formula: Annotated[int, typer.Option(min=1, help="Structures of one composition to keep.")] = 3,
    own_only: Annotated[bool, typer.Option("--own-only", help="Leave the shipped parents out.")] = False,
    cif: Annotated[bool, typer.Option("--cif", help="Write a CIF for each crystal, too.")] = False,
    overwrite: options.Overwrite = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Put a space's ions on the sites of known halide crystals.

    Writes crystals.jsonl (structures), crystals.csv (summary) and with --cif a folder of CIFs into --out.
    """
    from softlyte.screening.crystals.generate import CRYSTALS_FILE, enumerate_crystals, write_crystals
    from softlyte.screening.export import check_free, check_writable

    check_writable(out)
    if not overwrite:
        check_free(out / CRYSTALS_FILE)
    with progress_bar() as show:
        found = enumerate_crystals(
            space, parent or (), threshold, per_formula, formula, not own_only, progress=show
        )
    write_crystals(found, out, cif, overwrite=True)
    table = found.table()
    counts = table.groupby("parent").size().sort_values(ascending=False)
    if as_json:
        print_json(
            {
                "folder": str(out),
                "crystals": len(table),
                "compositions": int(table["formula"].nunique()),
                "by_parent": {str(name): int(count) for name, count in counts.items()},
                "unread_parents": {failure.name: failure.reason for failure in found.failures},
                "left_out": dict(sorted(found.left_out.items())),
            }
        )
        return
    if not is_quiet():
        shown = [[str(name), f"{count:,}"] for name, count in counts.head(12).items()]
        print_table(["parent", "crystals"], shown, "Most fertile parents", right=["crystals"])
    for failure in found.failures:
        note(f"{failure.name} is no parent: {failure.reason}")
    for reason, count in sorted(found.left_out.items()):
        note(f"left out: {count:,} substitutions, {reason}")
    note(f"{len(table):,} crystals of {table['formula'].nunique():,} compositions are in {out}")
