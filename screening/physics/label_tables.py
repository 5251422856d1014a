"""Finished label jobs become vendored tables with their cards and run logs.

    python -m softlyte.screening.physics.label_tables --crystals FOLDER --glasses FOLDER
        --references FOLDER --references FOLDER --out datasets/tables

Takes what is finished; after the jobs have gone on the same command writes the longer tables.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import typer
from pymatgen.core import Composition, Structure

from softlyte.datasets.tables import tables_folder
from softlyte.datasets.writing import BuiltTable, seal_card, write_bytes, write_table
from softlyte.screening.physics.competing import PotentialHull, competing_formulas, normal
from softlyte.screening.physics.examine import has_energy
from softlyte.screening.physics.job_folder import JobFolder

MODULI = ("bulk_modulus_gpa", "shear_modulus_gpa", "youngs_modulus_gpa")
DECIMALS = {
    **dict.fromkeys(MODULI, 3),
    "volume_a3_atom": 4,
    "density_g_cm3": 4,
    "energy_ev_atom": 5,
    "formation_energy_ev_atom": 4,
    "energy_above_crystals_ev_atom": 4,
    "volume_change": 4,
    "elastic_r2": 4,
}
SPOILT = ("exploded", "collapsed", "unconverged")
"""Problems of a whole row; others spoil the moduli alone."""


def _job(folder: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the configuration of a label folder and its finished records with an energy."""
    config = JobFolder.config_of(folder)
    if not isinstance(config, dict):
        raise typer.BadParameter(f"{folder} holds no label job; give the folder of `labels --out`")
    return config, [r for r in JobFolder(folder, config).results() if "energy_ev_atom" in r]


def hull_of(references: Mapping[str, float], elements: Iterable[str], potential: str) -> PotentialHull:
    """Return the hull of a chemical system from energies by formula."""
    formulas = competing_formulas(elements)
    known = {f: references[f] for f in formulas if f in references}
    return PotentialHull(potential, known, tuple(f for f in formulas if f not in known))


