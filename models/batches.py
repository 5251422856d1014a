"""Batches for training: tensors are built once, an epoch is a list of row numbers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import lightning
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from softlyte.featurize.composition import CompositionBatch, CompositionFeaturizer
from softlyte.models.training_data import Standardisation, TrainingRows

_BUCKET = 32  # batches sorted together by number of elements, so that little is padded


class LabelledBatch(NamedTuple):
    """A batch of graphs with labels.

    Attributes:
        graphs: B composition graphs.
        targets: [B, T + 1] float32 standardised, NaN where not labelled.
        censored: [B] bool, True where the labels are upper bounds.
        weight: [B] float32 factor on the row's loss.
    """

    graphs: CompositionBatch
    targets: Tensor
    censored: Tensor
    weight: Tensor


class LabelledRows(Dataset[LabelledBatch]):
    """All rows as tensors; indexing with a vector of row numbers gives a batch."""

    def __init__(self, rows: TrainingRows, standard: Standardisation) -> None:
        self.graphs = CompositionFeaturizer()(
            rows.compositions, rows.phase, rows.fidelity, rows.temperature_c
        )
        standardised = (rows.targets - standard.mean) / standard.sd
        self.targets = torch.from_numpy(standardised.astype(np.float32))
        self.censored = torch.from_numpy(rows.censored)
        self.weight = torch.from_numpy(rows.weight.astype(np.float32))
        self.elements = (rows.compositions.atomic_numbers > 0).sum(axis=1)

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, rows: Tensor) -> LabelledBatch:
        """Return the rows as one batch."""
        return LabelledBatch(
            self.graphs.take(rows), self.targets[rows], self.censored[rows], self.weight[rows]
        )


class EpochSampler(Sampler[Tensor]):
    """Draw an epoch's batches: a reproducible function of seed and epoch alone.

    A row of a table with `passes` p is drawn floor(p) times and once more with probability p - floor(p).

    Args:
        passes: [N] average draws of each row in an epoch.
        elements: [N] number of elements of each row, to put rows of like size together.
        batch_size: rows a batch.
        seed: of the run.
        shuffle: False for validation: every row once, in order.
        rank: number of this process among `world` that train together.
        world: processes that share the batches.
    """

    def __init__(
        self,
        passes: NDArray[np.float64],
        elements: NDArray[np.integer],
        batch_size: int,
        seed: int,
        shuffle: bool = True,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self.passes, self.elements = passes, elements
        self.batch_size, self.seed, self.shuffle = batch_size, seed, shuffle
        self.rank, self.world = rank, world
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch; Lightning calls this at the start of each, after a resume too."""
        self.epoch = epoch

    def __len__(self) -> int:
        batches = -(-self._size() // self.batch_size)
        return batches // self.world if self.world > 1 else batches

    def _size(self) -> int:
        """Number of draws: fixed over the epochs, so that the learning-rate schedule is known."""
        return round(float(self.passes.sum())) if self.shuffle else len(self.passes)

    def __iter__(self) -> Iterator[Tensor]:
        n = len(self.passes)
        if not self.shuffle:
            order = np.arange(n)
            yield from (
                torch.from_numpy(order[i : i + self.batch_size]) for i in range(0, n, self.batch_size)
            )
            return
        rng = np.random.default_rng([self.seed, self.epoch])
        # Systematic sampling: exactly `size` draws, each row within one of its expected number.
        points = rng.random() + np.arange(self._size())
        order = rng.permutation(n)
        edges = np.concatenate([[0.0], np.cumsum(self.passes[order])])
        drawn = order[np.minimum(np.searchsorted(edges, points % edges[-1], side="right") - 1, n - 1)]
        rng.shuffle(drawn)
        chunk = self.batch_size * _BUCKET
        batches: list[NDArray[np.int64]] = []
        for start in range(0, len(drawn), chunk):
            part = drawn[start : start + chunk]
            part = part[np.argsort(self.elements[part], kind="stable")]
            batches += [part[i : i + self.batch_size] for i in range(0, len(part), self.batch_size)]
        for number in rng.permutation(len(batches))[self.rank :: self.world][: len(self)]:
            yield torch.from_numpy(batches[number])


class StageData(lightning.LightningDataModule):
    """The loaders of one stage; each process of several draws its own share of every epoch.

    Args:
        dataset: all rows.
        chosen: numbers of the rows that the stage may draw.
        passes: average draws of each of those in an epoch.
        validation: numbers of the rows for early stopping, empty for none.
        batch_size: rows a batch.
        seed: of the sampling.
        threads: of torch in each process.
    """

    def __init__(
        self,
        dataset: LabelledRows,
        chosen: NDArray[np.int64],
        passes: NDArray[np.float64],
        validation: NDArray[np.int64],
        batch_size: int,
        seed: int,
        threads: int = 1,
    ) -> None:
        super().__init__()
        self.dataset, self.chosen, self.passes, self.validation = dataset, chosen, passes, validation
        self.batch_size, self.seed, self.threads = batch_size, seed, threads

    def setup(self, stage: str) -> None:
        """Set the threads here: a spawned process does not inherit them."""
        torch.set_num_threads(self.threads)

    def sampler(self, rank: int = 0, world: int = 1) -> EpochSampler:
        """Return the sampler of process `rank` of `world`."""
        elements = self.dataset.elements[self.chosen]
        return EpochSampler(self.passes, elements, self.batch_size, self.seed, rank=rank, world=world)

    def steps(self, world: int = 1) -> int:
        """Return the optimiser steps of an epoch."""
        return len(self.sampler(0, world))

    def train_dataloader(self) -> DataLoader[LabelledBatch]:
        """Return this process's batches of an epoch."""
        rank, world = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        return self._loader(self.chosen, self.sampler(rank, world))

    def val_dataloader(self) -> DataLoader[LabelledBatch]:
        """Return the validation rows in order; every process sees them all."""
        elements = self.dataset.elements[self.validation]
        in_order = EpochSampler(np.ones(len(self.validation)), elements, 4096, self.seed, shuffle=False)
        return self._loader(self.validation, in_order)

    def _loader(self, numbers: NDArray[np.int64], sampler: EpochSampler) -> DataLoader[LabelledBatch]:
        # The sampler yields whole batches of row numbers, so the loader neither batches nor collates.
        return DataLoader(_Chosen(self.dataset, numbers), sampler=sampler, batch_size=None)


class _Chosen(Dataset[LabelledBatch]):
    """Some rows of a data set, indexed with whole vectors."""

    def __init__(self, dataset: LabelledRows, chosen: NDArray[np.int64]) -> None:
        self.dataset, self.numbers = dataset, torch.from_numpy(chosen)

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, rows: Tensor) -> LabelledBatch:
        """Return the rows as one batch."""
        return self.dataset[self.numbers[rows]]
