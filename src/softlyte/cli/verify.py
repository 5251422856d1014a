"""`softlyte verify`: candidates and structures under universal potentials."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from softlyte.cli import options
from softlyte.cli.output import (
    is_quiet,
    note,
    number_text,
    print_json,
    print_table,
    report_rejected,
)
from softlyte.cli.progress import progress_bar

if TYPE_CHECKING:
    import pandas as pd

SHOWN = {
    "structure": "Structure",
    "verify_status": "Status",
    "verified_youngs_modulus_gpa": "E/GPa",
    "verified_modulus_spread": "spread",
    "verified_e_above_hull_ev_atom": "hull/eV",
    "verified_oxidation_v": "Ox./V",
    "network_check": "Networks",
}
"""Columns of the summary with their headings; the files have all."""
SHOWN_ROWS = 20


def command(
    sources: Annotated[
        list[Path],
        typer.Argument(
            metavar="CANDIDATES.csv|STRUCTURES...",
            help="A CSV with formulas, or crystals.jsonl, CIF, POSCAR, pymatgen JSON files.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the results.", show_default=False)],
    top: Annotated[int, typer.Option(min=1, help="Candidates or structures to take, the first ones.")] = 20,
    potential: Annotated[
        list[str] | None,
        typer.Option(
            help="diep, 7net-mf-0, or the dotted path of an ASE calculator; may be repeated. Default: both.",
            show_default=False,
        ),
    ] = None,
    references: Annotated[
        list[Path] | None,
        typer.Option(help="Structure of a further competing phase; may be repeated.", show_default=False),
    ] = None,
    elasticity: Annotated[bool, typer.Option(help="Elastic tensors, most of the time.")] = True,
    workers: Annotated[int, typer.Option(min=1, help="Processes of one thread each.")] = 2,
    device: Annotated[Literal["cpu", "cuda"], typer.Option(help="Where potentials run.")] = "cpu",
    weights: options.Weights = None,
    overwrite: options.Overwrite = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Check candidates by physics: relax, strain, place on a hull, compare with the networks.

    Each structure is relaxed and strained under every potential, with relaxed ions, and placed on a hull
    whose competing phases are relaxed with the same potential. Writes verified.csv, verified_potentials.csv,
    relaxed structures and run.json into --out; a run that was stopped goes on by the same command.
    """
    from softlyte.screening.export import json_text
    from softlyte.screening.inputs import refused
    from softlyte.screening.physics.verify import DEFAULT_POTENTIALS, verify

    with progress_bar() as show:
        result = verify(
            sources,
            out,
            top,
            tuple(potential or DEFAULT_POTENTIALS),
            device,
            workers,
            references or (),
            elasticity,
            weights,
            overwrite,
            show,
        )
    if as_json:
        print_json({"folder": str(result.folder), "verified": json.loads(json_text(result.verified))})
    elif not is_quiet():
        _print(result.verified)
    if result.rejected:
        report_rejected(result.rejected, f"{sources[0].name}, row", out / "rejected.csv")
    note(f"results are in {result.folder}")
    if refused(result.rejected):
        raise typer.Exit(2)


def _print(verified: pd.DataFrame) -> None:
    """Print the first rows for a person."""
    table = verified.head(SHOWN_ROWS)[list(SHOWN)]
    cells = (
        [number_text(value, name) for name, value in zip(SHOWN, row, strict=True)]
        for row in table.itertuples(index=False, name=None)
    )
    numeric = ["E/GPa", "spread", "hull/eV", "Ox./V"]
    print_table(list(SHOWN.values()), cells, "Verified", right=numeric, whole=["Structure"])
