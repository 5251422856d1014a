"""How a trial of a search is scored on held-out rows, and when it is not worth going on."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from numpy.typing import NDArray
from scipy.special import ndtri
from torch import Tensor

from softlyte.models.batches import LabelledRows
from softlyte.models.loss import with_youngs_modulus
from softlyte.models.network import CompositionNetwork, NetworkConfig
from softlyte.models.tasks import TARGET_NAMES
from softlyte.models.training_data import Standardisation, TrainingDataError, TrainingRows

LEVELS = (0.5, 0.8, 0.9, 0.95)
"""Stated coverages at which the intervals are checked."""

FEWEST_LABELS = 10
"""A target with fewer held-out labels does not count."""

_BATCH = 4096


@dataclass(frozen=True)
class Scores:
    """Objectives of one network on held-out rows.

    Attributes:
        error: mean over the targets of the mean absolute error in standard deviations of the labels.
        calibration_error: mean over targets and LEVELS of |measured - stated coverage|.
        by_target: mean absolute error of each target, in standard deviations of its labels.
    """

    error: float
    calibration_error: float
    by_target: dict[str, float]


class HeldOut:
    """Labelled rows that a trial's networks have not seen.

    Args:
        rows: the rows.
        standard: units of the targets.
        columns: places in TARGET_NAMES of the targets that count.
    """

    def __init__(self, rows: TrainingRows, standard: Standardisation, columns: Sequence[int]) -> None:
        self.data = LabelledRows(rows, standard)
        self.mean, self.sd = torch.from_numpy(standard.mean), torch.from_numpy(standard.sd)
        self.columns = columns
        # A bound says nothing exact about error or coverage.
        labels = self.data.targets.numpy().astype(np.float64)
        self.labels: NDArray[np.float64] = np.where(rows.censored[:, None], np.nan, labels)

    @classmethod
    def of(cls, rows: TrainingRows, standard: Standardisation, targets: Iterable[str]) -> HeldOut:
        """Take the targets that have enough labels; raises TrainingDataError if none has."""
        chosen = [TARGET_NAMES.index(name) for name in targets]
        labelled = (~np.isnan(rows.targets) & ~rows.censored[:, None]).sum(axis=0)
        columns = [column for column in chosen if labelled[column] >= FEWEST_LABELS]
        if not columns:
            raise TrainingDataError("the held-out fold has no labels of tune.targets; name others")
        return cls(rows, standard, columns)

    def scores(self, network: CompositionNetwork, device: torch.device) -> Scores:
        """Score a network as it stands; leaves it in the mode that it was in."""
        training = network.training
        network.eval()
        mean, sd = self.mean.float().to(device), self.sd.float().to(device)
        means, spreads = [], []
        with torch.no_grad():
            for start in range(0, len(self.data), _BATCH):
                rows = torch.arange(start, min(start + _BATCH, len(self.data)))
                out = network(self.data.graphs.take(rows).to(device))
                location, log_scale = with_youngs_modulus(out, mean, sd)
                means.append(location.float().cpu())
                spreads.append(log_scale.float().exp().cpu() * math.sqrt(2.0))
        network.train(training)
        residual = np.abs(self.labels - torch.cat(means).numpy())
        spread = torch.cat(spreads).numpy()
        by_target, gaps = {}, []
        for column in self.columns:
            known = ~np.isnan(residual[:, column])
            r, s = residual[known, column], spread[known, column]
            by_target[TARGET_NAMES[column]] = float(r.mean())
            gaps += [abs(float((r <= ndtri(0.5 + level / 2) * s).mean()) - level) for level in LEVELS]
        return Scores(float(np.mean(list(by_target.values()))), float(np.mean(gaps)), by_target)

    def scores_of(self, config: NetworkConfig, state: dict[str, Tensor], accelerator: str) -> Scores:
        """Score finished weights."""
        network = CompositionNetwork(config)
        network.load_state_dict(state)
        device = torch.device(accelerator)
        return self.scores(network.to(device), device)


class RungCallback(Callback):
    """Score the network after chosen epochs, counted over all stages of a fit.

    Args:
        held_out: rows to score on.
        rungs: epochs after which to score, from 1.
        judge: called with the epoch and (error, calibration error); it may raise to end the fit.
    """

    def __init__(
        self,
        held_out: HeldOut,
        rungs: Sequence[int],
        judge: Callable[[int, tuple[float, float]], None],
    ) -> None:
        self.held_out, self.rungs, self.judge = held_out, set(rungs), judge
        self.epochs = 0

    def on_train_epoch_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Score at a rung."""
        self.epochs += 1
        if self.epochs in self.rungs:
            network = module.network
            assert isinstance(network, CompositionNetwork)  # noqa: S101 - for type checkers
            scores = self.held_out.scores(network, module.device)
            self.judge(self.epochs, (scores.error, scores.calibration_error))


def keep_going(own: tuple[float, float], seen: Sequence[tuple[float, float]], reduction: int) -> bool:
    """Return whether a trial goes on past a rung, from its objectives and those seen there before.

    Asynchronous successive halving (Li et al. 2020, arXiv 1810.05934) on the first objective: the best
    1/reduction of those that have reached the rung go on. A trial that no other beats in both objectives
    goes on too, or the front would lose its well calibrated end. Before `reduction` trials have reached the
    rung nothing is stopped.
    """
    count = len(seen) + 1
    if count < max(2, reduction):
        return True
    rank = sum(other[0] < own[0] for other in seen)
    if rank < math.ceil(count / reduction):
        return True
    return not any(other[0] <= own[0] and other[1] <= own[1] and other != own for other in seen)
