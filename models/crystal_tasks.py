"""What the crystal networks predict, and how their outputs meet the loss of all tasks."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from softlyte.models.loss import MultiTaskLoss
from softlyte.models.network import NetworkOutput
from softlyte.models.tasks import TASK_NAMES

CRYSTAL_TASKS: tuple[str, ...] = (
    "bulk_modulus_gpa",
    "shear_modulus_gpa",
    "formation_energy_ev_atom",
    "density_g_cm3",
)
"""Heads of the crystal networks, in order; the same quantities as in models.tasks."""

CRYSTAL_COLUMNS: tuple[int, ...] = tuple(TASK_NAMES.index(name) for name in CRYSTAL_TASKS)
"""Where they stand among all tasks."""


class CrystalLoss(MultiTaskLoss):
    """The loss of all tasks for networks that have the crystal heads only.

    Shapes:
        output.mean, output.log_scale [B, len(CRYSTAL_TASKS)]; targets [B, T + 1] over all targets, NaN where
        not labelled and for every task without a head; censored [B]; weight [B] or None -> scalar
    """

    def forward(
        self, output: NetworkOutput, targets: Tensor, censored: Tensor, weight: Tensor | None = None
    ) -> Tensor:
        """Return the loss; 0 for a batch without labels."""
        # Tasks without a head have no labels, so what stands in their place teaches nothing.
        full = NetworkOutput(*(_padded(part) for part in output))
        return super().forward(full, targets, censored, weight)


def among_all_tasks(values: NDArray[np.float64], otherwise: float) -> NDArray[np.float64]:
    """Put [..., len(CRYSTAL_TASKS)] into the columns of all tasks, [..., T]; `otherwise` in the others."""
    full = np.full((*values.shape[:-1], len(TASK_NAMES)), otherwise)
    full[..., list(CRYSTAL_COLUMNS)] = values
    return full


def _padded(values: Tensor) -> Tensor:
    """Put [B, len(CRYSTAL_TASKS)] into the columns of all tasks, [B, T], zeros elsewhere."""
    columns = torch.tensor(CRYSTAL_COLUMNS, device=values.device)
    return values.new_zeros(len(values), len(TASK_NAMES)).index_copy(1, columns, values)
