"""`softlyte train`: train an ensemble from a configuration file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from softlyte.cli import options
from softlyte.cli.output import is_quiet, note, print_json, print_table
from softlyte.datasets.errors import UserError


def command(
    config: Annotated[Path, typer.Argument(help="Training configuration (TOML).", show_default=False)],
    out: Annotated[Path, typer.Option(help="Run folder; the same folder again continues the run.")] = Path(
        "train-out"
    ),
    device: options.Device = "auto",
    seed: Annotated[int | None, typer.Option(help="Replaces the configuration's seed.")] = None,
    max_hours: Annotated[
        float | None,
        typer.Option(min=0.0, help="Stop the training after this time; run again to go on."),
    ] = None,
    devices: Annotated[
        int | None,
        typer.Option(min=1, help="GPUs (on the CPU: processes) that train each network together."),
    ] = None,
    own_data: options.OwnData = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Train, calibrate, evaluate and save an ensemble of composition networks.

    With a [structures] table in the configuration: of networks on crystal structures.
    """
    from softlyte.models.config import ConfigError, read_document

    if "structures" in read_document(config):
        if own_data is not None:
            raise UserError("--own-data is for composition networks; leave it out for structures")
        if devices not in (None, 1):
            raise ConfigError(f"--devices {devices} is for composition networks; leave it out for structures")
        from softlyte.models.crystal_train import train_crystals

        result = train_crystals(config, out=out, device=device, seed=seed, max_hours=max_hours)
        option = "--crystal-weights"
    else:
        from softlyte.models.train import train

        result = train(
            config, out=out, device=device, seed=seed, max_hours=max_hours, devices=devices, own_data=own_data
        )
        option = "--weights"
    if result.checkpoint is None:
        note(f"the time is used up; run the same command again to go on in {out}")
        return
    if as_json:
        print_json({"weights": str(result.checkpoint), "metrics": result.metrics})
        return
    keys = ("rows", "mae", "rmse", "spearman", "coverage")
    rows = [
        [target, subset, f"{values['rows']:,}", *(f"{values[key]:.3g}" for key in keys[1:])]
        for target, subsets in result.metrics.items()
        for subset, values in subsets.items()
    ]
    if not is_quiet():
        print_table(["target", "subset", *keys], rows, "Out-of-fold rows (transformed units)", right=keys)
    note(f"the ensemble is in {result.checkpoint}; use it with {option} {result.checkpoint}")
