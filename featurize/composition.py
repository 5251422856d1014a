"""Composition graphs: arrays of formulas become batched tensors, without an object a formula.

A composition graph is complete: its nodes are the elements of a formula, weighted with their atomic
fractions, and every element sends messages to every other. Because graphs hold few nodes they are kept
dense, [B, M] with padding, instead of as edge lists.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch_geometric.data import Batch, Data

from softlyte.datasets.columns import FIDELITIES, PHASES
from softlyte.datasets.formulas import MAX_ATOMIC_NUMBER, Compositions
from softlyte.featurize.elements import element_descriptors

ROOM_TEMPERATURE_C = 25.0
_KELVIN = 273.15


class CompositionBatch(NamedTuple):
    """B composition graphs and the conditions under which a property is asked for.

    Attributes:
        element: [B, M] int64 atomic numbers, 0 where padded.
        fraction: [B, M] float32 atomic fractions, rows sum to 1, 0 where padded.
        phase: [B] int64, index into columns.PHASES.
        fidelity: [B] int64, index into columns.FIDELITIES.
        inverse_temperature: [B] float32, 1000/T - 1000/298.15 in 1/K; 0 at 25 C.
    """

    element: Tensor
    fraction: Tensor
    phase: Tensor
    fidelity: Tensor
    inverse_temperature: Tensor

    def to(self, device: torch.device | str) -> CompositionBatch:
        """Return the batch on a device."""
        return CompositionBatch(*(t.to(device, non_blocking=True) for t in self))

    def take(self, rows: Tensor) -> CompositionBatch:
        """Return the chosen graphs ([K] int64 row numbers), trimmed to their widest."""
        element = self.element[rows]
        width = int((element > 0).sum(dim=1).amax()) if len(rows) else 1
        return CompositionBatch(
            element[:, :width],
            self.fraction[rows, :width],
            self.phase[rows],
            self.fidelity[rows],
            self.inverse_temperature[rows],
        )


@dataclass(frozen=True)
class CompositionFeaturizer:
    """Turn compositions and conditions into a CompositionBatch; states its own dimensions.

    Attributes:
        descriptor_dimension: D, element descriptors a node has (see featurize.elements).
        phases: number of phases.
        fidelities: number of fidelities.
        elements: rows of the element table, atomic number 0 included.
    """

    descriptor_dimension: int = element_descriptors().dimension
    phases: int = len(PHASES)
    fidelities: int = len(FIDELITIES)
    elements: int = MAX_ATOMIC_NUMBER + 1

    def __call__(
        self,
        compositions: Compositions,
        phase: NDArray[np.integer] | int = 0,
        fidelity: NDArray[np.integer] | int = 0,
        temperature_c: NDArray[np.floating] | float = ROOM_TEMPERATURE_C,
    ) -> CompositionBatch:
        """Featurize N compositions at once.

        Args:
            compositions: N compositions.
            phase: [N] or one index into columns.PHASES.
            fidelity: [N] or one index into columns.FIDELITIES.
            temperature_c: [N] or one temperature in degrees Celsius, above -273.15.

        Raises:
            ValueError: a code is out of range or a temperature at or below absolute zero.
        """
        n = len(compositions)
        phase = _codes(phase, n, self.phases, "phase")
        fidelity = _codes(fidelity, n, self.fidelities, "fidelity")
        kelvin = np.broadcast_to(np.asarray(temperature_c, dtype=np.float64) + _KELVIN, (n,))
        if not (kelvin > 0).all():
            raise ValueError("a temperature is at or below absolute zero; give degrees Celsius")
        inverse = 1000.0 / kelvin - 1000.0 / (ROOM_TEMPERATURE_C + _KELVIN)
        return CompositionBatch(
            torch.from_numpy(compositions.atomic_numbers.astype(np.int64)),
            torch.from_numpy(compositions.fractions().astype(np.float32)),
            torch.from_numpy(phase),
            torch.from_numpy(fidelity),
            torch.from_numpy(inverse.astype(np.float32)),
        )


def edge_index(element: Tensor) -> tuple[Tensor, Tensor]:
    """Return the complete graphs of a batch as an edge list, for sparse torch-geometric layers.

    Args:
        element: [B, M] atomic numbers, 0 where padded.

    Returns:
        edges: [2, E] int64 (source, target) over the nodes of all graphs, self-loops included.
        node: [V] int64, position of each node in the flattened [B * M] batch.
    """
    present = element > 0
    node = present.flatten().nonzero().squeeze(1)
    number = torch.full(present.shape, -1, dtype=torch.int64, device=element.device)
    number[present] = torch.arange(len(node), device=element.device)
    source = number[:, None, :].expand(-1, element.shape[1], -1)
    target = number[:, :, None].expand(-1, -1, element.shape[1])
    both = (source >= 0) & (target >= 0)
    return torch.stack([source[both], target[both]]), node


def to_torch_geometric(batch: CompositionBatch) -> Batch:
    """Return the batch as a torch-geometric Batch: x [V, D] descriptors, element, fraction, edge_index."""
    edges, node = edge_index(batch.element)
    element = batch.element.flatten()[node]
    graph = node // batch.element.shape[1]
    data = Data(
        x=torch.from_numpy(element_descriptors().values.copy())[element],
        element=element,
        fraction=batch.fraction.flatten()[node],
        edge_index=edges,
        phase=batch.phase,
        fidelity=batch.fidelity,
        inverse_temperature=batch.inverse_temperature,
    )
    counts = torch.bincount(graph, minlength=len(batch.element))
    out = Batch(batch=graph, ptr=torch.cat([counts.new_zeros(1), counts.cumsum(0)]))
    for key, value in data:
        out[key] = value
    return out


def _codes(codes: NDArray[np.integer] | int, n: int, limit: int, what: str) -> NDArray[np.int64]:
    full = np.broadcast_to(np.asarray(codes, dtype=np.int64), (n,)).copy()
    if n and (full.min() < 0 or full.max() >= limit):
        raise ValueError(f"{what} codes must lie in 0..{limit - 1}, got {full.min()}..{full.max()}")
    return full
