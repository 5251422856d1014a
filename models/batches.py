"""Batches for training: tensors are built once, an epoch is a list of row numbers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from softlyte.featurize.composition import CompositionBatch, CompositionFeaturizer
from softlyte.models.training_data import Standardisation, TrainingRows

_BUCKET = 32  # batches sorted together by number of elements, so that little is padded


class LabelledBatch(NamedTuple):
    """A batch of graphs with labels.

    Attributes:
        graphs: B composition graphs.
        targets: [B, T + 1] float32 standardised, NaN where not labelled.
        censored: [B] bool, True where the labels are upper bounds.
    """

    graphs: CompositionBatch
    targets: Tensor
    censored: Tensor


class LabelledRows(Dataset[LabelledBatch]):
    """All rows as tensors; indexing with a vector of row numbers gives a batch."""

    def __init__(self, rows: TrainingRows, standard: Standardisation) -> None:
        self.graphs = CompositionFeaturizer()(
            rows.compositions, rows.phase, rows.fidelity, rows.temperature_c
        )
        standardised = (rows.targets - standard.mean) / standard.sd
        self.targets = torch.from_numpy(standardised.astype(np.float32))
        self.censored = torch.from_numpy(rows.censored)
        self.elements = (rows.compositions.atomic_numbers > 0).sum(axis=1)

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, rows: Tensor) -> LabelledBatch:
        """Return the rows as one batch."""
        return LabelledBatch(self.graphs.take(rows), self.targets[rows], self.censored[rows])


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
