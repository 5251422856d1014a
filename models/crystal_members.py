"""Members of an ensemble of crystal networks: what each may see, training, predicting the rest."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from softlyte.datasets.workers import worker_pool
from softlyte.models.checkpoint import load_state, load_strictly, save_state
from softlyte.models.crystal_config import CrystalTrainingConfig
from softlyte.models.crystal_data import CrystalRows, load_crystal_rows
from softlyte.models.crystal_fit import fit_crystal_network, predict_crystals
from softlyte.models.crystal_network import crystal_network
from softlyte.models.crystal_tasks import CRYSTAL_COLUMNS, CRYSTAL_TASKS
from softlyte.models.network import NetworkOutput
from softlyte.models.training_data import Standardisation

EVALUATED = "evaluated.safetensors"
"""Weights of a member, or of the shared stages, once they are finished."""

LAPLACE_SD = 2.0**0.5
"""Standard deviation of a Laplace distribution over its scale."""


@dataclass(frozen=True)
class CrystalMemberJob:
    """What a process needs to train one member, or the shared stages.

    Attributes:
        config: of the whole run.
        folder: of the run.
        number: of the member; -1 for the shared stages.
        accelerator: "cpu" or "cuda".
        threads: of torch.
        deadline: on the clock of `time.monotonic`, which all processes of a machine share; None for none.
        progress: True to show how it gets on.
    """

    config: CrystalTrainingConfig
    folder: Path
    number: int
    accelerator: str
    threads: int
    deadline: float | None
    progress: bool

    @property
    def place(self) -> Path:
        """Folder of this member, or of the shared stages."""
        return self.folder / ("shared" if self.number < 0 else f"member_{self.number}")


def crystal_rows_of(config: CrystalTrainingConfig) -> CrystalRows:
    """Return the rows that a run learns from."""
    data = config.structures
    return load_crystal_rows(
        data.tables, config.graph.featurizer(), data.folds, data.split_seed, data.processes, data.shipped
    )


def seen_rows(config: CrystalTrainingConfig, rows: CrystalRows, number: int) -> NDArray[np.bool_]:
    """Return which rows a member, or the shared stages (-1), may learn from, [N].

    Fold 0 of the tables of shared stages is kept from all. The shared stages see no formula of another table;
    a member sees nothing of its own fold.
    """
    shared = _in_shared_tables(config, rows)
    seen = ~shared | (rows.fold != 0)
    if number >= 0:
        return np.asarray(seen & (rows.fold != number % config.structures.folds))
    group = rows.compositions.groups()
    return np.asarray(seen & shared & ~np.isin(group, group[~shared]))


def judging_members(config: CrystalTrainingConfig, rows: CrystalRows) -> NDArray[np.int64]:
    """Return for each row the fold whose members judge it, [N]; -1 for a row that shared stages have seen."""
    return np.where(_in_shared_tables(config, rows) & (rows.fold != 0), -1, rows.fold)


def _in_shared_tables(config: CrystalTrainingConfig, rows: CrystalRows) -> NDArray[np.bool_]:
    named = np.array([name in config.shared_tables for name in rows.sources], dtype=bool)
    return named[rows.source]


def fit_crystal_member(job: CrystalMemberJob) -> bool:
    """Train one member or the shared stages; goes on where an earlier call was stopped.

    Returns:
        True when it is finished, False when the time ran out first.
    """
    if (job.place / EVALUATED).is_file():
        return True
    config = job.config
    rows = crystal_rows_of(config)
    stages = [stage for stage in config.training.stages if stage.shared == (job.number < 0)]
    start = None
    if job.number >= 0 and config.shared_tables:
        start = load_state(job.folder / "shared" / EVALUATED)
    state = fit_crystal_network(
        config,
        rows,
        seen_rows(config, rows, job.number),
        job.place,
        config.seed * 1000 + job.number + 1,
        rows.standardisation(),
        stages=stages,
        start=start,
        accelerator=job.accelerator,
        threads=job.threads,
        deadline=job.deadline,
        progress=job.progress,
    )
    if state is None:
        return False
    save_state(job.place / EVALUATED, state)
    return True


def fit_crystal_members(jobs: list[CrystalMemberJob], processes: int) -> bool:
    """Train the members, several at once; returns True when all are finished."""
    if processes == 1:
        return all(fit_crystal_member(job) for job in jobs)
    with worker_pool(processes) as pool:
        return all(list(pool.map(fit_crystal_member, jobs)))


def out_of_fold(
    config: CrystalTrainingConfig,
    members: list[dict[str, Tensor]],
    rows: CrystalRows,
    standard: Standardisation,
    device: torch.device,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Predict every row with the members that have not seen its formula.

    Args:
        config: of the run.
        members: M states; member m has not seen fold m % K.
        rows: N rows.
        standard: units that the members have learned in.
        device: where to compute.

    Returns:
        Means and standard deviations before calibration in transformed units, each
        [M/K, N, len(CRYSTAL_TASKS)]; NaN for rows that shared stages have seen.
    """
    folds, judges = config.structures.folds, judging_members(config, rows)
    shape = (len(members) // folds, len(rows), len(CRYSTAL_TASKS))
    mean, sd = np.full(shape, np.nan), np.full(shape, np.nan)
    for number, state in enumerate(members):
        network = crystal_network(config.network, config.graph)
        load_strictly(network, state, f"member {number}")
        held_out = np.flatnonzero(judges == number % folds)
        found = predict_crystals(network.to(device), rows.graphs, held_out)
        mean[number // folds, held_out], sd[number // folds, held_out] = in_units(found, standard)
    return mean, sd


def in_units(
    output: NetworkOutput, standard: Standardisation
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return means and standard deviations in transformed units from standardised outputs, two [K, tasks]."""
    columns = list(CRYSTAL_COLUMNS)
    centre, spread = standard.mean[columns], standard.sd[columns]
    scale = np.exp(output.log_scale.numpy().astype(np.float64))
    return output.mean.numpy().astype(np.float64) * spread + centre, LAPLACE_SD * scale * spread
