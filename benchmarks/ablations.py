"""What was tried to lower an error, on the very splits of a protocol; a section of RESULTS.md.

    python -m benchmarks.ablations --run RUN_FOLDER [--only matbench obelix families_left_out] [--seeds 3]

Every variant changes one thing of the protocol's networks, which come from RUN_FOLDER if the protocol was
run there. Variants are chosen by what might help, not by what did: all that were tried are shown.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks import families_left_out, matbench, obelix
from benchmarks.baselines import RESULTS, TREES, Baselines, Plan, Task, score_task
from benchmarks.experiment import Experiment, Machine, NetworkPlan
from benchmarks.metrics import over_seeds
from benchmarks.protocols import Split
from benchmarks.report import markdown_table, write_section
from benchmarks.runner import Protocol, network_column, pooled
from softlyte.datasets.formulas import Compositions
from softlyte.datasets.splits import matbench_folds
from softlyte.datasets.tables import load_table, unfit_rows
from softlyte.datasets.writing import write_bytes
from softlyte.models.config import DEFAULT_CONFIG, load_config
from softlyte.models.distillation import DISTILLED
from softlyte.models.predictor import choose_device
from softlyte.models.tasks import TARGET_NAMES
from softlyte.models.training_data import TrainingRows, load_training_rows

AS_CONFIGURED, WITH_TREES = "as configured", "as configured, mean with ExtraTrees"
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Variant:
    """One change of a protocol's networks.

    Attributes:
        name: in the table.
        plan: what becomes of the plan.
        flagged: True to learn the flagged rows of the moduli too.
    """

    name: str
    plan: Callable[[NetworkPlan], NetworkPlan] = lambda plan: plan
    flagged: bool = False


def without(*tables: str) -> Callable[[NetworkPlan], NetworkPlan]:
    """Return the change that leaves tables out of the split's own stage."""
    return lambda plan: replace(plan, passes={k: v for k, v in plan.passes.items() if k not in tables})


def longer(factor: int) -> Callable[[NetworkPlan], NetworkPlan]:
    """Return the change that trains the split's own stage for a multiple of its epochs."""
    return lambda plan: replace(plan, epochs=factor * plan.epochs)


def only(*tables: str) -> Callable[[NetworkPlan], NetworkPlan]:
    """Return the change that keeps these tables alone in the split's own stage."""
    return lambda plan: replace(plan, passes={k: v for k, v in plan.passes.items() if k in tables})


CONDUCTIVITY = (
    Variant("no lessons of trees", without(DISTILLED)),
    Variant("no conductivities of glasses", without("glass_conductivity")),
    Variant("own stage twice as long", longer(2)),
)
VARIANTS: Mapping[str, tuple[Protocol, str, tuple[Variant, ...]]] = {
    "matbench": (
        matbench.PROTOCOL,
        "all (official)",
        (
            Variant("flagged rows learned too", flagged=True),
            Variant("moduli of crystals alone in the own stage", only("elastic_moduli")),
            Variant("own stage twice as long", longer(2)),
        ),
    ),
    "obelix": (obelix.PROTOCOL, "all", CONDUCTIVITY),
    "families_left_out": (families_left_out.PROTOCOL, "all predictions", CONDUCTIVITY),
}
"""Protocol, the subset that is shown and what is tried."""


def with_flagged_moduli(rows: TrainingRows, splits: Sequence[Split]) -> tuple[TrainingRows, list[Split]]:
    """Return rows and Matbench splits that learn the flagged rows of the other folds too."""
    table = load_table("elastic_moduli")
    flagged = unfit_rows(table["flag"]).to_numpy()
    fold = matbench_folds(len(table))[flagged]
    some = table[flagged]
    template = np.flatnonzero(rows.source == rows.sources.index("elastic_moduli"))[:1]
    targets = np.full((len(some), len(TARGET_NAMES)), np.nan)
    for name in ("bulk_modulus_gpa", "shear_modulus_gpa"):
        targets[:, TARGET_NAMES.index(name)] = some[f"log10_{name}"]
    more = replace(
        rows.take(np.repeat(template, len(some))),
        compositions=Compositions.from_formulas(some["formula"]),
        targets=targets,
    )
    joined = replace(
        rows,
        compositions=Compositions.concatenate([rows.compositions, more.compositions]),
        **{
            name: np.concatenate([getattr(rows, name), getattr(more, name)])
            for name in (
                "phase",
                "fidelity",
                "temperature_c",
                "targets",
                "censored",
                "weight",
                "source",
                "fold",
            )
        },
    )
    wider = [
        replace(split, used=np.concatenate([split.used, fold != number]))
        for number, split in enumerate(splits)
    ]
    return joined, wider


