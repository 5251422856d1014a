"""Where ensembles of past years put the electrolytes that came later; writes sections of RESULTS.md.

    python -m benchmarks.rediscovery --out FOLDER

The same as `softlyte benchmark rediscovery --out FOLDER`, which goes on in a folder that it began.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.report import markdown_table, write_section
from softlyte.screening.rediscovery.benchmark import (
    RESULT_FILE,
    SAMPLE,
    TABLE_FILE,
    YEARS,
    rediscovery,
)
from softlyte.screening.rediscovery.ensembles import Effort

PARTS = {"0.001": "top 0.1%", "0.01": "top 1%", "0.1": "top 10%"}
SHORT = {
    "stack_pressure_mpa": "pressure",
    "sigma_ms_cm": "conductivity",
    "oxidation_v": "oxidation",
    "e_above_hull_ev_atom": "hull",
    "cost_usd_l": "cost",
}


def main() -> None:
    """Run the benchmark and write what it found."""
    parser = argparse.ArgumentParser(description="rediscovery of later electrolytes")
    parser.add_argument("--out", type=Path, required=True, help="folder for ensembles and results")
    parser.add_argument("--year", type=int, action="append", help="cut-off; may be repeated")
    parser.add_argument("--sample", type=int, default=SAMPLE)
    parser.add_argument("--members", type=int, default=3)
    parser.add_argument("--effort", type=float, default=1.0)
    parser.add_argument("--kept", action="store_true", help="write the sections from what lies in the folder")
    parser.add_argument("--dry", action="store_true", help="print, and leave RESULTS.md as it is")
    chosen = parser.parse_args()
    if not chosen.kept:
        rediscovery(
            chosen.out,
            chosen.year or YEARS,
            chosen.sample,
            Effort(chosen.members, chosen.effort),
            progress=print_progress,
        )
    summary = json.loads((chosen.out / RESULT_FILE).read_text(encoding="utf-8"))
    discoveries = pd.read_csv(chosen.out / TABLE_FILE, keep_default_na=False, na_values=[""])
    for name, text in (
        ("rediscovery", enrichment(summary)),
        ("rediscovery-one-by-one", one_by_one(discoveries)),
        ("rediscovery-held-back", held_back(summary)),
        ("rediscovery-neighbours", neighbours(summary)),
    ):
        print(text, end="\n\n")
        if not chosen.dry:
            write_section(name, text)


def print_progress(what: str, done: int, total: int) -> None:
    """Print a line for each step."""
    print(f"{what}: {done} of {total}", flush=True)


def enrichment(summary: dict[str, Any]) -> str:
    """Return enrichment, recall and median rank by year and method."""
    settings, body, chance = summary["settings"], [], []
    for year, found in summary["years"].items():
        for name, said in found["methods"].items():
            line = [f"{year} ({found['discoveries']})", name]
            for part in PARTS:
                low, high = said["enrichment_90"][part]
                spread = f" ± {said['enrichment_seeds'][part]:.1f}" if said["seeds"] > 1 else ""
                if name == "random":
                    line.append(f"{said['enrichment'][part]:.1f}{spread}")
                else:
                    line.append(f"{said['enrichment'][part]:.1f}{spread} [{low:.1f}, {high:.1f}]")
            line += [f"{said['enrichment_among_listed']['0.01']:.1f}"]
            line += [f"{value:.2f}" for value in said["recall"].values()]
            body.append([*line, f"{said['median_percent']:.3g}"])
        alone = found["members"]
        values = "; ".join(
            f"{PARTS[part]} {', '.join(f'{value:.1f}' for value in alone[part])}" for part in PARTS
        )
        chance.append(f"- until {year}, each network alone: {values}")
    first = next(iter(summary["years"].values()))["methods"]["random"]
    head = ["known until (discoveries)", "ranked by", *PARTS.values(), "top 1% of what was judged"]
    head += [f"recall at {int(n):,}" for n in first["recall"]] + ["median rank, %"]
    effort = settings["effort"]
    text = (
        f"{settings['compositions']:,} compositions of {', '.join(settings['spaces'])}, of which "
        f"{settings['judged']:,} were judged; {effort['members']} networks a year, seed {effort['seed']}, "
        f"epochs times {effort['share']:g}. Brackets: 90% bootstrap over discoveries; ±: standard deviation "
        "over seeds.\n\n"
    )
    return text + markdown_table(head, body) + "\n\n" + "\n".join(chance)


def one_by_one(discoveries: pd.DataFrame) -> str:
    """Return a row for each year and discovery."""
    methods = [name for name in discoveries if name.startswith("percent_") and name != "percent_random"]
    chances = [name for name in discoveries if name.startswith("p_") and name != "p_all_targets"]
    body = []
    for row in discoveries.to_dict("records"):
        refused = pd.isna(row["judged_phase"])
        line = [
            f"{row['published_until']}",
            row["formula"] + ("" if row["in_space"] else " (in no space)"),
            f"{row['year_published']}",
            f"{row['measured_ms_cm']:.3g}",
            "refused: cost" if refused else str(row["judged_phase"]),
            "-" if refused else f"{row['sigma_ms_cm']:.2g}",
        ]
        line += ["-" if pd.isna(row[name]) else f"{row[name]:.2f}" for name in chances]
        line += [f"{row['p_all_targets']:.3f}", *(f"{row[name]:.2g}" for name in methods)]
        body.append(line)
    head = ["known until", "discovery", "year", "measured, mS/cm", "judged as", "predicted, mS/cm"]
    head += [f"P({SHORT.get(name.removeprefix('p_'), name.removeprefix('p_'))})" for name in chances]
    head += ["P(all)", *(f"{name.removeprefix('percent_').replace('_', ' ')}, %" for name in methods)]
    return markdown_table(head, body)


def held_back(summary: dict[str, Any]) -> str:
    """Return how the discoveries stand with one property known to meet its target, or not asked for."""
    body = []
    for year, found in summary["years"].items():
        said = found["methods"]["joint probability"]
        plain = [f"{said['enrichment'][part]:.1f}" for part in PARTS]
        body.append([year, "nothing changed", *plain, f"{said['median_percent']:.3g}", *["-"] * 4])
        for target, stands in found["held_back"].items():
            line = [year, SHORT.get(target, target)]
            for way in ("told", "without"):
                line += [f"{stands[way]['enrichment'][part]:.1f}" for part in PARTS]
                line.append(f"{stands[way]['median_percent']:.3g}")
            body.append(line)
    parts = list(PARTS.values())
    head = ["known until", "property", *(f"told: {part}" for part in parts), "told: median rank, %"]
    head += [*(f"without: {part}" for part in parts), "without: median rank, %"]
    return markdown_table(head, body)


def neighbours(summary: dict[str, Any]) -> str:
    """Return how the neighbours of each discovery rank."""
    body = [
        [
            year,
            formula,
            f"{said['count']:,}",
            f"{said['best_percent']:.2g}",
            f"{said['median_percent']:.2g}",
            f"{100 * said['in_first_percent']:.0f}%",
        ]
        for year, found in summary["years"].items()
        for formula, said in found["neighbours"].items()
    ]
    head = ["known until", "neighbours of", "number", "best rank, %", "median rank, %", "in the top 1%"]
    return markdown_table(head, body)


if __name__ == "__main__":
    main()
