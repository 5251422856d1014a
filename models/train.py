"""Train an ensemble: `softlyte train CONFIG.toml --out DIR`."""

from __future__ import annotations

import io
import json
import platform
import sys
import time
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from softlyte.datasets.writing import write_bytes
from softlyte.models.adaptation import Adaptation, Layer, save_adaptation
from softlyte.models.calibration import Calibration
from softlyte.models.checkpoint import WEIGHTS, file_sha256, load_state, save_checkpoint
from softlyte.models.config import DEFAULT_CONFIG, ConfigError, TrainingConfig, load_config
from softlyte.models.evaluation import calibrate_rows, evaluate
from softlyte.models.members import EVALUATED, SHIPPED, MemberJob, fit_members, out_of_fold, rows_of
from softlyte.models.neighbour_layers import NEIGHBOURED, neighbour_layers, neighbour_rows, summary
from softlyte.models.own_rows import OWN
from softlyte.models.predictor import DeviceError, choose_device
from softlyte.models.predictor import calibrated as with_calibration
from softlyte.models.run_folder import RESOLVED, run_folder
from softlyte.models.support import Support
from softlyte.models.tasks import TASK_NAMES
from softlyte.models.training_data import (
    Standardisation,
    TrainingRows,
    require_every_target,
    source_checksums,
)

METRICS, OUT_OF_FOLD = "metrics.json", "out_of_fold.npz"


@dataclass(frozen=True)
class TrainResult:
    """Where a run's results lie.

    Attributes:
        checkpoint: folder to give to `Predictor.load`; None if the time ran out first, or none was wanted.
        metrics: out-of-fold metrics by target, as in metrics.json.
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
    devices: int | None = None,
    own_data: Path | str | None = None,
    calibrated: bool = True,
) -> TrainResult:
    """Train, calibrate, evaluate and save an ensemble; a second call on the same folder continues it.

    The folder receives config.json before work starts, a folder per member (stages with logs, Lightning's
    checkpoint and weights), out_of_fold.npz (mean and sd [M/K, N, T] and fold [N] of every training row, as
    predicted by the members that have not seen its chemical system), metrics.json and the finished
    `checkpoint` folder.

    Args:
        config: TOML path or TrainingConfig; None for the configuration of the shipped weights.
        out: run folder.
        device: "auto", "cpu" or "cuda".
        seed: replaces the configuration's seed.
        max_hours: time for the training; the next call goes on from the checkpoints.
        progress: show progress bars.
        devices: GPUs (on the CPU: processes) that train each member together; replaces the
            configuration's number.
        own_data: folder of own measurements (`softlyte data add`) to learn from too, as their phase and
            fidelity, weighted by their uncertainty; replaces the configuration's.
        calibrated: False to stop when the members are trained, for a run that others start from
            (`training.start`): there is no checkpoint then.

    Raises:
        ConfigError: the configuration is not usable, the folder holds another run, or another process works
            in it.
        TrainingDataError: the chosen tables hold no label of some property.
        DeviceError: CUDA, or so many GPUs, are not there.
    """
    resolved = config if isinstance(config, TrainingConfig) else load_config(config or DEFAULT_CONFIG)
    if seed is not None:
        resolved = resolved.model_copy(update={"seed": seed})
    if devices is not None:
        ensemble = resolved.ensemble.model_copy(update={"devices": devices})
        resolved = resolved.model_copy(update={"ensemble": ensemble})
    own_data = resolved.data.own_data if own_data is None else own_data
    if own_data is not None:
        resolved = resolved.with_own_data(own_data)
    accelerator = choose_device(device).type
    devices = resolved.ensemble.devices
    if accelerator == "cuda" and devices > torch.cuda.device_count():
        raise DeviceError(
            f"{devices} GPUs asked for, {torch.cuda.device_count()} there; give fewer --devices"
        )
    if accelerator == "cpu" and resolved.training.precision != "32-true":
        raise ConfigError(
            f"precision {resolved.training.precision} needs CUDA; use 32-true or a machine with a GPU"
        )
    if resolved.training.start is not None:
        check_start(resolved, Path(resolved.training.start))
    with run_folder(Path(out), resolved.model_dump_json(indent=1) + "\n") as held:
        return _trained(resolved, held.path, accelerator, max_hours, progress, calibrated)


def _trained(
    resolved: TrainingConfig,
    folder: Path,
    accelerator: str,
    max_hours: float | None,
    progress: bool,
    calibrated: bool,
) -> TrainResult:
    """Train in a folder that this process holds; arguments as for `train`."""
    devices = resolved.ensemble.devices
    # Read before the expensive work: what is wrong with a table shows now, and the card names these tables.
    checksums = source_checksums(resolved.data.tables)
    if resolved.data.own_data_sha256 is not None:
        checksums[OWN] = resolved.data.own_data_sha256
    rows = rows_of(resolved)
    require_every_target(rows)
    standard = Standardisation.fit(rows)
    alone = accelerator == "cuda" or devices > 1
    processes = 1 if alone else min(resolved.ensemble.processes, resolved.ensemble.members)
    threads = max(1, torch.get_num_threads() // (processes * devices))
    deadline = None if max_hours is None else time.monotonic() + 3600 * max_hours
    jobs = [
        MemberJob(
            number,
            resolved,
            folder / f"member_{number}",
            accelerator,
            threads,
            deadline,
            progress and (number % processes == 0 or not sys.stderr.isatty()),
        )
        for number in range(resolved.ensemble.members)
    ]
    if not fit_members(jobs, processes) or not calibrated:
        return TrainResult(None, {})
    neutral = _card(resolved, rows, standard, checksums, None)
    evaluated = [load_state(job.folder / EVALUATED) for job in jobs]
    mean, sd = out_of_fold(neutral, evaluated, rows, torch.device(accelerator))
    _save_out_of_fold(folder / OUT_OF_FOLD, mean, sd, rows.fold)
    calibration = calibrate_rows(rows, mean, sd, Support.fit(rows), standard)
    metrics = evaluate(rows, mean, sd, standard)
    layers: tuple[Layer, ...] = ()
    if resolved.ensemble.neighbours:
        layers = _layers(rows, mean, sd, calibration, len(jobs))
    card = _card(resolved, rows, standard, checksums, calibration) | {
        "test_metrics": metrics,
        **({"neighbours": summary(layers)} if layers else {}),
        "training": {
            "device": accelerator,
            "python": platform.python_version(),
            "torch": metadata.version("torch"),
        },
    }
    save_checkpoint(folder / "checkpoint", card, [load_state(job.folder / SHIPPED) for job in jobs])
    save_checkpoint(folder / "evaluated", card, evaluated)
    if layers:
        checkpoint = folder / "checkpoint"
        save_adaptation(checkpoint, Adaptation(layers), file_sha256(checkpoint / WEIGHTS))
    write_bytes(folder / METRICS, (json.dumps(metrics, indent=1) + "\n").encode())
    return TrainResult(folder / "checkpoint", metrics)


def _layers(
    rows: TrainingRows,
    mean: NDArray[np.float64],
    sd: NDArray[np.float64],
    calibration: Calibration,
    members: int,
) -> tuple[Layer, ...]:
    """Return the neighbours' layers; mean and sd are the out-of-fold predictions, [M/K, N, T]."""
    chosen = np.unique(np.concatenate([neighbour_rows(rows, name) for name in NEIGHBOURED]))
    some = rows.take(chosen)
    said = with_calibration(
        calibration, Support.fit(rows), some.compositions, some.phase, mean[:, chosen], sd[:, chosen]
    )
    return neighbour_layers(some, said, members)


