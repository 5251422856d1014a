"""Train one network through its stages: the function behind training, benchmarks and tuning."""

from __future__ import annotations

import logging
import sys
import time
import warnings
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint, TQDMProgressBar
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.plugins.environments import LightningEnvironment
from lightning.pytorch.strategies import DDPStrategy
from numpy.typing import NDArray
from torch import Tensor

from softlyte.datasets.splits import split_by_chemical_system
from softlyte.models.batches import LabelledRows, StageData
from softlyte.models.callbacks import EpochLines, FinishedStage, StopInTime, WholeCheckpoints
from softlyte.models.checkpoint import check_resumable, load_state, load_strictly
from softlyte.models.config import StageConfig, TrainingConfig
from softlyte.models.distillation import DISTILLED, with_distilled_rows
from softlyte.models.loss import MultiTaskLoss
from softlyte.models.module import CompositionModule
from softlyte.models.network import CompositionNetwork
from softlyte.models.tasks import TARGET_NAMES
from softlyte.models.training_data import Standardisation, TrainingDataError, TrainingRows

FINISHED, LAST = "finished.safetensors", "last.ckpt"
"""In a stage's folder: its weights once it is complete, and Lightning's checkpoint of the last epoch."""


@dataclass(frozen=True)
class FitOutcome:
    """What a fit leaves.

    Attributes:
        state: weights after the last stage; None if the time ran out first.
        standard: the units that the network learned in.
    """

    state: dict[str, Tensor] | None
    standard: Standardisation


@dataclass(frozen=True)
class _Machine:
    """Where a stage runs: accelerator, devices, threads and until when (clock of time.monotonic)."""

    accelerator: str
    devices: int
    threads: int
    deadline: float | None
    progress: bool

    def out_of_time(self) -> bool:
        return self.deadline is not None and time.monotonic() >= self.deadline


def fit_network(
    config: TrainingConfig,
    rows: TrainingRows,
    used: NDArray[np.bool_],
    folder: Path,
    seed: int,
    *,
    stages: Sequence[StageConfig],
    start: dict[str, Tensor] | None = None,
    standard: Standardisation | None = None,
    accelerator: str = "cpu",
    devices: int = 1,
    threads: int = 1,
    max_hours: float | None = None,
    progress: bool = False,
    callbacks: Sequence[Callback] = (),
) -> FitOutcome:
    """Train one network through stages; called again on the same folder it goes on where it was stopped.

    On one CPU device a run that was killed and continued ends with the same weights as an unbroken one.

    Args:
        config: network, settings of the fit and weights of the targets.
        rows: N labelled rows.
        used: [N] rows that stages with rows = "train" may see; stages with rows = "all" see every row.
        folder: gets a folder for each stage with its checkpoint, logs and finished weights.
        seed: of initial weights, sampling and dropout.
        stages: one after the other.
        start: initial weights; None for random ones.
        standard: units of the targets; None fits them on the used rows.
        accelerator: "cpu" or "cuda".
        devices: processes (CPU) or GPUs that share each batch's gradient.
        threads: of torch in each process.
        max_hours: stop after the last whole epoch that ends in this time (after one at least, unless it is
            0 or less); None for no limit.
        progress: True to show a bar on a terminal, else a line for each epoch.
        callbacks: more Lightning callbacks, for every stage.

    Raises:
        TrainingDataError: a stage draws no row.
        CheckpointError: `start` or weights in the folder do not fit the network.
    """
    quieten()
    torch.set_num_threads(threads)
    deadline = None if max_hours is None else time.monotonic() + 3600 * max_hours
    machine = _Machine(accelerator, devices, threads, deadline, progress)
    standard = standard or Standardisation.fit(rows.take(used))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = CompositionNetwork(config.network)
    if start is not None:
        load_strictly(network, start, "the starting weights")
    made: _Made | None = None
    # A call with any time at all trains one epoch at least: calls with too short a limit still get on.
    trained = max_hours is not None and max_hours <= 0
    for stage in stages:
        finished = folder / stage.name / FINISHED
        if not finished.is_file():
            if trained and machine.out_of_time():
                return FitOutcome(None, standard)
            trained = True
            if made is None or (made.distilled_for or stage.rows) != stage.rows:
                made = _make(rows, used, standard, stages, stage.rows, seed)
            data = _stage_data(config, made, stage, _stage_seed(seed, stage), threads)
            if not _run_stage(
                config, network, standard, data, stage, folder / stage.name, machine, callbacks
            ):
                return FitOutcome(None, standard)
        load_strictly(network, load_state(finished), str(finished))
    return FitOutcome({k: v.detach().cpu() for k, v in network.state_dict().items()}, standard)


@dataclass(frozen=True)
class _Made:
    """Rows as tensors; with distilled rows they serve stages of one kind only."""

    rows: TrainingRows
    used: NDArray[np.bool_]
    dataset: LabelledRows
    distilled_for: str | None


