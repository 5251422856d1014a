"""`softlyte screen`: from a space (or a list) of candidates to a ranked table."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from softlyte.cli.output import PIPE_WIDTH, console, note, number_text, print_table, report_rejected
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
            help="CSV of own candidates (formula[, phase]) in place of a space.", show_default=False
        ),
    ] = None,
    targets: Annotated[
        Path | None, typer.Option(help="Targets (TOML); default: the shipped ones.", show_default=False)
    ] = None,
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
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    seed: Annotated[int, typer.Option(help="Of the sample that --limit draws.")] = 0,
    weights: Annotated[
        Path | None,
        typer.Option(help="Folder of trained weights; default: the shipped ones.", show_default=False),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace another run's results.")] = False,
) -> None:
    """Screen a space of candidates and write the ranked ones.

    Writes candidates.csv (ranked), funnel.csv (what each tier removed and why), rejected.csv (input rows
    refused) and run.json (configuration, versions, checksums, timings) into --out.
    """
    if space is not None and candidates is not None:
        raise UserError("give a space or --candidates, one of them")
    from softlyte.screening.funnel import screen

    with _progress_bar() as progress:
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
        )
    _print_summary(result)
    if candidates is not None:
        report_rejected(result.rejected, f"{candidates.name}, row", out / "rejected.csv")
    if result.rejected:
        raise typer.Exit(2)


@contextmanager
def _progress_bar() -> Iterator[Callable[[str, int, int], None]]:
    """Yield a callback (tier, done, total) that draws one bar per tier on stderr, with rate and ETA."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TaskID,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class Rate(ProgressColumn):
        """Candidates per second."""

        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text(f"{speed:,.0f}/s" if speed else "")

    bars = Progress(
        TextColumn("{task.description:<8}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        Rate(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console(stderr=True),
    )
    tasks: dict[str, TaskID] = {}

    def update(tier: str, done: int, total: int) -> None:
        if not tasks:
            bars.start()  # not before there is work: a mistake is to be the only line
        if tier not in tasks:
            tasks[tier] = bars.add_task(tier, total=total)
        bars.update(tasks[tier], completed=done, total=total)

    try:
        yield update
    finally:
        if tasks:
            bars.stop()


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
    if result.settled_ranks < len(result.candidates):
        note(
            f"no candidate without a hull calculation is expected among the first {result.settled_ranks:,} "
            "ranks; a larger --refine raises that number"
        )
    note(f"results are in {result.folder}")
