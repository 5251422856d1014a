"""`softlyte diffuse`: conductivity of a crystal by molecular dynamics."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from softlyte.cli import options
from softlyte.cli.output import note, number_text, print_json, print_table
from softlyte.cli.progress import progress_bar

SHOWN = {
    "temperature_k": "T/K",
    "diffusivity_cm2_s": "D/(cm2/s)",
    "diffusivity_cm2_s_lower": "lower",
    "diffusivity_cm2_s_upper": "upper",
    "nernst_einstein_ms_cm": "σ/(mS/cm)",
    "framework_displacement_a": "framework/Å",
}
"""Columns of the summary with their headings; the file has all."""


def command(
    structure: Annotated[
        Path, typer.Argument(help="CIF, POSCAR or pymatgen JSON with one structure.", show_default=False)
    ],
    out: Annotated[Path, typer.Option(help="Folder for the results.", show_default=False)],
    temperature: Annotated[
        list[float] | None,
        typer.Option(help="Kelvin; may be repeated. Default: 600, 750, 900.", show_default=False),
    ] = None,
    duration: Annotated[float, typer.Option(help="Picoseconds at each temperature.")] = 50.0,
    fit_from: Annotated[float, typer.Option(help="Shortest interval of the fit, picoseconds.")] = 5.0,
    timestep: Annotated[float, typer.Option(help="Femtoseconds.")] = 2.0,
    shortest: Annotated[float, typer.Option(help="Least edge of the supercell, angstrom.")] = 9.0,
    potential: Annotated[str, typer.Option(help="Name, or dotted path of an ASE calculator.")] = "diep",
    device: Annotated[Literal["cpu", "cuda"], typer.Option(help="Where the potential runs.")] = "cpu",
    seed: Annotated[int, typer.Option(help="Of velocities, thermostat and sampling.")] = 0,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Diffusivity, Nernst-Einstein conductivity and activation energy of the mobile ion.

    Writes diffusion.csv, arrhenius.json and checkpoints into --out; a run that was stopped goes on by the
    same command.
    """
    from softlyte.screening.physics.diffusion import MdSettings, diffuse
    from softlyte.screening.physics.verify import read_subjects

    subjects, _ = read_subjects([structure])
    settings = MdSettings(
        duration_ps=duration, fit_from_ps=fit_from, timestep_fs=timestep, shortest_a=shortest, seed=seed
    )
    with progress_bar() as show:
        result = diffuse(
            subjects[0].structures[0],
            out,
            tuple(temperature or (600.0, 750.0, 900.0)),
            potential,
            device,
            settings,
            show,
        )
    if as_json:
        print_json({"temperatures": result.table.to_dict("records"), "arrhenius": result.arrhenius})
        return
    cells = (
        [number_text(value, name) for name, value in zip(SHOWN, row, strict=True)]
        for row in result.table[list(SHOWN)].itertuples(index=False, name=None)
    )
    print_table(list(SHOWN.values()), cells, f"{subjects[0].formula}", right=list(SHOWN.values()))
    if result.arrhenius:
        fit = result.arrhenius
        note(
            f"activation energy {fit['activation_energy_ev']:.3g} eV "
            f"[{fit['activation_energy_ev_lower']:.3g}, {fit['activation_energy_ev_upper']:.3g}], "
            f"{fit['sigma_25c_ms_cm']:.3g} mS/cm at 25 C "
            f"[{fit['sigma_25c_ms_cm_lower']:.3g}, {fit['sigma_25c_ms_cm_upper']:.3g}]; extrapolated"
        )
    note(f"results are in {result.folder}")
