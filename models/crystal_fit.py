"""Train one crystal network through its stages; called again on the same folder it goes on."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, TQDMProgressBar
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.plugins.environments import LightningEnvironment
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from softlyte.featurize.crystal_batch import CrystalBatch, CrystalGraphs
from softlyte.models.batches import StageData
from softlyte.models.callbacks import EpochLines, FinishedStage, StopInTime, WholeCheckpoints
from softlyte.models.checkpoint import check_resumable, load_state, load_strictly
from softlyte.models.config import FitConfig
from softlyte.models.crystal_config import CrystalStageConfig, CrystalTrainingConfig
from softlyte.models.crystal_data import CrystalRows
from softlyte.models.crystal_network import CrystalNetwork, crystal_network
from softlyte.models.crystal_tasks import CRYSTAL_COLUMNS, CrystalLoss
from softlyte.models.fit import FINISHED, LAST, quieten
from softlyte.models.module import CompositionModule
from softlyte.models.network import NetworkOutput
from softlyte.models.tasks import TARGET_NAMES
from softlyte.models.training_data import Standardisation, TrainingDataError


class LabelledCrystalBatch(NamedTuple):
    """A batch of crystal graphs with labels; the fields have the names of models.batches.LabelledBatch.

    Attributes:
        graphs: B crystal graphs.
        targets: [B, T + 1] float32 standardised, NaN where not labelled.
        censored: [B] bool, False: no label of a crystal is a bound.
        weight: [B] float32 factor on the row's loss.
    """

    graphs: CrystalBatch
    targets: Tensor
    censored: Tensor
    weight: Tensor


class LabelledCrystals(Dataset[LabelledCrystalBatch]):
    """All rows as tensors; indexing with a vector of row numbers gives a batch."""

    def __init__(self, rows: CrystalRows, standard: Standardisation) -> None:
        self.graphs = rows.graphs
        self.targets = torch.from_numpy(((rows.targets - standard.mean) / standard.sd).astype(np.float32))
        # Sparse graphs are not padded: batches need no rows of like size.
        self.elements = np.zeros(len(rows), dtype=np.int64)

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, rows: Tensor) -> LabelledCrystalBatch:
        """Return the rows as one batch."""
        return LabelledCrystalBatch(
            self.graphs.take(rows),
            self.targets[rows],
            torch.zeros(len(rows), dtype=torch.bool),
            torch.ones(len(rows)),
        )


def fit_crystal_network(
    config: CrystalTrainingConfig,
    rows: CrystalRows,
    used: NDArray[np.bool_],
    folder: Path,
    seed: int,
    standard: Standardisation,
    *,
    stages: Sequence[CrystalStageConfig] | None = None,
    start: dict[str, Tensor] | None = None,
    accelerator: str = "cpu",
    threads: int = 1,
    deadline: float | None = None,
    progress: bool = False,
    callbacks: Sequence[Callback] = (),
) -> dict[str, Tensor] | None:
    """Train one network; a run that was killed and continued ends with the weights of an unbroken one (CPU).

    Args:
        config: network, stages and settings.
        rows: N labelled crystals.
        used: [N] rows that the network may see.
        folder: gets a folder for each stage with its checkpoint, log and finished weights.
        seed: of initial weights, sampling and dropout.
        standard: units of the targets.
        stages: of the configuration; None for all.
        start: weights to begin with; None for random ones.
        accelerator: "cpu" or "cuda".
        threads: of torch.
        deadline: on the clock of time.monotonic: stop after the last whole epoch before it; None for none.
        progress: True to show how it gets on.
        callbacks: more Lightning callbacks, for every stage.

    Returns:
        The weights; None if the time ran out first.

    Raises:
        TrainingDataError: a stage draws no row.
        CheckpointError: weights in the folder do not fit the network.
    """
    quieten()
    torch.set_num_threads(threads)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = crystal_network(config.network, config.graph)
    if start is not None:
        load_strictly(network, start, "the weights to begin with")
    dataset = LabelledCrystals(rows, standard)
    for stage in config.training.stages if stages is None else stages:
        finished = folder / stage.name / FINISHED
        if not finished.is_file():
            data = _stage_data(config, dataset, rows, used, stage, seed, threads)
            done = _run_stage(
                config,
                network,
                standard,
                data,
                stage,
                folder / stage.name,
                accelerator,
                deadline,
                progress,
                callbacks,
            )
            if not done:
                return None
        load_strictly(network, load_state(finished), str(finished))
    return {key: value.detach().cpu() for key, value in network.state_dict().items()}


def predict_crystals(
    network: CrystalNetwork, graphs: CrystalGraphs, chosen: NDArray[np.int64], batch_size: int = 128
) -> NetworkOutput:
    """Return the standardised outputs for chosen graphs, [K, len(CRYSTAL_TASKS)] each, on the CPU."""
    network.eval()
    device = next(network.parameters()).device
    parts = []
    with torch.no_grad():
        for start in range(0, len(chosen), batch_size):
            some = torch.from_numpy(chosen[start : start + batch_size])
            out = network(graphs.take(some).to(device))
            parts.append(NetworkOutput(out.mean.cpu(), out.log_scale.cpu()))
    if not parts:
        return NetworkOutput(torch.zeros(0, len(CRYSTAL_COLUMNS)), torch.zeros(0, len(CRYSTAL_COLUMNS)))
    return NetworkOutput(torch.cat([p.mean for p in parts]), torch.cat([p.log_scale for p in parts]))


def _stage_data(
    config: CrystalTrainingConfig,
    dataset: LabelledCrystals,
    rows: CrystalRows,
    used: NDArray[np.bool_],
    stage: CrystalStageConfig,
    seed: int,
    threads: int,
) -> StageData:
    drawn = stage.passes or dict.fromkeys(rows.sources, 1.0)
    passes = np.array([drawn.get(name, 0.0) for name in rows.sources])[rows.source]
    chosen = np.flatnonzero((passes > 0) & used)
    if not len(chosen):
        raise TrainingDataError(
            f"stage {stage.name} draws no row; name a table in its passes that has training rows"
        )
    own = int(np.random.SeedSequence([seed, zlib.crc32(stage.name.encode())]).generate_state(1)[0])
    # The loaders ask a data set for batches of row numbers only, whatever its graphs are.
    return StageData(
        cast(Any, dataset),
        chosen,
        passes[chosen],
        np.zeros(0, np.int64),
        config.training.batch_size,
        own,
        threads,
    )


def _run_stage(
    config: CrystalTrainingConfig,
    network: CrystalNetwork,
    standard: Standardisation,
    data: StageData,
    stage: CrystalStageConfig,
    folder: Path,
    accelerator: str,
    deadline: float | None,
    progress: bool,
    callbacks: Sequence[Callback],
) -> bool:
    """Train one stage; returns True when it is finished, its weights then lie in the folder."""
    fit = config.training
    weights = torch.tensor([config.structures.weights.get(name, 1.0) for name in TARGET_NAMES])
    loss = CrystalLoss(
        torch.from_numpy(standard.mean), torch.from_numpy(standard.sd), weights, fit.scale_exponent
    )
    # The module optimises any network with these outputs; of the settings it reads the weight decay.
    module = CompositionModule(
        cast(Any, network),
        loss,
        FitConfig(weight_decay=fit.weight_decay),
        stage.learning_rate,
        stage.epochs * data.steps(),
        data.seed,
    )
    every_epoch = ModelCheckpoint(
        folder, filename=Path(LAST).stem, save_on_train_epoch_end=True, enable_version_counter=False
    )
    shown: list[Callback] = []
    if progress:
        name = f"{folder.parent.name} {folder.name}"
        shown = [TQDMProgressBar(refresh_rate=20) if sys.stderr.isatty() else EpochLines(name)]
    trainer = lightning.Trainer(
        accelerator="gpu" if accelerator == "cuda" else "cpu",
        devices=1,
        plugins=[LightningEnvironment(), WholeCheckpoints()],
        precision=fit.precision,
        max_epochs=stage.epochs,
        gradient_clip_val=fit.gradient_clip,
        logger=[CSVLogger(folder, name="log")],
        callbacks=[
            *callbacks,
            StopInTime(deadline),
            *shown,
            FinishedStage(folder / FINISHED),
            every_epoch,
        ],
        enable_progress_bar=progress and sys.stderr.isatty(),
        enable_model_summary=False,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        limit_val_batches=0,
        log_every_n_steps=min(50, data.steps()),
    )
    last = check_resumable(folder / LAST)
    trainer.fit(module, datamodule=data, ckpt_path=last, weights_only=True)
    return (folder / FINISHED).is_file()
