"""`softlyte tune`: search training configurations."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from softlyte.cli import options
from softlyte.cli.output import is_quiet, note, print_json, print_table


def command(
    config: Annotated[
        Path, typer.Argument(help="Training configuration with a [tune] table (TOML).", show_default=False)
    ],
    out: Annotated[Path, typer.Option(help="Run folder; the same folder again continues the search.")] = Path(
        "tune-out"
    ),
    trials: Annotated[
        int | None, typer.Option(min=1, help="Configurations to try; replaces the configuration's number.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes; replaces the configuration's number.")
    ] = None,
    storage: Annotated[
        str | None, typer.Option(help="Database URL; a journal file in the run folder when not given.")
    ] = None,
    study: Annotated[str, typer.Option(help="Name of the study in the storage.")] = "softlyte",
    device: options.Device = "auto",
    max_hours: Annotated[
        float | None, typer.Option(min=0.0, help="Begin no trial after this time; run again to go on.")
    ] = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Search training configurations for low error and honest intervals."""
    from softlyte.models.tune import tune
    from softlyte.models.tuning_config import shown

    result = tune(
        config,
        out,
        storage=storage,
        study=study,
        trials=trials,
        workers=workers,
        device=device,
        max_hours=max_hours,
    )
    if as_json:
        print_json(
            {
                "trials": result.counts,
                "front": [
                    {
                        "trial": t.number,
                        "error": t.error,
                        "calibration_error": t.calibration_error,
                        "configuration": str(t.config),
                        "parameters": t.parameters,
                    }
                    for t in result.front
                ],
            }
        )
        return
    columns = ("trial", "error", "calibration error", "configuration")
    rows = [
        [str(t.number), f"{t.error:.4f}", f"{t.calibration_error:.4f}", t.config.name] for t in result.front
    ]
    if not is_quiet():
        print_table(columns, rows, "Trials that no other beats in both", right=columns[:3])
    for trial in result.front:
        note(f"trial {trial.number}: {shown(trial.parameters)}")
    states = ", ".join(f"{count} {state}" for state, count in sorted(result.counts.items()))
    note(f"{states}; configurations in {out / 'front'}, plots in {out / 'plots'}")
