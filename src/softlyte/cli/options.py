"""Arguments and options that several verbs share, so that they have one name, one help and one meaning.

Each is a type for a parameter of a command; its default stands with the parameter. A verb with another
meaning of a word, such as `--format` without a default by file name, states its own.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from softlyte.cli.output import set_quiet

Quiet = Annotated[
    bool,
    typer.Option(
        "--quiet",
        "-q",
        help="Print results and errors alone: no remarks, no progress bars.",
        callback=set_quiet,
        expose_value=False,
    ),
]
"""Takes effect by itself: the command is not told."""

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]

Formulas = Annotated[
    list[str] | None,
    typer.Argument(metavar="FORMULA...", help="Formulas such as Li3YCl6.", show_default=False),
]
"""Formulas of a verb that also takes a file."""

NeededFormulas = Annotated[
    list[str],
    typer.Argument(metavar="FORMULA...", help="Formulas such as Li3YCl6.", show_default=False),
]

FormulaFile = Annotated[
    Path | None,
    typer.Option(help="CSV with a column formula and, if wanted, a column phase.", show_default=False),
]

Phase = Annotated[
    Literal["crystal", "glass"] | None,
    typer.Option(help="Default: both.", show_default=False, case_sensitive=False),
]

ResultFormat = Annotated[
    Literal["table", "csv", "json"] | None,
    typer.Option(
        help="Default: table, or what the name of --out ends with.", show_default=False, case_sensitive=False
    ),
]

ResultFile = Annotated[
    Path | None,
    typer.Option(help="File for the result; refused rows go to rejected.csv beside it.", show_default=False),
]

Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace other results that are there.")]

TargetsFile = Annotated[
    Path | None, typer.Option(help="Targets (TOML); default: the shipped ones.", show_default=False)
]

Weights = Annotated[
    Path | None,
    typer.Option(help="Folder of trained weights; default: the shipped ones.", show_default=False),
]

CrystalWeights = Annotated[
    Path | None,
    typer.Option(help="Folder of networks on structures; default: the shipped ones.", show_default=False),
]

OwnData = Annotated[
    Path | None,
    typer.Option(help="Folder of own measurements (softlyte data add).", show_default=False),
]

Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]

Route = Annotated[
    Literal["mechanochemical", "hydrate"],
    typer.Option(help="hydrate: H2O, HCl and CO2 may leave the batch.", case_sensitive=False),
]

Prices = Annotated[
    Path | None,
    typer.Option(help="CSV of own prices: formula, price_per_kg and more.", show_default=False),
]

PriceDate = Annotated[
    str | None,
    typer.Option(help="Date of the prices: 2023 or 2023-11. Default: 2024.", show_default=False),
]

Without = Annotated[
    list[str] | None,
    typer.Option(help="Precursor that may not be used; may be repeated.", show_default=False),
]

PriceLevel = Annotated[
    Literal["low", "central", "high"],
    typer.Option(help="low or high: every price at that end of its interval.", case_sensitive=False),
]

Currency = Annotated[str, typer.Option(help="Show costs in this currency too, such as EUR.")]

Thickness = Annotated[float, typer.Option(help="Of the layer that USD/m2 is of, micrometres.")]
