"""Train one member of the ensemble in a process of its own."""

from __future__ import annotations

import logging
import warnings
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import ModelCheckpoint, TQDMProgressBar
from lightning.pytorch.loggers import CSVLogger
from torch.utils.data import DataLoader, Dataset

from softlyte.models.batches import EpochSampler, LabelledBatch, LabelledRows
from softlyte.models.checkpoint import load_state, load_strictly, save_state
from softlyte.models.config import TrainingConfig
from softlyte.models.loss import MultiTaskLoss
from softlyte.models.module import CompositionModule
from softlyte.models.network import CompositionNetwork
from softlyte.models.tasks import TARGET_NAMES
from softlyte.models.training_data import Standardisation, TrainingRows, load_training_rows

EVALUATED, SHIPPED = "evaluated.safetensors", "shipped.safetensors"
"""A member's weights that saw the training rows only, and those that saw every row."""


@dataclass(frozen=True)
class MemberJob:
    """What one process needs to train one member.

    Attributes:
        number: of the member.
        config: of the whole run.
        seed: of the run; a member's own seed is derived from it.
        folder: of the member, for logs, Lightning's checkpoint and finished weights.
        accelerator: "cpu" or "cuda".
        threads: of torch in this process.
        max_hours: stop (and keep the checkpoint) after this time; None for no limit.
        progress: True to show a bar.
    """

    number: int
    config: TrainingConfig
    seed: int
    folder: Path
    accelerator: str
    threads: int
    max_hours: float | None
    progress: bool


def fit_member(job: MemberJob) -> bool:
    """Train one member, then refit it on all rows; continues where an earlier call was stopped.

    Returns:
        True when the member is finished, False when its time ran out first.
    """
    if (job.folder / SHIPPED).is_file():
        return True
    _quieten()
    torch.set_num_threads(job.threads)
    job.folder.mkdir(parents=True, exist_ok=True)
    rows = load_training_rows(job.config.data.tables, job.config.data.split_seed)
    in_training = rows.split == "train"
    standard = Standardisation.fit(rows.take(in_training))
    seed = job.seed * 1000 + job.number
    lightning.seed_everything(seed, verbose=False)
    network = CompositionNetwork(job.config.network)
    if not (job.folder / EVALUATED).is_file():
        finished = _run(job, network, rows, standard, in_training, seed, refit=False)
        if not finished:
            return False
        save_state(job.folder / EVALUATED, network.state_dict())
    load_strictly(network, load_state(job.folder / EVALUATED), str(job.folder / EVALUATED))
    if job.config.training.refit_epochs:
        everything = np.ones(len(rows), bool)
        if not _run(job, network, rows, standard, everything, seed + 500, refit=True):
            return False
    save_state(job.folder / SHIPPED, network.state_dict())
    return True


def _run(
    job: MemberJob,
    network: CompositionNetwork,
    rows: TrainingRows,
    standard: Standardisation,
    used: np.ndarray,
    seed: int,
    refit: bool,
) -> bool:
    fit = job.config.training
    stage = "refit" if refit else "fit"
    epochs = fit.refit_epochs if refit else fit.epochs
    dataset = LabelledRows(rows, standard)
    passes = np.array([job.config.data.passes.get(name, 1.0) for name in rows.sources])[rows.source]
    chosen = np.flatnonzero(used)
    sampler = EpochSampler(passes[chosen], dataset.elements[chosen], fit.batch_size, seed)
    loader = _loader(dataset, chosen, sampler)
    validation = None
    if not refit:
        held_out = np.flatnonzero(rows.split == "validation")
        in_order = EpochSampler(np.ones(len(held_out)), dataset.elements[held_out], 4096, seed, shuffle=False)
        validation = _loader(dataset, held_out, in_order)
    weights = torch.tensor([job.config.data.weights.get(name, 1.0) for name in TARGET_NAMES])
    loss = MultiTaskLoss(
        torch.from_numpy(standard.mean), torch.from_numpy(standard.sd), weights, fit.scale_exponent
    )
    rate = fit.refit_learning_rate if refit else fit.learning_rate
    module = CompositionModule(network, loss, fit, rate, epochs * len(sampler), seed)
    checkpoints = ModelCheckpoint(
        job.folder / stage, filename="last", save_on_train_epoch_end=True, enable_version_counter=False
    )
    trainer = lightning.Trainer(
        accelerator="gpu" if job.accelerator == "cuda" else "cpu",
        devices=1,
        precision=fit.precision,
        max_epochs=epochs,
        max_time=timedelta(hours=job.max_hours) if job.max_hours else None,
        gradient_clip_val=fit.gradient_clip,
        logger=CSVLogger(job.folder, name=f"{stage}_log", version=""),
        callbacks=[checkpoints, *([TQDMProgressBar(refresh_rate=20)] if job.progress else [])],
        enable_progress_bar=job.progress,
        enable_model_summary=False,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        log_every_n_steps=50,
    )
    last = job.folder / stage / "last.ckpt"
    trainer.fit(module, loader, validation, ckpt_path=last if last.is_file() else None, weights_only=True)
    return trainer.current_epoch >= epochs


def _loader(dataset: LabelledRows, chosen: np.ndarray, sampler: EpochSampler) -> DataLoader[LabelledBatch]:
    # The sampler yields whole batches of row numbers, so the loader neither batches nor collates.
    return DataLoader(_Chosen(dataset, chosen), sampler=sampler, batch_size=None)


class _Chosen(Dataset[LabelledBatch]):
    """Some rows of a data set, indexed with whole vectors."""

    def __init__(self, dataset: LabelledRows, chosen: np.ndarray) -> None:
        self.dataset, self.numbers = dataset, torch.from_numpy(chosen)

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, rows: torch.Tensor) -> LabelledBatch:
        """Return the rows as one batch."""
        return self.dataset[self.numbers[rows]]


def _quieten() -> None:
    """Silence Lightning's notes on workers and hardware: batches are ready tensors, workers only cost."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    for pattern in (".*does not have many workers.*", ".*exists and is not empty.*", ".*litlogger.*"):
        warnings.filterwarnings("ignore", pattern)
