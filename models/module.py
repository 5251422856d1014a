"""The Lightning module: how one member of the ensemble learns."""

from __future__ import annotations

import lightning
import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor

from softlyte.models.batches import LabelledBatch
from softlyte.models.config import FitConfig
from softlyte.models.loss import MultiTaskLoss
from softlyte.models.network import CompositionNetwork, NetworkOutput


class CompositionModule(lightning.LightningModule):
    """One network with its loss and one-cycle AdamW.

    Args:
        network: the network to train.
        loss: the multi-task loss, which holds the standardisation.
        config: of the fit.
        learning_rate: peak learning rate.
        steps: optimiser steps in all, for the schedule.
        seed: dropout in step k depends on (seed, k, rank) alone, so that a resumed run equals an unbroken
            one.
    """

    def __init__(
        self,
        network: CompositionNetwork,
        loss: MultiTaskLoss,
        config: FitConfig,
        learning_rate: float,
        steps: int,
        seed: int,
    ) -> None:
        super().__init__()
        self.network, self.loss, self.config = network, loss, config
        self.learning_rate, self.steps, self.seed = learning_rate, steps, seed

    def on_train_batch_start(self, batch: LabelledBatch, index: int) -> None:
        """Make a step's random numbers a function of seed and step, whatever else drew some before."""
        step = self.seed * 1_000_003 + self.global_step
        torch.manual_seed(step * self.trainer.world_size + self.trainer.global_rank)

    def training_step(self, batch: LabelledBatch, index: int) -> Tensor:
        """Return the loss of one batch."""
        loss = self._loss_of(batch)
        self._log("train_loss", loss, batch)
        return loss

    def validation_step(self, batch: LabelledBatch, index: int) -> None:
        """Log the loss of one held-out batch."""
        self._log("validation_loss", self._loss_of(batch), batch)

    def _loss_of(self, batch: LabelledBatch) -> Tensor:
        output = self.network(batch.graphs)
        # In mixed precision the network computes in half precision, the likelihood never does.
        exact = NetworkOutput(output.mean.float(), output.log_scale.float())
        with torch.autocast(batch.targets.device.type, enabled=False):
            return self.loss(exact, batch.targets, batch.censored, batch.weight)

    def _log(self, name: str, loss: Tensor, batch: LabelledBatch) -> None:
        size = len(batch.targets)
        self.log(name, loss, on_step=False, on_epoch=True, batch_size=size, sync_dist=True)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Return AdamW (no decay on biases, norms and embeddings) and a one-cycle schedule."""
        decayed = [p for p in self.network.parameters() if p.ndim > 1]
        plain = [p for p in self.network.parameters() if p.ndim <= 1]
        groups = [
            {"params": decayed, "weight_decay": self.config.weight_decay},
            {"params": plain, "weight_decay": 0.0},
        ]
        optimiser = torch.optim.AdamW(groups, lr=self.learning_rate)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, max_lr=self.learning_rate, total_steps=self.steps, pct_start=0.15
        )
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
