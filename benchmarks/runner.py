"""Run one evaluation protocol: baselines, networks, results/*.json and a section of RESULTS.md."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.baselines import (
    BOOSTING,
    CONSTANT,
    NEAREST,
    RESULTS,
    TREES,
    Baselines,
    Plan,
    Scores,
    Task,
    score_task,
)
from benchmarks.experiment import Experiment, Machine, NetworkPlan
from benchmarks.metrics import over_seeds
from benchmarks.protocols import Split
from benchmarks.report import markdown_table, write_section
from softlyte.datasets.formulas import Compositions
from softlyte.datasets.writing import write_bytes
from softlyte.models.config import DEFAULT_CONFIG, load_config
from softlyte.models.evaluation import log10_youngs_modulus
from softlyte.models.predictor import choose_device
from softlyte.models.tasks import TARGET_NAMES
from softlyte.models.training_data import TrainingRows, load_training_rows, source_checksums

NETWORK, PLAIN = "network", "plain network"
BASELINE_MODELS = (CONSTANT, NEAREST, TREES, BOOSTING)
SubsetsOf = Callable[[TrainingRows, Sequence[Split]], Mapping[str, NDArray[np.bool_]]]


@dataclass(frozen=True)
class Protocol:
    """An evaluation protocol.

    Attributes:
        name: of its files and of its section in RESULTS.md.
        splits: training matrix -> splits.
        tasks: what is predicted.
        subsets: pooled test rows and splits -> name to mask; the first is the headline.
        network: how networks are trained.
        plan: task -> what baselines are affordable.
    """

    name: str
    splits: Callable[[TrainingRows], list[Split]]
    tasks: tuple[Task, ...]
    subsets: SubsetsOf
    network: NetworkPlan
    plan: Callable[[Task], Plan] = field(default=lambda task: Plan())


def thrifty(task: Task) -> Plan:
    """Return three seeds where baselines learn from small tables, one (of 30 trees) where from all."""
    return Plan() if task.tables is not None else Plan(seeds=1, tree_seeds=1, trees=30)


def pooled(splits: Sequence[Split]) -> TrainingRows:
    """Return the test rows of all splits, one split after the other."""
    parts = [split.test for split in splits]
    joined: dict[str, Any] = {}
    for name in (f.name for f in fields(TrainingRows)):
        values = [getattr(part, name) for part in parts]
        if isinstance(values[0], Compositions):
            joined[name] = Compositions.concatenate(values)
        elif isinstance(values[0], np.ndarray):
            joined[name] = np.concatenate(values)
    return replace(parts[0], **joined)


def run_baselines(
    protocol: Protocol, rows: TrainingRows, folder: Path = RESULTS, kept_only: bool = False
) -> dict[str, Any]:
    """Fit (or read) the baselines; returns {task: {model: [Scores of each seed]}}.

    The cheap models come first for every task. With kept_only nothing but the constant is fitted: what is
    not kept is empty.
    """
    splits = protocol.splits(rows)
    tests = pooled(splits)
    subsets = protocol.subsets(tests, splits)
    kept = Baselines(protocol.name, rows, folder)
    out: dict[str, dict[str, list[Scores]]] = {task.name: {} for task in protocol.tasks}
    for model in BASELINE_MODELS:
        for task in protocol.tasks:
            plan = protocol.plan(task)
            free = model == CONSTANT
            out[task.name][model] = kept.scores(
                task, splits, tests, subsets, model, plan, kept_only and not free
            )
    return out


def network_column(mean: NDArray[np.float64], task: Task) -> NDArray[np.float64]:
    """Return the predictions of a task's target from means [..., T]; Young's modulus follows from K and G."""
    column = TARGET_NAMES.index(task.target)
    return mean[..., column] if column < mean.shape[-1] else log10_youngs_modulus(mean)


def run_networks(
    protocol: Protocol, experiment: Experiment, seeds: int, plain: bool, folder: Path = RESULTS
) -> dict[str, Any]:
    """Fit (or read) the networks and write results/network_PROTOCOL.json; returns its content.

    The run folder also gets PROTOCOL/predictions.npz: mean and sd [E, M, T] of the seeds on the test rows.
    """
    splits = protocol.splits(experiment.rows)
    tests = pooled(splits)
    subsets = protocol.subsets(tests, splits)
    tasks: dict[str, dict[str, Any]] = {task.name: {} for task in protocol.tasks}
    for name in (NETWORK, PLAIN) if plain else (NETWORK,):
        members = [
            experiment.predictions(protocol.name, splits, protocol.network, seed, plain=name == PLAIN)
            for seed in range(seeds)
        ]
        mean, sd = np.stack([m for m, _ in members]), np.stack([s for _, s in members])
        if name == NETWORK:
            np.savez_compressed(experiment.folder / protocol.name / "predictions.npz", mean=mean, sd=sd)
        for task in protocol.tasks:
            tasks[task.name][name] = {
                "seeds": [score_task(network_column(m, task), tests, task, subsets) for m in mean],
                "ensemble": score_task(network_column(mean.mean(axis=0), task), tests, task, subsets),
            }
    content = {
        "config": experiment.config.model_dump(mode="json"),
        "pretraining": [s.model_dump(mode="json") for s in experiment.pretraining_stages()]
        if protocol.network.transfer
        else [],
        "own_stages": [s.model_dump(mode="json") for s in experiment.own_stages(protocol.network, False)],
        "plain_stages": [s.model_dump(mode="json") for s in experiment.own_stages(protocol.network, True)],
        "seeds": seeds,
        "tables_sha256": source_checksums(experiment.rows.sources),
        "tasks": tasks,
    }
    write_bytes(folder / f"network_{protocol.name}.json", (json.dumps(content, indent=1) + "\n").encode())
    return content


def comparison(baselines: Mapping[str, Any], networks: Mapping[str, Any], fewest: int = 1) -> str:
    """Return the table of errors: a line a task and subset, a column a model.

    Args:
        baselines: {task: {model: [Scores of each seed]}}.
        networks: {task: {model: {"seeds": [Scores], "ensemble": Scores}}}, empty if none were trained.
        fewest: subsets of fewer rows are left out.
    """
    plain = any(PLAIN in models for models in networks.values())
    head = ["task", "rows", "subset", *BASELINE_MODELS]
    head += [PLAIN] if plain else []
    head += ["one network", "**ensemble**", "Spearman"] if networks else ["Spearman (ExtraTrees)"]
    body = []
    for task, models in baselines.items():
        for subset, first in models[CONSTANT][0].items():
            if first["rows"] < fewest:
                continue
            line = [task, subset, f"{first['rows']:,}"]
            line += [_over(models[m], subset) for m in BASELINE_MODELS]
            fitted = networks.get(task, {})
            if plain:
                line.append(_over(fitted[PLAIN]["seeds"], subset))
            if networks:
                line.append(_over(fitted[NETWORK]["seeds"], subset))
                best = fitted[NETWORK]["ensemble"][subset]
                line += [f"**{best['mae']:.3f}**", _rank(best)]
            else:
                line.append(_rank(models[TREES][0][subset]) if models[TREES] else "")
            body.append(line)
    head[1:3] = ["subset", "test rows"]
    return markdown_table(head, body)


def _over(seeds: Sequence[Mapping[str, Any]], subset: str) -> str:
    return over_seeds([seed[subset]["mae"] for seed in seeds]) if seeds else ""


def _rank(scores: Mapping[str, float]) -> str:
    return f"{scores['spearman']:.2f}" if "spearman" in scores else ""


def main(protocol: Protocol, description: str, arguments: Sequence[str] | None = None) -> None:
    """Command line of every protocol: baselines always (from what is kept), networks if asked for."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--run", type=Path, help="run folder: train networks there; left out: baselines only")
    parser.add_argument("--config", type=Path, default=DEFAULT_CONFIG, help="training configuration")
    parser.add_argument("--seeds", type=int, default=3, help="networks of each split")
    parser.add_argument("--epochs", type=int, help="of the split's own stage")
    parser.add_argument("--plain-epochs", type=int, help="of the plain network")
    parser.add_argument("--pretrain-epochs", type=int, help="of the shared pretraining")
    parser.add_argument(
        "--stage-share", type=float, help="share of each stage's epochs without shared pretraining"
    )
    parser.add_argument("--no-plain", action="store_true", help="leave out the network without transfer")
    parser.add_argument("--kept", action="store_true", help="fit no baseline: show those that are kept")
    parser.add_argument(
        "--no-baselines", action="store_true", help="networks only; RESULTS.md stays as it is"
    )
    parser.add_argument(
        "--fewest", type=int, default=1, help="leave out subsets of fewer rows from the table"
    )
    parser.add_argument("--device", default="cpu", help="cpu, cuda or auto")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--max-hours", type=float, help="stop after this time; the same command goes on")
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(chosen.threads)
    config = load_config(chosen.config)
    rows = load_training_rows(config.data.tables, config.data.split_seed, config.data.folds)
    given = {
        "epochs": chosen.epochs,
        "plain_epochs": chosen.plain_epochs,
        "stage_share": chosen.stage_share,
    }
    plan = replace(protocol.network, **{k: v for k, v in given.items() if v is not None})
    protocol = replace(protocol, network=plan)
    kept = RESULTS / f"network_{protocol.name}.json"
    networks: dict[str, Any] = {}
    if chosen.run is not None:
        machine = Machine(choose_device(chosen.device).type, chosen.threads, chosen.max_hours)
        experiment = Experiment(config, rows, chosen.run, machine, chosen.pretrain_epochs)
        networks = run_networks(protocol, experiment, chosen.seeds, not chosen.no_plain)["tasks"]
    elif kept.is_file():
        networks = json.loads(kept.read_text(encoding="utf-8"))["tasks"]
    if not chosen.no_baselines:
        baselines = run_baselines(protocol, rows, kept_only=chosen.kept)
        text = comparison(baselines, networks, chosen.fewest)
        print(text)
        write_section(protocol.name, text)