def reference_energies(records: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return the lowest sound energy of each formula, eV/atom."""
    found: dict[str, float] = {}
    for record in records:
        if has_energy(record):
            name = str(record["formula"])
            found[name] = min(float(record["energy_ev_atom"]), found.get(name, np.inf))
    return found


def _flag(record: Mapping[str, Any]) -> str:
    """Return the flag of a record; moduli that are taken out are named with their value."""
    problem = str(record.get("problem", "")).replace(" ", "_")
    if problem in SPOILT:
        return problem
    if record.get("topology") == "amorphised" and "parent" in record:
        return "amorphised"
    if problem:
        return ";".join(f"{name}:{problem}={record[name]:.3f}" for name in MODULI if name in record)
    return ""


def _common(record: Mapping[str, Any], config: Mapping[str, Any], hull: PotentialHull) -> dict[str, Any]:
    sound = not record.get("problem")
    energy = float(record["energy_ev_atom"])
    return {
        "name": record.get("name", record["key"]),
        "formula": normal(str(record["formula"])),
        "atoms": int(record["atoms"]),
        "potential": config["potential"],
        "weights": config["weights"],
        **{name: record.get(name, np.nan) if sound else np.nan for name in MODULI},
        "volume_a3_atom": record["volume_a3_atom"],
        "density_g_cm3": record["density_g_cm3"],
        "energy_ev_atom": energy,
        "formation_energy_ev_atom": hull.formation_energy(str(record["formula"]), energy),
        "elastic_r2": record.get("elastic_r2", np.nan),
        "flag": _flag(record),
    }


def crystal_table(
    records: Sequence[Mapping[str, Any]], config: Mapping[str, Any], references: Mapping[str, float]
) -> BuiltTable:
    """Return the table potential_crystals."""
    rows = []
    for record in sorted(records, key=lambda r: str(r["name"])):
        hull = hull_of(references, _elements(record), str(config["potential"]))
        row = _common(record, config, hull) | {
            "parent": record["parent"],
            "volume_change": record["volume_change"],
            "topology": record.get("topology", ""),
            "cif": str(Structure.from_dict(record["structure"]).to(fmt="cif")),
        }
        rows.append(row)
    columns = ["name", "formula", "parent", "atoms", "potential", "weights", *MODULI, "volume_a3_atom"]
    columns += ["density_g_cm3", "energy_ev_atom", "formation_energy_ev_atom", "volume_change", "topology"]
    return BuiltTable(pd.DataFrame(rows)[[*columns, "elastic_r2", "cif", "flag"]], DECIMALS)


def glass_table(
    records: Sequence[Mapping[str, Any]], config: Mapping[str, Any], references: Mapping[str, float]
) -> BuiltTable:
    """Return the table potential_glasses."""
    rows = []
    for record in sorted(records, key=lambda r: (str(r["formula"]), int(r["seed"]))):
        hull = hull_of(references, _elements(record), str(config["potential"]))
        row = _common(record, config, hull)
        row |= {
            "seed": int(record["seed"]),
            "energy_above_crystals_ev_atom": _above(
                hull, str(row["formula"]), row["formation_energy_ev_atom"]
            ),
            "missing_phases": ", ".join(hull.missing),
        }
        rows.append(row)
    columns = ["name", "formula", "seed", "atoms", "potential", "weights", *MODULI, "volume_a3_atom"]
    columns += [
        "density_g_cm3",
        "energy_ev_atom",
        "formation_energy_ev_atom",
        "energy_above_crystals_ev_atom",
    ]
    return BuiltTable(pd.DataFrame(rows)[[*columns, "missing_phases", "elastic_r2", "flag"]], DECIMALS)


def _above(hull: PotentialHull, formula: str, energy: float) -> float:
    """Return a formation energy above the hull of crystals, the same composition's included."""
    from softlyte.datasets.formulas import Compositions

    if not np.isfinite(energy):
        return float("nan")
    composition = Compositions.from_formulas([formula])
    found = hull.store({}).evaluate(composition, None, np.array([energy]), exclude_self=False)
    return float(energy - found.hull_energy_ev_atom[0])


def _elements(record: Mapping[str, Any]) -> set[str]:
    return {el.symbol for el in Composition(str(record["formula"])).elements}


def reference_table(
    jobs: Sequence[tuple[Mapping[str, Any], Sequence[Mapping[str, Any]]]],
) -> BuiltTable:
    """Return the table potential_references of one job for each potential; phases without an energy drop."""
    rows, dropped = [], Counter[str]()
    for config, records in jobs:
        for record in records:
            if not has_energy(record):
                dropped["no_sound_relaxation"] += 1
                continue
            rows.append(
                {
                    "formula": record["formula"],
                    "source_id": record["source_id"],
                    "potential": config["potential"],
                    "weights": config["weights"],
                    "atoms": int(record["atoms"]),
                    "energy_ev_atom": record["energy_ev_atom"],
                    "volume_a3_atom": record["volume_a3_atom"],
                    "volume_change": record["volume_change"],
                }
            )
    frame = pd.DataFrame(rows).sort_values(["potential", "formula"], ignore_index=True)
    return BuiltTable(frame, DECIMALS, dict(dropped))


def log_table(records: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Return the run log: processor time and outcome of every task."""
    rows = [(r["key"], r.get("atoms", 0), r.get("cpu_s", np.nan), r.get("problem", "")) for r in records]
    return pd.DataFrame(rows, columns=["task", "atoms", "cpu_s", "problem"])


def _card_of(name: str) -> Path:
    """Return the shipped card of a table, or that of one that has never been built."""
    shipped = tables_folder() / f"{name}.yaml"
    return shipped if shipped.exists() else Path(__file__).parent / "cards" / f"{name}.yaml"


def write_label_table(table: BuiltTable, name: str, out: Path, packed: bool = False) -> Path:
    """Write a table and its card, sealed; the card is taken from this package where there is none."""
    card = out / f"{name}.yaml"
    if not card.exists():
        out.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(_card_of(name), card)
    written = write_table(table, out / f"{name}.csv{'.gz' if packed else ''}")
    seal_card(card, written)
    return written


def main(
    references: Annotated[list[Path], typer.Option(help="Folder of a reference job.")],
    out: Annotated[Path, typer.Option(help="Folder of the tables.")],
    crystals: Annotated[Path | None, typer.Option(help="Folder of the crystal job.")] = None,
    glasses: Annotated[Path | None, typer.Option(help="Folder of the glass job.")] = None,
) -> None:
    """Write the tables of finished labels, their cards and run logs."""
    jobs = [_job(folder) for folder in references]
    energies = {str(config["weights"]): reference_energies(records) for config, records in jobs}
    typer.echo(write_label_table(reference_table(jobs), "potential_references", out))
    for folder, name, build in (
        (crystals, "potential_crystals", crystal_table),
        (glasses, "potential_glasses", glass_table),
    ):
        if folder is None:
            continue
        config, records = _job(folder)
        if not records:
            typer.echo(f"{folder} holds no finished result yet; {name} is left as it is")
            continue
        table = build(records, config, energies.get(str(config["weights"]), {}))
        typer.echo(write_label_table(table, name, out, packed=name == "potential_crystals"))
        log = log_table(records).to_csv(index=False, float_format="%.2f", lineterminator="\n")
        write_bytes(out / f"{name}.log.csv", log.encode())


if __name__ == "__main__":
    typer.run(main)
