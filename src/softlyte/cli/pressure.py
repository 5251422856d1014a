"""`softlyte pressure`: why a candidate needs the stack pressure that it needs, and what to do about it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import typer

from softlyte.cli import options
from softlyte.cli.output import note, print_json, repetitions_noted
from softlyte.datasets.errors import UserError


def command(
    formulas: options.Formulas = None,
    structure: Annotated[
        Path | None,
        typer.Option(
            help="CIF, POSCAR or pymatgen JSON of one crystal, in place of formulas.", show_default=False
        ),
    ] = None,
    bulk_modulus: Annotated[
        float | None,
        typer.Option(help="Bulk modulus in GPa that you know, with --shear-modulus.", show_default=False),
    ] = None,
    shear_modulus: Annotated[
        float | None,
        typer.Option(help="Shear modulus in GPa that you know, with --bulk-modulus.", show_default=False),
    ] = None,
    elastic_tensor: Annotated[
        Path | None,
        typer.Option(
            help="File with 6 x 6 constants in GPa (Voigt), in place of the moduli.", show_default=False
        ),
    ] = None,
    modulus_percent: Annotated[
        float | None,
        typer.Option(help="Standard deviation of these moduli in per cent; default: 10.", show_default=False),
    ] = None,
    moduli_of: Annotated[
        Literal["dense", "pellet"],
        typer.Option(
            help="What these moduli are of: the dense solid, or a pressed pellet.", case_sensitive=False
        ),
    ] = "dense",
    phase: options.Phase = None,
    temperature: Annotated[
        float | None, typer.Option(help="Use temperature, C; default: the targets' (25).", show_default=False)
    ] = None,
    contact: Annotated[
        float | None,
        typer.Option(help="Real over nominal contact area; default: the targets' (0.1).", show_default=False),
    ] = None,
    resistance: Annotated[
        float | None,
        typer.Option(help="Interface resistance in ohm cm2, in place of --contact.", show_default=False),
    ] = None,
    alkali_metal: Annotated[
        bool | None,
        typer.Option("--alkali-metal", help="Lithium or sodium metal lies against it.", show_default=False),
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Image file (png, svg, pdf) for the distribution.", show_default=False)
    ] = None,
    targets: options.TargetsFile = None,
    weights: options.Weights = None,
    crystal_weights: options.CrystalWeights = None,
    device: options.Device = "auto",
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Explain the stack pressure of formulas in words and a plot.

    Modulus, hardness, glass transition, contact model, the distribution of the required pressure, what a
    pellet keeps, and cell-level strategies that reached the target where the electrolyte alone does not. Of a
    structure, and of moduli that you know, it starts from these.
    """
    if contact is not None and resistance is not None:
        raise UserError("--contact and --resistance both set the contact; give one of them")
    if crystal_weights is not None and structure is None:
        raise UserError("--crystal-weights is for structures; give --structure FILE, or leave it out")
    if not formulas and structure is None:
        raise UserError("nothing was asked; give a formula such as Li3YCl6, or --structure FILE")
    from softlyte.screening.explain import explain_pressure, plot_pressure
    from softlyte.screening.export import check_file_place
    from softlyte.screening.own_solid import own_moduli
    from softlyte.screening.targets import load_targets

    moduli = own_moduli(bulk_modulus, shear_modulus, elastic_tensor, modulus_percent, moduli_of)
    if plot is not None:
        check_file_place(plot)
    aims = load_targets(targets)
    conditions = aims.working_conditions()
    if temperature is not None:
        conditions = replace(conditions, temperature_c=temperature)
    if contact is not None:
        conditions = replace(conditions, contact=contact)
    if alkali_metal is not None:
        conditions = replace(conditions, alkali_metal=alkali_metal)
    with repetitions_noted():
        reports = explain_pressure(
            formulas or [],
            phase,
            conditions,
            resistance,
            aims,
            weights=weights,
            device=device,
            structure=structure,
            moduli=moduli,
            crystal_weights=crystal_weights,
        )
    # Files first: a reader of the output who has seen enough does not cost them.
    if plot is not None:
        note(f"plot written to {plot_pressure(reports, plot)}")
    if as_json:
        print_json([report.to_dict() for report in reports])
    else:
        typer.echo("\n".join(report.text() for report in reports), nl=False)
