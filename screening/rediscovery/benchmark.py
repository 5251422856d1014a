"""The rediscovery benchmark: train until a year, screen, and see where the later discoveries stand."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from softlyte.datasets.distances import within
from softlyte.datasets.errors import UserError
from softlyte.datasets.writing import write_bytes
from softlyte.models.checkpoint import load_checkpoint
from softlyte.models.members import rows_of
from softlyte.models.training_data import TrainingRows
from softlyte.screening.export import check_writable, write_csv
from softlyte.screening.rediscovery.baselines import nearness, tree_conductivity
from softlyte.screening.rediscovery.discoveries import (
    NEAR_DUPLICATE,
    Discovery,
    all_formulas,
    conductors_until,
    discoveries_after,
    known_until,
    measurements,
)
from softlyte.screening.rediscovery.ensembles import (
    Effort,
    parameters_until,
    pretrained,
    pretraining_config,
    trained,
    year_config,
)
from softlyte.screening.rediscovery.population import NEIGHBOURHOOD, SPACES, Population, draw_population
from softlyte.screening.rediscovery.scene import Scene
from softlyte.screening.rediscovery.scoring import hull_without, judge
from softlyte.screening.targets import DRAWN_COLUMNS, Targets, load_targets

YEARS = (2019, 2021, 2022)
SAMPLE = 20_000
DECISION, CONDUCTIVITY = "joint probability", "conductivity only"
RANDOM, COST, NEAREST, NEAREST_FAST, TREES = (
    "random",
    "cost only",
    "nearest known electrolyte",
    "nearest known conductor",
    "ExtraTrees",
)
SEEDS = 3
RANDOM_SEEDS = 200
RESULT_FILE, TABLE_FILE = "rediscovery.json", "discoveries.csv"

Progress = Callable[[str, int, int], None]
"""Called with what is done, steps done and steps in all."""

FloatArray = NDArray[np.float64]


class RediscoveryError(UserError):
    """A benchmark that cannot be run as asked; the message names the remedy."""


@dataclass(frozen=True)
class RediscoveryResult:
    """What the benchmark found.

    Attributes:
        folder: holds rediscovery.json, discoveries.csv, the run folders of the ensembles and what they said.
        summary: by year and method, as in rediscovery.json.
        discoveries: a row for each year and discovery: percentiles by method, probability of each target.
    """

    folder: Path
    summary: dict[str, Any]
    discoveries: pd.DataFrame

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return {"folder": str(self.folder), **self.summary}


def rediscovery(
    out: Path | str = "rediscovery",
    years: Sequence[int] = YEARS,
    sample: int = SAMPLE,
    effort: Effort | None = None,
    targets: Targets | Path | str | None = None,
    spaces: Sequence[str] = SPACES,
    device: str = "auto",
    progress: Progress | None = None,
) -> RediscoveryResult:
    """Run the benchmark, or go on where an earlier call with the same arguments was stopped.

    Args:
        out: folder for ensembles and results.
        years: cut-offs, in the order to work on them; each ensemble learns from nothing published later.
        sample: compositions drawn from the spaces besides all neighbours of the discoveries.
        effort: how much is trained; None for three members of the usual length.
        targets: loaded targets or a TOML file; None for the shipped ones.
        spaces: names or files of candidate spaces.
        device: "auto", "cpu" or "cuda".
        progress: see `Progress`.

    Raises:
        RediscoveryError: no year, a sample that is too small, or nothing was discovered after a year or known
            until then.
        UserError: spaces, targets or folder cannot be used.
    """
    folder = Path(out)
    check_writable(folder)
    effort = Effort() if effort is None else effort
    if not years:
        raise RediscoveryError("no year was given; give one or more, such as 2021")
    if sample < 1 or effort.members < 2:
        raise RediscoveryError("give a sample of 1 or more, and 2 members or more")
    show = progress or (lambda what, done, total: None)
    aims = targets if isinstance(targets, Targets) else load_targets(targets)
    drawn = [name for name in aims.columns if name in DRAWN_COLUMNS]
    if drawn:
        raise RediscoveryError(f"the benchmark judges no target on {drawn[0]}; leave it out of the targets")
    table = measurements()
    found = {year: discoveries_after(table, year) for year in dict.fromkeys(years)}
    for year, those in found.items():
        if not those:
            raise RediscoveryError(f"the tables hold no discovery after {year}; give an earlier year")
        if not len(conductors_until(table, year)):
            raise RediscoveryError(
                f"the tables hold no conductor of 1 mS/cm that was published until {year}, nothing to learn "
                "from; give a later year"
            )
    everyone = _once(found)
    show("candidates", 0, 1)
    population = draw_population(everyone, sample, effort.seed, tuple(spaces))
    show("candidates", 1, 1)
    leave_out = all_formulas(everyone)
    pretraining = pretrained(
        pretraining_config(effort, min(found), leave_out),
        folder / "pretraining",
        device,
        progress is not None,
    )
    hull = hull_without(leave_out)
    summary: dict[str, Any] = {
        "settings": {
            "sample": sample,
            "effort": asdict(effort),
            "spaces": list(spaces),
            "targets": [str(target) for target in aims.target],
            "near_duplicate": NEAR_DUPLICATE,
            "neighbourhood": NEIGHBOURHOOD,
            "compositions": population.total,
            "judged": len(population),
        },
        "years": {},
    }
    lines: list[dict[str, Any]] = []
    for year, those in found.items():
        config = year_config(effort, year, all_formulas(those), pretraining)
        weights = trained(config, folder / f"until_{year}", device, progress is not None)
        law = parameters_until(year)
        judged = judge(
            population,
            weights,
            hull,
            aims,
            law,
            folder / f"judged_{year}.npz",
            device,
            lambda done, total, year=year: show(f"judged until {year}", done, total),  # type: ignore[misc]
        )
        scene = Scene(population, judged, those, everyone, known_mask(population, table, year))
        scores = _scores(scene, table, year, rows_of(config))
        card = load_checkpoint(weights).card
        summary["years"][str(year)] = {
            "published_until": card["published_until"],
            "weights_sha256": card["weights_sha256"],
            "rows": card["rows"]["all"],
            "discoveries": len(those),
            "known": int(scene.known.sum()),
            "others": int(scene.others.sum()),
            "law": {name: value.value for name, value in law.items() if name.startswith("law_")},
            "methods": {name: scene.report(values) for name, values in scores.items()},
            "members": scene.members(),
            "neighbours": scene.neighbours(scores[DECISION][0]),
            "held_back": scene.held_back(),
        }
        lines += scene.lines(year, scores)
        discoveries = pd.DataFrame(lines)
        # After every year: a benchmark that is stopped has told what it has.
        write_csv(folder / TABLE_FILE, discoveries)
        write_bytes(folder / RESULT_FILE, (json.dumps(summary, indent=1) + "\n").encode())
    return RediscoveryResult(folder, summary, discoveries)


def _scores(scene: Scene, table: pd.DataFrame, year: int, rows: TrainingRows) -> dict[str, list[FloatArray]]:
    """Return the scores [N] of every method, one for each of its seeds."""
    population, judged = scene.population, scene.judged
    scores = {DECISION: [judged.best(judged.joint())]}
    if "sigma_ms_cm" in judged.targets:
        scores[CONDUCTIVITY] = [judged.best(judged.single("sigma_ms_cm"))]
    if "cost_usd_l" in judged.targets:
        scores[COST] = [judged.best(-judged.median[judged.targets.index("cost_usd_l")])]
    count = len(population)
    return scores | {
        TREES: [tree_conductivity(population, rows, seed) for seed in range(SEEDS)],
        NEAREST: [nearness(population, known_until(table, year))],
        NEAREST_FAST: [nearness(population, conductors_until(table, year))],
        RANDOM: [np.random.default_rng(seed).uniform(size=count) for seed in range(RANDOM_SEEDS)],
    }


def known_mask(population: Population, table: pd.DataFrame, year: int) -> NDArray[np.bool_]:
    """Return which candidates count as one with a halide measured until a year, [N]."""
    return within(population.compositions, known_until(table, year), NEAR_DUPLICATE)


def _once(found: dict[int, tuple[Discovery, ...]]) -> tuple[Discovery, ...]:
    """Return the discoveries of all years, each name once, the earliest year's first."""
    named: dict[str, Discovery] = {}
    for year in sorted(found):
        for one in found[year]:
            named.setdefault(one.formula, one)
    return tuple(named.values())