def _make(
    rows: TrainingRows,
    used: NDArray[np.bool_],
    standard: Standardisation,
    stages: Sequence[StageConfig],
    kind: str,
    seed: int,
) -> _Made:
    if not any(DISTILLED in stage.passes for stage in stages if stage.rows == kind):
        return _Made(rows, used, LabelledRows(rows, standard), None)
    # What the trees say of a composition comes from rows that the stage may see anyway.
    seen = used if kind == "train" else np.ones(len(rows), bool)
    more = with_distilled_rows(rows, seen, seed)
    used = np.concatenate([used, np.ones(len(more) - len(rows), bool)])
    return _Made(more, used, LabelledRows(more, standard), kind)


def _stage_seed(seed: int, stage: StageConfig) -> int:
    return int(np.random.SeedSequence([seed, zlib.crc32(stage.name.encode())]).generate_state(1)[0])


def _stage_data(
    config: TrainingConfig, made: _Made, stage: StageConfig, seed: int, threads: int
) -> StageData:
    rows, used = made.rows, made.used
    drawn = stage.passes or dict.fromkeys(rows.sources, 1.0)
    passes = np.array([drawn.get(name, 0.0) for name in rows.sources])[rows.source]
    seen = (passes > 0) if stage.rows == "all" else (passes > 0) & used
    validation = np.zeros(0, np.int64)
    fit = config.training
    if stage.rows == "train" and fit.early_stopping_patience is not None:
        share = fit.validation_share
        side = split_by_chemical_system(rows.compositions, (1 - share, share, 0.0), config.data.split_seed)
        validation = np.flatnonzero(seen & (side == "validation"))
        seen = seen & (side == "train")
        if not len(validation):
            raise TrainingDataError(
                f"stage {stage.name} has no validation rows for early stopping; raise validation_share"
            )
    chosen = np.flatnonzero(seen)
    if not len(chosen):
        raise TrainingDataError(
            f"stage {stage.name} draws no row; name a table in its passes that has training rows"
        )
    return StageData(made.dataset, chosen, passes[chosen], validation, fit.batch_size, seed, threads)


def _run_stage(
    config: TrainingConfig,
    network: CompositionNetwork,
    standard: Standardisation,
    data: StageData,
    stage: StageConfig,
    folder: Path,
    machine: _Machine,
    callbacks: Sequence[Callback],
) -> bool:
    """Train one stage; returns True when it is finished, its weights then lie in the folder."""
    fit = config.training
    weights = torch.tensor([config.data.weights.get(name, 1.0) for name in TARGET_NAMES])
    loss = MultiTaskLoss(
        torch.from_numpy(standard.mean), torch.from_numpy(standard.sd), weights, fit.scale_exponent
    )
    steps = stage.epochs * data.steps(machine.devices)
    module = CompositionModule(network, loss, fit, stage.learning_rate, steps, data.seed)
    early = len(data.validation) > 0
    table = CSVLogger(folder, name="log")
    trainer = lightning.Trainer(
        accelerator="gpu" if machine.accelerator == "cuda" else "cpu",
        devices=machine.devices,
        # Processes are spawned from this one, so that a notebook and a batch job start them alike; on one
        # machine only, whatever a queueing system has put into the environment.
        strategy=DDPStrategy(start_method="spawn") if machine.devices > 1 else "auto",
        plugins=[LightningEnvironment(), WholeCheckpoints()],
        precision=fit.precision,
        max_epochs=stage.epochs,
        gradient_clip_val=fit.gradient_clip,
        # A run that goes on logs into a version of its own: nothing of the earlier part is lost.
        logger=[table, TensorBoardLogger(folder, name="log", version=table.version)],
        callbacks=[*callbacks, *_callbacks(fit.early_stopping_patience if early else None, folder, machine)],
        enable_progress_bar=machine.progress and sys.stderr.isatty(),
        enable_model_summary=False,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        limit_val_batches=1.0 if early else 0,
        log_every_n_steps=min(50, data.steps(machine.devices)),
    )
    last = check_resumable(folder / LAST)
    trainer.fit(module, datamodule=data, ckpt_path=last, weights_only=True)
    return (folder / FINISHED).is_file()


def _callbacks(patience: int | None, folder: Path, machine: _Machine) -> list[Callback]:
    every_epoch = ModelCheckpoint(
        folder, filename=Path(LAST).stem, save_on_train_epoch_end=True, enable_version_counter=False
    )
    chosen: list[Callback] = [StopInTime(machine.deadline)]
    if machine.progress:
        name = f"{folder.parent.name} {folder.name}"
        chosen.append(TQDMProgressBar(refresh_rate=20) if sys.stderr.isatty() else EpochLines(name))
    if patience is None:
        return [*chosen, FinishedStage(folder / FINISHED), every_epoch]
    stopping = EarlyStopping("validation_loss", patience=patience)
    best = ModelCheckpoint(
        folder, filename="best", monitor="validation_loss", save_top_k=1, enable_version_counter=False
    )
    return [*chosen, stopping, FinishedStage(folder / FINISHED, stopping, best), best, every_epoch]


def quieten() -> None:
    """Silence Lightning's notes on workers and hardware: batches are ready tensors, workers only cost."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    logging.getLogger("lightning.fabric").setLevel(logging.ERROR)
    noise = ("does not have many workers", "exists and is not empty", "litlogger", "isinstance.treespec")
    for part in noise:
        warnings.filterwarnings("ignore", f".*{part}.*")
