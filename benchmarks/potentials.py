"""Universal potentials against measured elasticity; writes a section of RESULTS.md.

    python -m benchmarks.potentials --out FOLDER

FOLDER keeps what is finished: the same command goes on with it. Needs the extra `physics`.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pymatgen.core import Lattice, Structure

from benchmarks.report import markdown_table, write_section
from softlyte.datasets.tables import load_table
from softlyte.screening.crystals.generate import crystals_of, plain_structure
from softlyte.screening.crystals.ordering import ordered
from softlyte.screening.physics.elasticity import FMAX_EV_A, OPTIMIZER
from softlyte.screening.physics.job_folder import JobFolder
from softlyte.screening.physics.potentials import POTENTIALS, find_potential
from softlyte.screening.physics.verify import Task, work

CRC = (
    "CRC Handbook of Chemistry and Physics, 82nd ed., 2001, p. 12-37 "
    "(quoted from memory, still to be checked)"
)
MEASURED = {
    "LiF": (113.97, 47.67, 63.64, CRC),
    "LiCl": (49.27, 23.10, 24.95, CRC),
    "NaCl": (49.47, 12.88, 12.87, CRC),
    "MgO": (297.08, 95.36, 156.13, CRC),
}
"""Elastic constants C11, C12, C44 of cubic crystals near room temperature in GPa, and their source."""
LATTICE_A = {"LiF": 4.03, "LiCl": 5.14, "NaCl": 5.64, "MgO": 4.21}
"""Rock-salt cells to start the relaxation from, angstrom."""
SAME_KIND_GPA = {
    "Li3YCl6": (28.0, 38.0),
    "Li3InCl6": (28.0, 38.0),
    "Li2ZrCl6": (28.0, 38.0),
    "LiAlCl4": (12.0, 20.0),
}
"""Young's moduli that potentials with relaxed ions were found to give, GPa; nothing is measured."""
LARGEST_SPREAD = 0.20


@dataclass(frozen=True)
class Moduli:
    """K, G and E in GPa, and where they come from."""

    bulk: float
    shear: float
    youngs: float
    source: str


def cubic_averages(c11: float, c12: float, c44: float) -> tuple[float, float, float]:
    """Return K, G and E of a cubic crystal in GPa by Voigt, Reuss and Hill."""
    bulk = (c11 + 2 * c12) / 3
    voigt = (c11 - c12 + 3 * c44) / 5
    reuss = 5 * (c11 - c12) * c44 / (4 * c44 + 3 * (c11 - c12))
    shear = (voigt + reuss) / 2
    return bulk, shear, 9 * bulk * shear / (3 * bulk + shear)


def measured() -> dict[str, Moduli]:
    """Return the measured moduli by formula."""
    found = {
        name: Moduli(*cubic_averages(c11, c12, c44), source)
        for name, (c11, c12, c44, source) in MEASURED.items()
    }
    table = load_table("mechanics_cited")
    row = table[(table["formula"] == "Li2O") & (table["computed"] == "no")].iloc[0]
    found["Li2O"] = Moduli(
        float(row["bulk_modulus_gpa_min"]),
        float(row["shear_modulus_gpa_min"]),
        float(row["youngs_modulus_gpa_min"]),
        f"table mechanics_cited ({row['source_title']})",
    )
    return found


def structures() -> dict[str, Structure]:
    """Return the structures to compute by formula."""
    found = {}
    for name, length in LATTICE_A.items():
        cation = name[:2]
        found[name] = Structure.from_spacegroup(
            "Fm-3m", Lattice.cubic(length), [cation, name[2:]], [[0, 0, 0], [0.5] * 3]
        ).get_primitive_structure()
    found["Li2O"] = Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(4.62), ["Li", "O"], [[0.25] * 3, [0, 0, 0]]
    ).get_primitive_structure()
    table = load_table("crystal_parents").set_index("formula")
    for name in ("LiAlCl4", "Li3YCl6", "Li3InCl6"):
        cell = ordered(Structure.from_str(str(table.loc[name, "cif"]), fmt="cif"))
        cell.remove_oxidation_states()
        found[name] = cell
    found["Li2ZrCl6"] = crystals_of("Li2ZrCl6", 1)[0].structure
    return found


