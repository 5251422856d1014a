"""Train an ensemble: `softlyte train CONFIG.toml --out DIR`."""

from __future__ import annotations

import json
import multiprocessing
import platform
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from softlyte.datasets.columns import PHASES
from softlyte.datasets.writing import write_bytes
from softlyte.models.calibration import Calibration, calibrate
from softlyte.models.checkpoint import (
    Checkpoint,
    load_state,
    save_checkpoint,
)
from softlyte.models.config import DEFAULT_CONFIG, ConfigError, TrainingConfig, load_config
from softlyte.models.evaluation import evaluate
from softlyte.models.fit import EVALUATED, SHIPPED, MemberJob, fit_member
from softlyte.models.predictor import Predictor, choose_device
from softlyte.models.support import Support, main_anion
from softlyte.models.tasks import TASK_NAMES, TASKS
from softlyte.models.training_data import (
    Standardisation,
    TrainingRows,
    load_training_rows,
    source_checksums,
)

RESOLVED, METRICS = "config.json", "metrics.json"


@dataclass(frozen=True)
class TrainResult:
    """Where a run's results lie.

    Attributes:
        checkpoint: folder to give to `Predictor.load`; None if the time ran out first.
        metrics: test metrics by target, as in metrics.json.
    """

    checkpoint: Path | None
    metrics: dict[str, Any]


def train(
    config: Path | str | TrainingConfig | None = None,
    out: Path | str = "train-out",
    device: str = "auto",
    seed: int | None = None,
    max_hours: float | None = None,
    progress: bool = True,
) -> TrainResult:
    """Train, calibrate, evaluate and save an ensemble; a second call on the same folder continues it.

    The folder receives config.json before work starts, a folder per member (logs, Lightning checkpoint,
    weights), metrics.json and the finished `checkpoint` folder.

    Args:
        config: TOML path or TrainingConfig; None for the configuration of the shipped weights.
        out: run folder.
        device: "auto", "cpu" or "cuda".
        seed: replaces the configuration's seed.
        max_hours: time for each member's fit; the next call goes on from its checkpoint.
        progress: show progress bars.

    Raises:
        ConfigError: the configuration is not usable, or the folder holds another run.
        TrainingDataError: the chosen tables hold no label of some property.
        DeviceError: CUDA was asked for and is not there.
    """
    resolved = config if isinstance(config, TrainingConfig) else load_config(config or DEFAULT_CONFIG)
    if seed is not None:
        resolved = resolved.model_copy(update={"seed": seed})
    accelerator = choose_device(device).type
    if accelerator == "cpu" and resolved.training.precision != "32-true":
        raise ConfigError(
            f"precision {resolved.training.precision} needs CUDA; use 32-true or a machine with a GPU"
        )
    folder = _open_folder(Path(out), resolved)
    # Read before the expensive work: what is wrong with a table shows now, and the card names these tables.
    checksums = source_checksums(resolved.data.tables)
    rows = load_training_rows(resolved.data.tables, resolved.data.split_seed)
    standard = Standardisation.fit(rows.take(rows.split == "train"))
    processes = 1 if accelerator == "cuda" else min(resolved.ensemble.processes, resolved.ensemble.members)
    threads = max(1, torch.get_num_threads() // processes)
    jobs = [
        MemberJob(
            number,
            resolved,
            resolved.seed,
            folder / f"member_{number}",
            accelerator,
            threads,
            max_hours,
            progress and number % processes == 0,
        )
        for number in range(resolved.ensemble.members)
    ]
    if not all(_fit_all(jobs, processes)):
        return TrainResult(None, {})
    device_used = torch.device(accelerator)
    evaluated = _checkpoint(jobs, EVALUATED, _card(resolved, rows, standard, checksums, None))
    predictor = Predictor(evaluated, device_used)
    calibration = _calibrate(predictor, rows.take(rows.split == "validation"), standard)
    predictor.calibration = calibration
    metrics = evaluate(predictor, rows.take(rows.split == "test"))
    card = _card(resolved, rows, standard, checksums, calibration) | {
        "test_metrics": metrics,
        "training": {
            "device": accelerator,
            "python": platform.python_version(),
            "torch": metadata.version("torch"),
        },
    }
    shipped = _checkpoint(jobs, SHIPPED, card)
    save_checkpoint(folder / "checkpoint", card, list(shipped.members))
    save_checkpoint(folder / "evaluated", card, list(evaluated.members))
    write_bytes(folder / METRICS, (json.dumps(metrics, indent=1) + "\n").encode())
    return TrainResult(folder / "checkpoint", metrics)


def _open_folder(folder: Path, config: TrainingConfig) -> Path:
    text = config.model_dump_json(indent=1) + "\n"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        stated = folder / RESOLVED
        if stated.is_file() and stated.read_text(encoding="utf-8") != text:
            raise ConfigError(
                f"{folder} holds a run with another configuration; give another --out or that configuration"
            )
        write_bytes(stated, text.encode())
    except OSError as error:
        raise ConfigError(f"the folder {folder} cannot be written ({error}); give another --out") from error
    return folder


def _fit_all(jobs: list[MemberJob], processes: int) -> list[bool]:
    if processes == 1:
        return [fit_member(job) for job in jobs]
    # Each member runs alone on its threads: two processes of one thread do more than one of two.
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        return list(pool.map(fit_member, jobs))


def _checkpoint(jobs: list[MemberJob], name: str, card: dict[str, Any]) -> Checkpoint:
    return Checkpoint(card, [load_state(job.folder / name) for job in jobs])


def _card(
    config: TrainingConfig,
    rows: TrainingRows,
    standard: Standardisation,
    checksums: dict[str, str],
    calibration: Calibration | None,
) -> dict[str, Any]:
    phases = np.ones((len(PHASES), len(TASKS)))
    neutral = Calibration(phases, np.zeros_like(phases, dtype=np.int64), np.zeros((len(PHASES), 101)), 1.0)
    return {
        "name": "softlyte composition ensemble",
        "tasks": list(TASK_NAMES),
        "network": config.network.model_dump(),
        "config": json.loads(config.model_dump_json()),
        "standardisation": {"mean": standard.mean.tolist(), "sd": standard.sd.tolist()},
        "elements": sorted({int(z) for z in np.unique(rows.compositions.atomic_numbers)} - {0}),
        "rows": {side: int((rows.split == side).sum()) for side in ("train", "validation", "test")},
        "tables_sha256": checksums,
        "calibration": (calibration or neutral).to_card(),
        "support": Support.fit(rows.take(rows.split == "train")).to_card(),
        "intended_use": (
            "Ranking Li and Na halide and oxyhalide solid electrolytes by composition. Values with a low "
            "applicability, all soft oxychloride glasses among them, are extrapolations."
        ),
    }


def _calibrate(predictor: Predictor, rows: TrainingRows, standard: Standardisation) -> Calibration:
    mean, sd = predictor.raw(rows.compositions, rows.phase, rows.fidelity, rows.temperature_c)
    sd = np.maximum(sd, predictor.support.least_sd(main_anion(rows.compositions), rows.phase))
    # A censored label is a bound, not a value: it says nothing exact about the spread.
    labels: NDArray[np.float64] = np.where(rows.censored[:, None], np.nan, rows.targets)[:, : len(TASKS)]
    return calibrate(mean, sd, labels, rows.phase, standard.sd[: len(TASKS)])
