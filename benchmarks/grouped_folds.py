"""Five-fold cross-validation of every head, grouped by chemical system or by reduced formula.

    python -m benchmarks.grouped_folds --by chemical-system                             # baselines
    python -m benchmarks.grouped_folds --by chemical-system --trained TRAIN_FOLDER      # and the ensemble
    python -m benchmarks.grouped_folds --by reduced-formula --run RUN_FOLDER            # and networks

Grouped by chemical system, the networks are those of `softlyte train`: TRAIN_FOLDER holds what each member
says of the fold that it has not seen. Grouped by reduced formula they are trained here, one a fold and seed,
with a share of the epochs. Each writes a section of RESULTS.md.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.baselines import RESULTS, Plan, Task, score_task
from benchmarks.experiment import NetworkPlan
from benchmarks.metrics import FEWEST_ROWS
from benchmarks.protocols import Split, grouped
from benchmarks.report import write_section
from benchmarks.runner import NETWORK, Protocol, comparison, main, network_column, pooled, run_baselines
from softlyte.datasets.columns import PHASES
from softlyte.datasets.writing import write_bytes
from softlyte.models.config import DataConfig
from softlyte.models.evaluation import halide_rows
from softlyte.models.run_folder import RESOLVED
from softlyte.models.tasks import TARGET_NAMES
from softlyte.models.train import OUT_OF_FOLD
from softlyte.models.training_data import TrainingRows, load_training_rows, source_checksums

LARGE = (
    "formation_energy_ev_atom",
    "density_g_cm3",
    "glass_transition_k",
    "sigma_s_cm",
    "youngs_modulus_gpa",
)
TASKS = tuple(Task(name, name) for name in TARGET_NAMES)


def subsets(tests: TrainingRows, splits: Sequence[Split]) -> Mapping[str, NDArray[np.bool_]]:
    """Return each phase, and the Li/Na halides of each."""
    out: dict[str, NDArray[np.bool_]] = {}
    halides = halide_rows(tests)
    for code, phase in enumerate(PHASES):
        out[phase] = tests.phase == code
    for code, phase in enumerate(PHASES):
        out[f"Li/Na halides, {phase}"] = halides & (tests.phase == code)
    return out


def systems_plan(task: Task) -> Plan:
    """Return what is affordable: 30 trees, one seed where there are 20,000 rows and more, else three."""
    return Plan(seeds=1, tree_seeds=1 if task.target in LARGE else 3, trees=30)


def formulas_plan(task: Task) -> Plan:
    """Return one seed of everything, since over seeds the errors hardly move."""
    return Plan(seeds=1, tree_seeds=1, trees=30)


WHOLE = NetworkPlan(transfer=False, stage_share=0.2)
SYSTEMS = Protocol(
    "grouped_chemical_system",
    lambda rows: grouped(rows, "chemical system"),
    TASKS,
    subsets,
    WHOLE,
    systems_plan,
)
FORMULAS = Protocol(
    "grouped_reduced_formula",
    lambda rows: grouped(rows, "reduced formula"),
    TASKS,
    subsets,
    WHOLE,
    formulas_plan,
)


def score_training_run(folder: Path) -> tuple[TrainingRows, dict[str, Any]]:
    """Return the training matrix of a run and the scores of its out-of-fold predictions.

    Raises:
        SystemExit: the run was made with other tables.
    """
    config = json.loads((folder / RESOLVED).read_text(encoding="utf-8"))
    data = DataConfig.model_validate(config["data"])
    rows = load_training_rows(data.tables, data.split_seed, data.folds)
    with np.load(folder / OUT_OF_FOLD) as arrays:
        mean, fold = arrays["mean"].astype(float), arrays["fold"]
    if len(fold) != len(rows) or (fold != rows.fold).any():
        raise SystemExit(f"{folder} was trained on other tables than those that are here; train again")
    splits = SYSTEMS.splits(rows)
    tests = pooled(splits)
    chosen = SYSTEMS.subsets(tests, splits)
    order = np.concatenate([np.flatnonzero(rows.fold == number) for number in range(data.folds)])
    members = mean[:, order]
    tasks = {
        task.name: {
            NETWORK: {
                "seeds": [score_task(network_column(m, task), tests, task, chosen) for m in members],
                "ensemble": score_task(network_column(members.mean(axis=0), task), tests, task, chosen),
            }
        }
        for task in TASKS
    }
    content = {"config": config, "tables_sha256": source_checksums(rows.sources), "tasks": tasks}
    path = RESULTS / f"network_{SYSTEMS.name}.json"
    write_bytes(path, (json.dumps(content, indent=1) + "\n").encode())
    return rows, tasks


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description="grouped five-fold cross-validation of every head", add_help=False
    )
    parser.add_argument("--by", choices=("chemical-system", "reduced-formula"), required=True)
    parser.add_argument("--trained", type=Path, help="folder of a finished `softlyte train`")
    parser.add_argument("--kept", action="store_true", help="fit no baseline: show those that are kept")
    chosen, rest = parser.parse_known_args()
    if chosen.by == "chemical-system" and chosen.trained is not None:
        training_rows, networks = score_training_run(chosen.trained)
        baselines = run_baselines(SYSTEMS, training_rows, kept_only=chosen.kept)
        text = comparison(baselines, networks, fewest=FEWEST_ROWS)
        print(text)
        write_section(SYSTEMS.name, text)
        sys.exit()
    protocol = SYSTEMS if chosen.by == "chemical-system" else FORMULAS
    options = [*rest, "--fewest", str(FEWEST_ROWS), *(["--kept"] if chosen.kept else [])]
    main(protocol, "grouped five-fold cross-validation of every head", options)