def run(name: str, experiment: Experiment, seeds: int, baselines: Path = RESULTS) -> dict[str, Any]:
    """Train (or read) the variants of a protocol; returns {variant: {task: {"seeds", "ensemble"}}}."""
    protocol, _, variants = VARIANTS[name]
    splits = protocol.splits(experiment.rows)
    tests = pooled(splits)
    subsets = protocol.subsets(tests, splits)
    out: dict[str, Any] = {}

    def judge(variant: str, members: Floats) -> None:
        out[variant] = {
            task.name: {
                "seeds": [score_task(network_column(m, task), tests, task, subsets) for m in members],
                "ensemble": score_task(network_column(members.mean(axis=0), task), tests, task, subsets),
            }
            for task in protocol.tasks
        }
        print(name, variant, "done", flush=True)

    def predicted(one: Experiment, some: Sequence[Split], plan: NetworkPlan) -> Floats:
        parts = [one.predictions(protocol.name, some, plan, seed)[0] for seed in range(seeds)]
        return np.stack(parts)

    base = predicted(experiment, splits, protocol.network)
    judge(AS_CONFIGURED, base)
    out[WITH_TREES] = {
        task.name: _with_trees(task, base, experiment.rows, splits, tests, subsets, protocol, baselines)
        for task in protocol.tasks
    }
    for variant in variants:
        one, some = experiment, splits
        if variant.flagged:
            rows, some = with_flagged_moduli(experiment.rows, splits)
            one = Experiment(
                experiment.config, rows, experiment.folder, experiment.machine, pretraining=experiment
            )
        judge(variant.name, predicted(one, some, variant.plan(protocol.network)))
    return out


def _with_trees(
    task: Task,
    members: Floats,
    rows: TrainingRows,
    splits: Sequence[Split],
    tests: TrainingRows,
    subsets: Mapping[str, NDArray[np.bool_]],
    protocol: Protocol,
    folder: Path,
) -> dict[str, Any]:
    """Return the scores of the mean of the ensemble and one forest."""
    plan: Plan = protocol.plan(task)
    forest = Baselines(protocol.name, rows, folder).predict(task, TREES, 0, plan, splits)
    both = (network_column(members.mean(axis=0), task) + forest) / 2
    return {"seeds": [], "ensemble": score_task(both, tests, task, subsets)}


def table(results: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the Markdown table of all protocols."""
    body = []
    for name, variants in results.items():
        protocol, subset, _ = VARIANTS[name]
        for task in protocol.tasks:
            for variant, tasks in variants.items():
                found = tasks[task.name]
                best = found["ensemble"][subset]
                one = over_seeds([s[subset]["mae"] for s in found["seeds"]]) if found["seeds"] else ""
                rank = f"{best['spearman']:.2f}" if "spearman" in best else ""
                body.append([protocol.name, task.name, variant, one, f"{best['mae']:.3f}", rank])
    return markdown_table(["protocol", "task", "variant", "one network", "ensemble", "Spearman"], body)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description="variants of the networks on the protocols' splits")
    parser.add_argument("--run", type=Path, required=True, help="run folder of the protocols")
    parser.add_argument("--only", nargs="*", choices=list(VARIANTS), default=list(VARIANTS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--config", type=Path, default=DEFAULT_CONFIG)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--max-hours", type=float)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    config = load_config(chosen.config)
    rows = load_training_rows(config.data.tables, config.data.split_seed, config.data.folds)
    machine = Machine(choose_device(chosen.device).type, chosen.threads, chosen.max_hours)
    experiment = Experiment(config, rows, chosen.run, machine)
    path = RESULTS / "ablations.json"
    results = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    for name in chosen.only:
        results[name] = run(name, experiment, chosen.seeds)
        write_bytes(path, (json.dumps(results, indent=1) + "\n").encode())
    text = table({name: results[name] for name in VARIANTS if name in results})
    print(text)
    write_section("ablations", text)


if __name__ == "__main__":
    main()
