"""Members of an ensemble: each trained without one fold of the chemical systems, each in its own process."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from softlyte.datasets.formulas import chemical_systems
from softlyte.datasets.splits import grouped_folds
from softlyte.datasets.workers import worker_pool
from softlyte.models.checkpoint import Checkpoint, load_state, save_state
from softlyte.models.config import TrainingConfig
from softlyte.models.fit import fit_network
from softlyte.models.own_rows import own_training_rows
from softlyte.models.predictor import Predictor
from softlyte.models.tasks import TASKS
from softlyte.models.training_data import Standardisation, TrainingRows, load_training_rows

EVALUATED, SHIPPED = "evaluated.safetensors", "shipped.safetensors"
"""A member's weights that have not seen its fold, and those after the stages over all rows."""


@dataclass(frozen=True)
class MemberJob:
    """What one process needs to train one member.

    Attributes:
        number: of the member; it holds out fold number % folds.
        config: of the whole run.
        folder: of the member, for its stages and finished weights.
        accelerator: "cpu" or "cuda".
        threads: of torch in each process.
        deadline: on the clock of `time.monotonic`, which all processes of a machine share; None for none.
        progress: True to show how it gets on.
    """

    number: int
    config: TrainingConfig
    folder: Path
    accelerator: str
    threads: int
    deadline: float | None
    progress: bool

    def hours_left(self) -> float | None:
        """Return the hours until the deadline, None without one."""
        return None if self.deadline is None else (self.deadline - time.monotonic()) / 3600


def rows_of(config: TrainingConfig) -> TrainingRows:
    """Return the rows that a run learns from, a laboratory's own among them if it names some."""
    data = config.data
    rows = load_training_rows(
        data.tables,
        data.split_seed,
        data.folds,
        data.published_until,
        data.leave_out,
        data.leave_out_distance,
    )
    if data.own_data is None:
        return rows
    rows = rows.joined(own_training_rows(data.own_data))
    return replace(rows, fold=grouped_folds(chemical_systems(rows.compositions), data.folds, data.split_seed))


def fit_member(job: MemberJob) -> bool:
    """Train one member without its fold, then on all rows; goes on where an earlier call was stopped.

    Returns:
        True when the member is finished, False when the time ran out first.
    """
    if (job.folder / SHIPPED).is_file():
        return True
    rows, fit = rows_of(job.config), job.config.training
    # Mean and spread of each target are the units of the output, the same in every member.
    standard = Standardisation.fit(rows)
    seen = rows.fold != job.number % job.config.data.folds
    start = None if fit.start is None else load_state(Path(fit.start) / f"member_{job.number}" / EVALUATED)
    for kind, name in (("train", EVALUATED), ("all", SHIPPED)):
        if not (job.folder / name).is_file():
            outcome = fit_network(
                job.config,
                rows,
                seen,
                job.folder,
                job.config.seed * 1000 + job.number,
                stages=fit.stages_of("train" if kind == "train" else "all"),
                start=start,
                standard=standard,
                accelerator=job.accelerator,
                devices=job.config.ensemble.devices,
                threads=job.threads,
                max_hours=job.hours_left(),
                progress=job.progress,
            )
            if outcome.state is None:
                return False
            save_state(job.folder / name, outcome.state)
        start = load_state(job.folder / name)
    return True


def fit_members(jobs: list[MemberJob], processes: int) -> bool:
    """Train the members, several at once; returns True when all are finished."""
    if processes == 1:
        return all(fit_member(job) for job in jobs)
    # Each member runs alone on its threads: two processes of one thread do more than one of two.
    with worker_pool(processes) as pool:
        return all(list(pool.map(fit_member, jobs)))


def out_of_fold(
    card: dict[str, Any],
    members: list[dict[str, torch.Tensor]],
    rows: TrainingRows,
    device: torch.device,
    batch_size: int = 4096,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Predict every row with the members that have not seen its chemical system.

    Args:
        card: of the ensemble, for the network's size and the units.
        members: M states; member m has not seen fold m % K.
        rows: N rows in K folds.
        device: where to compute.
        batch_size: rows evaluated at once.

    Returns:
        Means and standard deviations before calibration in transformed units, each [M/K, N, T].
    """
    folds = int(rows.fold.max()) + 1
    shape = (len(members) // folds, len(rows), len(TASKS))
    mean, sd = np.empty(shape), np.empty(shape)
    for fold in range(folds):
        predictor = Predictor(Checkpoint(card, members[fold::folds]), device)
        held_out = np.flatnonzero(rows.fold == fold)
        for start in range(0, len(held_out), batch_size):
            some = held_out[start : start + batch_size]
            mean[:, some], sd[:, some] = predictor.raw(
                rows.compositions[some], rows.phase[some], rows.fidelity[some], rows.temperature_c[some]
            )
    return mean, sd
