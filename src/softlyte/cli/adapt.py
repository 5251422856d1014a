"""`softlyte adapt`: fit the predictions to a laboratory's few measurements, without retraining."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from softlyte.cli import options
from softlyte.cli.output import is_quiet, note, print_json, print_table


def command(
    own_data: options.OwnData = None,
    out: Annotated[Path, typer.Option(help="Folder for the adapted weights.")] = Path("adapted-weights"),
    weights: options.Weights = None,
    device: options.Device = "auto",
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Adapt the predictions to your own measurements, in seconds; use the result with --weights.

    Predictions near measured materials move and narrow, those far away stay as they are. Each material is
    left out in turn to see whether that helps; a property that it does not help is left as it was.
    """
    from softlyte.models.adaptation import adapt

    folder, checks, remarks = adapt(own_data, out, weights, device)
    if as_json:
        checks_made = [asdict(check) for check in checks]
        print_json({"weights": str(folder), "checks": checks_made, "remarks": list(remarks)})
        return
    rows = [
        [
            check.property,
            str(check.rows),
            str(check.materials),
            f"{check.mae_before:.3g}",
            f"{check.mae_after:.3g}",
            f"{check.coverage_before:.0%}",
            f"{check.coverage_after:.0%}",
            f"{check.reach:.2f}",
            "adapted" if check.used else "left as it was",
        ]
        for check in checks
    ]
    heads = ["property", "rows", "materials", "error", "adapted", "in 90%", "in 90%", "reach", ""]
    if not is_quiet():
        print_table(heads, rows, "Materials left out in turn (log10 units but for Tg)", right=heads[1:8])
    for remark in remarks:
        note(remark)
    note(f"the adapted weights are in {folder}; use them with --weights {folder}")
