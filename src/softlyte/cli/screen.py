"""`softlyte screen`: from a space (or a list) of candidates to a ranked table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from softlyte.cli import options
from softlyte.cli.output import (
    PIPE_WIDTH,
    console,
    is_quiet,
    note,
    number_text,
    print_json,
    print_table,
    report_rejected,
)
from softlyte.cli.progress import progress_bar
from softlyte.datasets.errors import UserError

if TYPE_CHECKING:
    from softlyte.screening.funnel import ScreenResult

SHOWN = {
    "rank": "#",
    "formula": "Formula",
    "phase": "Phase",
    "youngs_modulus_gpa": "E/GPa",
    "sigma_ms_cm": "σ/(mS/cm)",
    "oxidation_v": "Ox./V",
    "stack_pressure_mpa": "Press./MPa",
    "cost_usd_l": "USD/L",
    "p_all_targets": "P(all)",
}
"""Columns of the summary with headings that fit 100 columns; the files have the full ones."""
LEFT_OUT_WHEN_NARROW = ("youngs_modulus_gpa", "oxidation_v", "cost_usd_l")
"""Columns that a terminal of less than PIPE_WIDTH columns does without."""
SHOWN_ROWS = 10


def command(
    space: Annotated[
        str | None,
        typer.Argument(
            metavar="SPACE.toml", help="Space file, or name of a shipped space; default: default."
        ),
    ] = None,
    candidates: Annotated[
        Path | None,
        typer.Option(
            help="Own candidates in place of a space: CSV or Parquet (formula[, phase, mp_id]), or a folder "
            "of CIF, POSCAR or pymatgen JSON files.",
            show_default=False,
        ),
    ] = None,
    targets: options.TargetsFile = None,
    out: Annotated[Path, typer.Option(help="Folder for the results.", show_default=False)] = ...,  # type: ignore[assignment]
    top: Annotated[int, typer.Option(min=1, help="Ranked candidates to write.")] = 10_000,
    refine: Annotated[
        int, typer.Option(min=1, help="Best candidates that get the hull calculation; at least --top.")
    ] = 20_000,
    limit: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Screen a random sample of this size only (of --candidates: the first).",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the samples that are drawn.")] = 0,
    exhaustive: Annotated[
        bool,
        typer.Option("--exhaustive", help="Ask the networks of every candidate, however large the space."),
    ] = False,
    report: Annotated[bool, typer.Option(help="Write report.html, the page of softlyte report.")] = True,
    verify: Annotated[
        int,
        typer.Option(min=0, help="First candidates that potentials check; needs softlyte[physics]."),
    ] = 0,
    verify_device: Annotated[Literal["cpu", "cuda"], typer.Option(help="Where the potentials run.")] = "cpu",
    scheduler: Annotated[
        str | None,
        typer.Option(help="Address of a Dask scheduler whose workers compute.", show_default=False),
    ] = None,
    local_workers: Annotated[
        int | None,
        typer.Option(min=1, help="Processes to start for the work, by Dask.", show_default=False),
    ] = None,
    route: options.Route = "mechanochemical",
    prices: options.Prices = None,
    date: options.PriceDate = None,
    without: options.Without = None,
    price_level: options.PriceLevel = "central",
    currency: options.Currency = "USD",
    thickness: options.Thickness = 50.0,
    weights: options.Weights = None,
    device: options.Device = "auto",
    overwrite: options.Overwrite = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Screen a space of candidates and write the ranked ones.

    Writes candidates.csv (ranked), funnel.csv (what each tier removed and why), rejected.csv (input rows
    refused or repeated), run.json (configuration, versions, checksums, timings) and report.html (all of it to
    read, sort and filter) into --out. Costs follow the options of `softlyte cost`.
    """
    if space is not None and candidates is not None:
        raise UserError("give a space or --candidates, one of them")
    from softlyte.screening.costing import load_costing
    from softlyte.screening.funnel import screen
    from softlyte.screening.inputs import refused

    costing = load_costing(prices, date, without or (), route, price_level, currency, thickness)
    with progress_bar() as progress:
        result = screen(
            space,
            out=out,
            candidates=candidates,
            targets=targets,
            top=top,
            refine=refine,
            limit=limit,
            device=device,
            seed=seed,
            weights=weights,
            overwrite=overwrite,
            progress=progress,
            costing=costing,
            exhaustive=exhaustive,
            report=report,
            verify=verify,
            verify_device=verify_device,
            scheduler=scheduler,
            local_workers=local_workers,
        )
    if as_json:
        print_json(result.to_dict())
    elif not is_quiet():
        _print_summary(result)
    if candidates is not None:
        report_rejected(result.rejected, f"{candidates.name}, row", out / "rejected.csv")
    if refused(result.rejected):
        raise typer.Exit(2)


def _print_summary(result: ScreenResult) -> None:
    rows = ([r.tier, f"{r.entered:,}", f"{r.removed:,}", f"{r.left:,}", r.reason] for r in result.funnel)
    print_table(["tier", "in", "removed", "out", "reason"], rows, "Funnel", right=["in", "removed", "out"])
    narrow = console().width < PIPE_WIDTH
    headings = {n: text for n, text in SHOWN.items() if not (narrow and n in LEFT_OUT_WHEN_NARROW)}
    shown = result.candidates.head(SHOWN_ROWS)[list(headings)]
    cells = (
        [number_text(value, name) for name, value in zip(headings, row, strict=True)]
        for row in shown.itertuples(index=False, name=None)
    )
    numeric = [heading for name, heading in headings.items() if name not in ("formula", "phase")]
    title = f"First {len(shown)} of {len(result.candidates):,} ranked candidates"
    print_table(list(headings.values()), cells, title, right=numeric, whole=[SHOWN["formula"]])
    if result.recall is not None:
        note(
            "a student of the networks chose the candidates that they were asked about: of "
            f"{result.recall.best:,} audit candidates among the best it reached {result.recall.chosen:,}; "
            "--exhaustive asks about all"
        )
    if result.settled_ranks < len(result.candidates):
        note(
            f"no candidate without a hull calculation is expected among the first {result.settled_ranks:,} "
            "ranks; a larger --refine raises that number"
        )
    note(f"results are in {result.folder}" + (f", to read: {result.report}" if result.report else ""))