def check_start(config: TrainingConfig, folder: Path) -> None:
    """Raise ConfigError unless a run's members may begin with those of an earlier run.

    The earlier run must have had the same network, tables and folds, all the members, and have learned from
    nothing that this one must not know.
    """
    earlier = load_config(folder / RESOLVED)
    same = (
        ("network", earlier.network == config.network),
        ("data.tables", earlier.data.tables == config.data.tables),
        ("data.folds", earlier.data.folds == config.data.folds),
        ("data.split_seed", earlier.data.split_seed == config.data.split_seed),
        ("ensemble.members", earlier.ensemble.members >= config.ensemble.members),
    )
    other = [name for name, alike in same if not alike]
    if other:
        raise ConfigError(
            f"training.start = {folder} is a run with another {other[0]}; give one like this configuration"
        )
    until, known = config.data.published_until, earlier.data.published_until
    if until is not None and (known is None or known > until):
        seen = "everything" if known is None else f"what was published until {known}"
        raise ConfigError(
            f"training.start = {folder} has learned from {seen}, later than data.published_until = {until}; "
            "start from an earlier one"
        )
    missing = sorted(set(config.data.leave_out) - set(earlier.data.leave_out))
    if missing or earlier.data.leave_out_distance < config.data.leave_out_distance:
        what = f"may have learned from {missing[0]}" if missing else "left out a smaller neighbourhood"
        raise ConfigError(
            f"training.start = {folder} {what}, against data.leave_out; start from a run that left it out"
        )
    for number in range(config.ensemble.members):
        weights = folder / f"member_{number}" / EVALUATED
        if not weights.is_file():
            raise ConfigError(f"training.start: there is no {weights}; finish that run first")


def _save_out_of_fold(
    path: Path, mean: NDArray[np.float64], sd: NDArray[np.float64], fold: NDArray[np.int64]
) -> None:
    """Write the out-of-fold predictions atomically, in single precision."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, mean=mean.astype(np.float32), sd=sd.astype(np.float32), fold=fold)
    write_bytes(path, buffer.getvalue())


def _card(
    config: TrainingConfig,
    rows: TrainingRows,
    standard: Standardisation,
    checksums: dict[str, str],
    calibration: Calibration | None,
) -> dict[str, Any]:
    neutral = Calibration.neutral()
    return {
        "name": "softlyte composition ensemble",
        "tasks": list(TASK_NAMES),
        "network": config.network.model_dump(),
        "config": json.loads(config.model_dump_json()),
        "standardisation": {"mean": standard.mean.tolist(), "sd": standard.sd.tolist()},
        "elements": sorted({int(z) for z in np.unique(rows.compositions.atomic_numbers)} - {0}),
        "rows": {"all": len(rows), "by_fold": np.bincount(rows.fold).tolist()},
        "tables_sha256": checksums,
        **({} if config.data.published_until is None else {"published_until": config.data.published_until}),
        "calibration": (calibration or neutral).to_card(),
        "support": Support.fit(rows).to_card(),
        "intended_use": (
            "Ranking Li and Na halide and oxyhalide solid electrolytes by composition. Values with a low "
            "applicability, all soft oxychloride glasses among them, are extrapolations."
        ),
    }
