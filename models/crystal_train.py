"""Train an ensemble of crystal networks: `softlyte train` with a [structures] table in its configuration."""

from __future__ import annotations

import io
import json
import platform
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from softlyte.datasets.tables import table_checksum
from softlyte.datasets.writing import write_bytes
from softlyte.models.calibration import Calibration
from softlyte.models.checkpoint import CRYSTAL_FORMAT, file_sha256, load_state, save_checkpoint
from softlyte.models.config import ConfigError
from softlyte.models.crystal_config import CrystalTrainingConfig, load_crystal_config
from softlyte.models.crystal_data import CrystalRows
from softlyte.models.crystal_members import (
    EVALUATED,
    CrystalMemberJob,
    crystal_rows_of,
    fit_crystal_member,
    fit_crystal_members,
    judging_members,
    out_of_fold,
)
from softlyte.models.crystal_tasks import CRYSTAL_TASKS, among_all_tasks
from softlyte.models.evaluation import calibrate_rows, evaluate
from softlyte.models.predictor import choose_device
from softlyte.models.run_folder import run_folder
from softlyte.models.support import Support
from softlyte.models.train import TrainResult
from softlyte.models.training_data import Standardisation

METRICS, OUT_OF_FOLD, ROWS = "metrics.json", "out_of_fold.npz", "rows.json"


def train_crystals(
    config: Path | str | CrystalTrainingConfig,
    out: Path | str,
    device: str = "auto",
    seed: int | None = None,
    max_hours: float | None = None,
    progress: bool = True,
) -> TrainResult:
    """Train, calibrate, evaluate and save an ensemble; a second call on the same folder continues it.

    The folder receives config.json before work starts; rows.json (rows used and left out, by table and
    reason, structures that could not be read); a folder `shared` and one per member with their stages and
    evaluated.safetensors; out_of_fold.npz (mean and sd [M/K, N, tasks] in transformed units, label
    [N, tasks], fold, source and position [N] of every row, NaN where no member can judge it);
    metrics.json, and the finished `checkpoint` folder for `CrystalPredictor.load`.

    Args:
        config: TOML path or configuration.
        out: run folder.
        device: "auto", "cpu" or "cuda".
        seed: replaces the configuration's seed.
        max_hours: time for the training.
        progress: show how it gets on.

    Raises:
        ConfigError: the configuration is not usable, the folder holds another run, or another process works
            in it.
        TrainingDataError: a table of structures is missing, unreadable or empty.
        DeviceError: CUDA is not there.
    """
    deadline = None if max_hours is None else time.monotonic() + 3600 * max_hours
    resolved = config if isinstance(config, CrystalTrainingConfig) else load_crystal_config(config)
    if seed is not None:
        resolved = resolved.model_copy(update={"seed": seed})
    accelerator = choose_device(device).type
    if accelerator == "cpu" and resolved.training.precision != "32-true":
        raise ConfigError(
            f"precision {resolved.training.precision} needs CUDA; use 32-true or a machine with a GPU"
        )
    with run_folder(Path(out), resolved.model_dump_json(indent=1) + "\n") as held:
        return _trained(resolved, held.path, accelerator, deadline, progress)


