"""`softlyte benchmark`: proofs that take minutes to hours."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from softlyte.cli import options
from softlyte.cli.output import is_quiet, note, print_json, print_table
from softlyte.cli.progress import progress_bar

if TYPE_CHECKING:
    from softlyte.screening.rediscovery.benchmark import RediscoveryResult

app = typer.Typer(no_args_is_help=True, help="Proofs that take minutes to hours.")


@app.callback()
def _group() -> None:
    pass


@app.command("rediscovery")
def rediscovery(
    out: Annotated[
        Path, typer.Option(help="Folder for ensembles and results; the same folder again goes on.")
    ] = Path("rediscovery"),
    year: Annotated[
        list[int] | None,
        typer.Option(
            help="Last year that counts as known; may be repeated.", show_default="2019, 2021, 2022"
        ),
    ] = None,
    sample: Annotated[
        int, typer.Option(min=1, help="Compositions drawn from the spaces besides all neighbours.")
    ] = 20_000,
    members: Annotated[int, typer.Option(min=2, help="Networks of each year's ensemble.")] = 3,
    effort: Annotated[float, typer.Option(min=0.0, help="Factor on the epochs of every stage.")] = 1.0,
    seed: Annotated[int, typer.Option(min=0, help="Of weights, batches and the sample.")] = 0,
    targets: options.TargetsFile = None,
    device: options.Device = "auto",
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Would it have found the electrolytes that were found? Train until a year, screen, see where they stand.

    For each year an ensemble is trained on what was published by then, and judges a sample of the shipped
    spaces together with all neighbours of the electrolytes that were published later.
    """
    from softlyte.screening.rediscovery.benchmark import YEARS
    from softlyte.screening.rediscovery.benchmark import rediscovery as run
    from softlyte.screening.rediscovery.ensembles import Effort

    with progress_bar() as show:
        result = run(
            out,
            tuple(year or YEARS),
            sample,
            Effort(members, effort, seed),
            targets,
            device=device,
            progress=show,
        )
    if as_json:
        print_json(result.to_dict())
    elif not is_quiet():
        _print(result)
    note(f"results are in {result.folder}")


def _print(result: RediscoveryResult) -> None:
    """Print enrichment by year and method."""
    rows: list[list[str]] = []
    for year, found in result.summary["years"].items():
        for name, said in found["methods"].items():
            rows.append([year, name, *_cells(said)])
    heads = ["until", "ranked by", "top 0.1%", "top 1%", "top 10%", "median rank, %"]
    print_table(heads, rows, "Enrichment of later discoveries", right=heads[2:])


def _cells(said: dict[str, Any]) -> list[str]:
    return [f"{value:.1f}" for value in said["enrichment"].values()] + [f"{said['median_percent']:.3g}"]
