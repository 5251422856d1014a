"""What a fit adds to Lightning: the time limit, checkpoints that are whole, what a finished stage leaves."""

from __future__ import annotations

import io
import sys
import time
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO

from softlyte.datasets.errors import UserError
from softlyte.datasets.writing import write_bytes
from softlyte.models.checkpoint import save_state


class RankError(UserError):
    """Processes that train together disagree; the message names the folder and the remedy."""


class WholeCheckpoints(TorchCheckpointIO):
    """Writes each checkpoint whole or not at all, whatever file system the temporary folder is on.

    Lightning itself writes into the temporary folder of the machine and copies from there.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write a checkpoint beside its place, flush it to disk and rename it."""
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        write_bytes(Path(path), buffer.getvalue())


class StopInTime(Callback):
    """Stop after the last whole epoch that fits before the deadline, so that going on later is exact.

    Args:
        deadline: on the clock of `time.monotonic`; None never stops.
    """

    def __init__(self, deadline: float | None) -> None:
        self.deadline = deadline
        self._started = 0.0

    def on_train_epoch_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Note when the epoch began."""
        self._started = time.monotonic()

    def on_train_epoch_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Stop if another epoch as long as this one would end too late; all ranks decide alike."""
        now = time.monotonic()
        module.log("epoch_seconds", now - self._started)
        late = self.deadline is not None and now + (now - self._started) > self.deadline
        if trainer.strategy.reduce_boolean_decision(late, all=False):
            trainer.should_stop = True


class EpochLines(Callback):
    """Print a line for each epoch on stderr: what a batch job's log file should hold instead of a bar.

    Args:
        name: of what is trained.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def on_train_epoch_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Print the epoch, its losses and its time."""
        shown = ("train_loss", "validation_loss", "epoch_seconds")
        known = [
            f"{k} {float(trainer.callback_metrics[k]):.4g}" for k in shown if k in trainer.callback_metrics
        ]
        if trainer.is_global_zero:
            epoch = f"{trainer.current_epoch + 1}/{trainer.max_epochs}"
            print(f"{self.name}: epoch {epoch}, {', '.join(known)}", file=sys.stderr, flush=True)


class FinishedStage(Callback):
    """Write the stage's weights once it is complete: the best epoch's with early stopping, else the last.

    Args:
        path: safetensors file to write; its presence says that the stage is finished.
        stopping: the early stopping of this stage, if any.
        best: keeps the checkpoint of the best epoch; needed with early stopping.
    """

    def __init__(
        self, path: Path, stopping: EarlyStopping | None = None, best: ModelCheckpoint | None = None
    ) -> None:
        self.path, self.stopping, self.best = path, stopping, best

    def _stopped_early(self) -> bool:
        return self.stopping is not None and self.stopping.wait_count >= self.stopping.patience

    def on_train_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Do not train on if the run was killed between its early stop and the writing of the weights."""
        if self._stopped_early():
            trainer.should_stop = True

    def on_train_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Raise RankError unless all processes that train together hold the same weights."""
        if trainer.world_size == 1:
            return
        own = torch.stack([p.detach().double().sum() for p in module.parameters()])
        every = trainer.strategy.all_gather(own)
        if not (every == own).all():
            raise RankError(
                f"the {trainer.world_size} processes of {self.path.parent} ended with different weights; "
                "delete that folder and train on one device"
            )

    def on_fit_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Write the weights if every epoch is done or early stopping has ended the stage."""
        complete = self._stopped_early() or trainer.current_epoch >= (trainer.max_epochs or 0)
        if not complete or not trainer.is_global_zero:
            return
        state = {
            key.removeprefix("network."): value
            for key, value in module.state_dict().items()
            if key.startswith("network.")
        }
        if self.best is not None:
            saved = torch.load(self.best.best_model_path, map_location="cpu", weights_only=True)["state_dict"]
            state = {key: saved[f"network.{key}"] for key in state}
        save_state(self.path, state)
