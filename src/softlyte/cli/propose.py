"""`softlyte propose`: the next experiments from a screening."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from softlyte.cli import options
from softlyte.cli.output import is_quiet, note, number_text, print_json, print_table


def command(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder that softlyte screen wrote.")],
    budget: Annotated[int, typer.Option(min=1, help="Number of experiments.")] = 8,
    precursors: Annotated[
        str | None,
        typer.Option(help="Precursors at hand: LiCl,AlCl3,... or a file of formulas.", show_default=False),
    ] = None,
    max_cost: Annotated[
        float | None, typer.Option(help="Largest precursor cost, USD/kg.", show_default=False)
    ] = None,
    own_data: options.OwnData = None,
    weights: options.Weights = None,
    route: options.Route = "mechanochemical",
    prices: options.Prices = None,
    date: options.PriceDate = None,
    batch: Annotated[float, typer.Option(help="Grams of product that the recipes are for.")] = 10.0,
    pool: Annotated[int, typer.Option(min=1, help="Best candidates to choose from.")] = 1000,
    seed: Annotated[int, typer.Option(help="Of the draws.")] = 0,
    out: Annotated[
        Path | None, typer.Option(help="File to write; default: proposals.csv in DIR.", show_default=False)
    ] = None,
    device: options.Device = "auto",
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Propose the batch of experiments that most probably holds a material meeting all targets.

    What is alike fails together, so the batch is diverse. Each row comes with a recipe, why it was chosen and
    what would be learned. With --own-data what was measured is left out; adapted --weights are used.
    """
    from softlyte.screening.costing import load_costing
    from softlyte.screening.export import json_text
    from softlyte.screening.proposals import propose

    found = propose(
        folder,
        budget,
        precursors,
        max_cost,
        own_data,
        weights,
        load_costing(prices, date, (), route),
        device,
        pool,
        batch,
        seed,
        out,
    )
    if as_json:
        proposals = json.loads(json_text(found.table))
        print_json({"file": str(found.file), "left_out": dict(found.left_out), "proposals": proposals})
        return
    rows = [
        [
            str(row["order"]),
            row["formula"],
            row["phase"],
            number_text(row["p_all_targets"], "p_all_targets"),
            number_text(row["p_any"], "p_any"),
            row["limiting_target"],
            str(row["informs"]),
            number_text(row["cost_usd_kg"]),
            row["batch_recipe"],
        ]
        for row in found.table.to_dict("records")
    ]
    heads = [
        "#",
        "formula",
        "phase",
        "P(all)",
        "P(any)",
        "limited by",
        "informs",
        "USD/kg",
        f"for {batch:g} g",
    ]
    right = [heads[0], *heads[3:5], *heads[6:8]]
    if not is_quiet():
        print_table(heads, rows, "Next experiments", right=right)
    for reason, count in found.left_out.items():
        note(f"left out: {count:,} candidates {reason}")
    note(f"the proposals, with reasons, are in {found.file}")