def computed(out: Path, workers: int) -> pd.DataFrame:
    """Return a row for each structure and potential: moduli, volume change, processor seconds."""
    folder = JobFolder(
        out,
        {
            "benchmark": "potentials",
            "weights": {name: find_potential(name).checksum() for name in POTENTIALS},
            "fmax_ev_a": FMAX_EV_A,
            "optimizer": OPTIMIZER,
        },
    )
    tasks = [
        (f"{name}-{potential}", Task(plain_structure(structure), potential, "cpu", True))
        for name, structure in structures().items()
        for potential in POTENTIALS
    ]
    records = folder.run_parallel(tasks, work, workers)
    rows: list[dict[str, Any]] = []
    for key, record in records.items():
        name, _, potential = key.partition("-")
        rows.append({"formula": name, "potential": potential, **record})
    return pd.DataFrame(rows)


def section(frame: pd.DataFrame) -> str:
    """Return the Markdown of the section."""
    known = measured()
    lines = []
    errors: dict[str, list[list[float]]] = {name: [] for name in POTENTIALS}
    rows = []
    for name, real in known.items():
        row: dict[str, Any] = {
            "crystal": name,
            "measured K / G / E": f"{real.bulk:.1f} / {real.shear:.1f} / {real.youngs:.1f}",
        }
        for potential in POTENTIALS:
            one = frame[(frame["formula"] == name) & (frame["potential"] == potential)].iloc[0]
            found = [one["bulk_modulus_gpa"], one["shear_modulus_gpa"], one["youngs_modulus_gpa"]]
            row[potential] = " / ".join(f"{value:.1f}" for value in found)
            errors[potential].append(
                [v / r - 1 for v, r in zip(found, (real.bulk, real.shear, real.youngs), strict=True)]
            )
        rows.append(row)
    lines += ["K, G and E in GPa; ions relaxed, 0 K, against single crystals near room temperature:", ""]
    lines += [_table(rows), ""]
    for potential, values in errors.items():
        mean = 100 * np.abs(np.array(values)).mean(axis=0)
        lines.append(
            f"- {potential}: mean absolute error of K {mean[0]:.0f}%, G {mean[1]:.0f}%, E {mean[2]:.0f}%."
        )
    lines += ["", "Halide electrolytes, for which no measured modulus of a crystal is known:", ""]
    rows = []
    for name, (low, high) in SAME_KIND_GPA.items():
        ours = frame[frame["formula"] == name].set_index("potential")
        youngs = {p: float(ours.loc[p, "youngs_modulus_gpa"]) for p in POTENTIALS}
        spread = (max(youngs.values()) - min(youngs.values())) / np.mean(list(youngs.values()))
        inside = all(low <= value <= high for value in youngs.values())
        rows.append(
            {
                "crystal": name,
                "atoms": int(ours["atoms"].iloc[0]),
                **{f"E {p}": f"{value:.1f}" for p, value in youngs.items()},
                "spread": f"{100 * spread:.0f}%",
                "expected": f"{low:.0f}-{high:.0f} GPa",
                "holds": "yes" if inside and spread <= LARGEST_SPREAD else "no",
            }
        )
    lines += [_table(rows), ""]
    for potential in POTENTIALS:
        ours = frame[frame["potential"] == potential]
        lines.append(
            f"- {potential}: {ours['cpu_s'].sum():.0f} s of processor time for these "
            f"{len(ours)} crystals of {ours['atoms'].min():.0f}-{ours['atoms'].max():.0f} atoms."
        )
    sources = sorted({real.source for real in known.values()})
    lines += ["", f"Measured values: {'; '.join(sources)}."]
    return "\n".join(lines)


def _table(rows: list[dict[str, Any]]) -> str:
    return markdown_table(list(rows[0]), [[str(cell) for cell in row.values()] for row in rows])


def main() -> None:
    """Compute, print and write the section."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the checkpoints")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--dry", action="store_true", help="print the section only")
    arguments = parser.parse_args()
    text = section(computed(arguments.out, arguments.workers))
    print(text)
    if not arguments.dry:
        write_section("potentials", text)


if __name__ == "__main__":
    main()
