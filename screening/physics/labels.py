"""Computed labels: `python -m softlyte.screening.physics.labels glasses|crystals --out FOLDER`.

Each command computes what its folder does not hold yet and may be killed and started again at any time; two
commands on two folders may run at once. `pack` puts a job's results into one file, from which another machine
goes on (`--packed`).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from softlyte.datasets.build.artifacts import file_checksum
from softlyte.screening.crystals.generate import read_crystals
from softlyte.screening.crystals.substitution import Crystal
from softlyte.screening.physics.crystal_labels import crystal_label, label_order
from softlyte.screening.physics.elasticity import FMAX_EV_A, OPTIMIZER
from softlyte.screening.physics.glasses import (
    GLASS_CELLS,
    glass_sample,
    glass_tasks,
    schedule_config,
)
from softlyte.screening.physics.job_folder import JobFolder
from softlyte.screening.physics.potentials import find_potential, load_calculator
from softlyte.screening.physics.reference_labels import KnownPhase, competing_phases, phase_energy

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False)

Progress = Callable[[str, int, int], None]


def potential_config(name: str) -> dict[str, str]:
    """Return what a label folder records of its potential."""
    potential = find_potential(name)
    return {
        "potential": name,
        "version": potential.version(),
        "functional": potential.functional,
        "weights": potential.checksum(),
        "optimizer": OPTIMIZER,
        "fmax_ev_a": str(FMAX_EV_A),
    }


def _opened(out: Path, config: dict[str, Any], packed: Path | None) -> JobFolder:
    folder = JobFolder(out, config)
    if packed is not None:
        folder.unpack(packed)
    return folder


def compute_glasses(
    out: Path,
    potential: str = "diep",
    samples: int = 2,
    progress: Progress | None = None,
    packed: Path | None = None,
) -> list[dict[str, Any]]:
    """Melt, quench and strain every glass of GLASS_CELLS and return the records, done or failed.

    Args:
        out: folder of the checkpoints; made if missing, continued if it holds some.
        potential: name or dotted path.
        samples: of each glass.
        progress: called with a name, done and total.
        packed: results of an earlier run to begin with.
    """
    config = {"job": "glasses", **potential_config(potential), "schedule": schedule_config()}
    folder = _opened(out, config, packed)
    calculator = load_calculator(potential)
    folder.log(event="open", tasks=samples * len(GLASS_CELLS))

    def work(task: tuple[str, int]) -> dict[str, Any]:
        return glass_sample(task[0], task[1], calculator)

    return list(folder.run(glass_tasks(samples), work, progress))


def compute_crystals(
    out: Path,
    crystals: Path,
    potential: str = "diep",
    most: int | None = None,
    progress: Progress | None = None,
    packed: Path | None = None,
) -> list[dict[str, Any]]:
    """Relax and strain crystals in the order of `label_order` and return the records, done or failed.

    Args:
        out: folder of the checkpoints; made if missing, continued if it holds some.
        crystals: a crystals.jsonl of `softlyte crystals`.
        potential: name or dotted path.
        most: crystals to do; None for all.
        progress: called with a name, done and total.
        packed: results of an earlier run to begin with.
    """
    todo = label_order(read_crystals(crystals))[:most]
    config = {"job": "crystals", **potential_config(potential), "crystals": file_checksum(crystals)}
    folder = _opened(out, config, packed)
    calculator = load_calculator(potential)
    folder.log(event="open", tasks=len(todo))

    def work(crystal: Crystal) -> dict[str, Any]:
        return crystal_label(crystal, calculator)

    return list(folder.run([(crystal.name, crystal) for crystal in todo], work, progress))


def compute_references(
    out: Path,
    structures: Path,
    potential: str = "diep",
    progress: Progress | None = None,
    packed: Path | None = None,
) -> list[dict[str, Any]]:
    """Relax the competing phases of a table of structures and return their energies, done or failed.

    Args:
        out: folder of the checkpoints; made if missing, continued if it holds some.
        structures: Parquet, see `reference_labels.competing_phases`.
        potential: name or dotted path.
        progress: called with a name, done and total.
        packed: results of an earlier run to begin with.
    """
    config = {"job": "references", **potential_config(potential), "structures": file_checksum(structures)}
    folder = _opened(out, config, packed)
    todo = competing_phases(structures)
    calculator = load_calculator(potential)
    folder.log(event="open", tasks=len(todo))

    def work(phase: KnownPhase) -> dict[str, Any]:
        return phase_energy(phase, calculator)

    return list(folder.run([(f"{p.formula}-{p.source_id}", p) for p in todo], work, progress))


@app.callback()
def _group() -> None:
    pass


@app.command("glasses")
def glasses_command(
    out: Annotated[Path, typer.Option(help="Folder of the checkpoints.")],
    potential: Annotated[str, typer.Option(help="Name or dotted path.")] = "diep",
    samples: Annotated[int, typer.Option(min=1, help="Of each glass.")] = 2,
    packed: Annotated[Path | None, typer.Option(help="Results to begin with, written by pack.")] = None,
) -> None:
    """Glasses by melting and quenching."""
    records = compute_glasses(out, potential, samples, _print, packed)
    typer.echo(f"{sum(not r.get('problem') for r in records)} of {len(records)} glasses are sound")


@app.command("crystals")
def crystals_command(
    crystals: Annotated[Path, typer.Argument(help="crystals.jsonl of `softlyte crystals`.")],
    out: Annotated[Path, typer.Option(help="Folder of the checkpoints.")],
    potential: Annotated[str, typer.Option(help="Name or dotted path.")] = "diep",
    most: Annotated[int | None, typer.Option(min=1, help="Crystals to do; default: all.")] = None,
    packed: Annotated[Path | None, typer.Option(help="Results to begin with, written by pack.")] = None,
) -> None:
    """Crystals by substitution."""
    records = compute_crystals(out, crystals, potential, most, _print, packed)
    typer.echo(f"{sum(not r.get('problem') for r in records)} of {len(records)} crystals are sound")


@app.command("references")
def references_command(
    structures: Annotated[Path, typer.Argument(help="Parquet with mp_id, formula, energy and cif.")],
    out: Annotated[Path, typer.Option(help="Folder of the checkpoints.")],
    potential: Annotated[str, typer.Option(help="Name or dotted path.")] = "diep",
    packed: Annotated[Path | None, typer.Option(help="Results to begin with, written by pack.")] = None,
) -> None:
    """Known phases that compete on hulls."""
    records = compute_references(out, structures, potential, _print, packed)
    typer.echo(f"{sum(not r.get('problem') for r in records)} of {len(records)} phases are sound")


@app.command("pack")
def pack_command(
    folder: Annotated[Path, typer.Argument(help="Folder of a job.")],
    file: Annotated[Path, typer.Argument(help="File to write, .jsonl.gz.")],
) -> None:
    """All results of a job in one file."""
    config = JobFolder.config_of(folder)
    if not isinstance(config, dict):
        raise typer.BadParameter(f"{folder} holds no job; give the folder of --out")
    typer.echo(f"{JobFolder(folder, config).pack(file)} results")


def _print(name: str, done: int, total: int) -> None:
    typer.echo(f"{name} {done}/{total}")


if __name__ == "__main__":
    app()