def _trained(
    resolved: CrystalTrainingConfig, folder: Path, accelerator: str, deadline: float | None, progress: bool
) -> TrainResult:
    """Train in a folder that this process holds; arguments as for `train_crystals`."""
    rows = crystal_rows_of(resolved)
    write_bytes(folder / ROWS, (json.dumps(_rows_read(rows), indent=1) + "\n").encode())
    checksums = {name: file_sha256(path) for name, path in resolved.structures.tables.items()}
    checksums |= {name: table_checksum(name) for name in resolved.structures.shipped}
    members, threads = resolved.members, torch.get_num_threads()
    processes = 1 if accelerator == "cuda" else min(resolved.ensemble.processes, members)

    def job(number: int, threads: int, shown: bool) -> CrystalMemberJob:
        return CrystalMemberJob(resolved, folder, number, accelerator, threads, deadline, progress and shown)

    if resolved.shared_tables and not fit_crystal_member(job(-1, threads, True)):
        return TrainResult(None, {})
    jobs = [
        job(number, max(1, threads // processes), number % processes == 0 or not sys.stderr.isatty())
        for number in range(members)
    ]
    if not fit_crystal_members(jobs, processes):
        return TrainResult(None, {})
    standard = rows.standardisation()
    states = [load_state(job.place / EVALUATED) for job in jobs]
    mean, sd = out_of_fold(resolved, states, rows, standard, torch.device(accelerator))
    _save_out_of_fold(folder / OUT_OF_FOLD, rows, mean, sd)
    judged = np.flatnonzero(judging_members(resolved, rows) >= 0)
    calibration, metrics = judge(rows, mean, sd, judged, standard)
    card = {
        "name": "softlyte crystal ensemble",
        "tasks": list(CRYSTAL_TASKS),
        "network": resolved.network.model_dump(),
        "graph": resolved.graph.model_dump(),
        "config": _without_folders(resolved),
        "standardisation": {"mean": standard.mean.tolist(), "sd": standard.sd.tolist()},
        "elements": sorted({int(z) for z in np.unique(rows.compositions.atomic_numbers)} - {0}),
        "rows": {name: entry["used"] for name, entry in _rows_read(rows).items()},
        "tables_sha256": checksums,
        "calibration": calibration.to_card(),
        "support": Support.fit(rows.as_training_rows()).without_floor().to_card(),
        "test_metrics": metrics,
        "training": {
            "device": accelerator,
            "python": platform.python_version(),
            "torch": metadata.version("torch"),
        },
        "intended_use": (
            "Moduli and formation energies of relaxed inorganic crystals, near DFT's (PBE). Unrelaxed "
            "structures, surfaces, molecules and glasses are extrapolations."
        ),
    }
    save_checkpoint(folder / "checkpoint", card, states, CRYSTAL_FORMAT)
    write_bytes(folder / METRICS, (json.dumps(metrics, indent=1) + "\n").encode())
    return TrainResult(folder / "checkpoint", metrics)


def judge(
    rows: CrystalRows,
    mean: NDArray[np.float64],
    sd: NDArray[np.float64],
    judged: NDArray[np.int64],
    standard: Standardisation,
) -> tuple[Calibration, dict[str, Any]]:
    """Return calibration and metrics of out-of-fold predictions.

    Args:
        rows: N crystals.
        mean: [E, N, len(CRYSTAL_TASKS)] of members that have not seen the row, transformed units.
        sd: [E, N, len(CRYSTAL_TASKS)] before calibration.
        judged: rows that count.
        standard: units of the targets.
    """
    some = rows.as_training_rows().take(judged)
    full_mean, full_sd = among_all_tasks(mean[:, judged], 0.0), among_all_tasks(sd[:, judged], 1.0)
    # Few relatives make a composition a guess, not a structure: the factors of the families cover without.
    support = Support.fit(some).without_floor()
    calibration = calibrate_rows(some, full_mean, full_sd, support, standard)
    # The density of a given structure is known.
    metrics = evaluate(some, full_mean, full_sd, standard, floor=False)
    metrics.pop("density_g_cm3", None)
    return calibration, metrics


def _without_folders(config: CrystalTrainingConfig) -> dict[str, Any]:
    """Return the configuration as JSON types, tables by the names of their files alone."""
    stated: dict[str, Any] = json.loads(config.model_dump_json())
    stated["structures"]["tables"] = {name: path.name for name, path in config.structures.tables.items()}
    return stated


def _rows_read(rows: CrystalRows) -> dict[str, Any]:
    used = np.bincount(rows.source, minlength=len(rows.sources))
    return {
        name: {
            "used": int(used[i]),
            "left_out": rows.left_out[name],
            "unusable_structures": rows.unread[name],
        }
        for i, name in enumerate(rows.sources)
    }


def _save_out_of_fold(
    path: Path, rows: CrystalRows, mean: NDArray[np.float64], sd: NDArray[np.float64]
) -> None:
    """Write the out-of-fold predictions atomically, in single precision."""
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        mean=mean.astype(np.float32),
        sd=sd.astype(np.float32),
        label=rows.labels().astype(np.float32),
        fold=rows.fold,
        source=rows.source,
        position=rows.position,
    )
    write_bytes(path, buffer.getvalue())
