"""The composition graph neural network: blocks put together, nothing else."""

from __future__ import annotations

from typing import NamedTuple

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn

from softlyte.featurize.composition import CompositionBatch, CompositionFeaturizer
from softlyte.featurize.elements import element_descriptors
from softlyte.models.blocks import ElementAttention, ResidualMLP, TaskHeads
from softlyte.models.tasks import TASKS

_OUTPUTS = 3  # mean, log scale, slope of the Arrhenius line
LOG_SCALE_RANGE = (-5.0, 2.0)
"""Bounds of the natural logarithm of the predicted Laplace scale, in standardised units."""


class NetworkConfig(BaseModel):
    """Size of a composition network.

    Attributes:
        width: channels of a node.
        layers: rounds of message passing.
        heads: attention heads.
        expansion: width of the feed-forward block over `width`.
        trunk_layers: residual blocks after pooling.
        head_width: hidden channels of each task's head.
        condition_width: channels of the phase and the fidelity embedding.
        dropout: dropout rate.
        element_dropout: rate at which a node's learned embedding is hidden in training, so that the
            descriptors alone must serve for rare elements.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    width: int = Field(96, ge=8, le=1024)
    layers: int = Field(3, ge=1, le=12)
    heads: int = Field(4, ge=1, le=16)
    expansion: int = Field(2, ge=1, le=8)
    trunk_layers: int = Field(2, ge=0, le=8)
    head_width: int = Field(48, ge=4, le=512)
    condition_width: int = Field(16, ge=1, le=128)
    dropout: float = Field(0.0, ge=0.0, lt=1.0)
    element_dropout: float = Field(0.1, ge=0.0, lt=1.0)

    @model_validator(mode="after")
    def _whole_heads(self) -> NetworkConfig:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} must be a multiple of heads {self.heads}")
        return self


class NetworkOutput(NamedTuple):
    """Standardised output of every task.

    Attributes:
        mean: [B, T] location.
        log_scale: [B, T] natural logarithm of the Laplace scale b (standard deviation is sqrt(2) b).
    """

    mean: Tensor
    log_scale: Tensor


class CompositionNetwork(nn.Module):
    """Graph neural network over the elements of a composition, with a head per task.

    Nodes carry element descriptors, a learned embedding and their fraction; rounds of ElementAttention
    pass messages; fraction-weighted pooling and descriptor statistics feed a trunk that also sees phase
    and fidelity; each task has a heteroscedastic head. `encode` does not depend on the conditions, so
    that both phases of a composition share it.
    """

    arrhenius: Tensor
    descriptors: Tensor

    def __init__(self, config: NetworkConfig, featurizer: CompositionFeaturizer | None = None) -> None:
        super().__init__()
        featurizer = featurizer or CompositionFeaturizer()
        self.config = config
        width, described = config.width, featurizer.descriptor_dimension
        # The descriptors are stored with the weights: a later pymatgen cannot change a prediction.
        self.register_buffer("descriptors", torch.from_numpy(element_descriptors().values.copy()))
        self.register_buffer("arrhenius", torch.tensor([task.arrhenius for task in TASKS]))
        self.element_embedding = nn.Embedding(featurizer.elements, width, padding_idx=0)
        nn.init.normal_(self.element_embedding.weight, std=0.1)
        self.element_projection = nn.Linear(described, width)
        self.fraction_projection = nn.Linear(3, width)
        self.layers = nn.ModuleList(
            ElementAttention(width, config.heads, config.expansion, config.dropout)
            for _ in range(config.layers)
        )
        self.node_norm = nn.LayerNorm(width)
        self.pool_gate = nn.Linear(width, config.heads)
        self.statistics = nn.Linear(4 * described, width)
        self.graph_norm = nn.LayerNorm(3 * width)
        self.phase_embedding = nn.Embedding(featurizer.phases, config.condition_width)
        self.fidelity_embedding = nn.Embedding(featurizer.fidelities, config.condition_width)
        self.enter = nn.Linear(3 * width + 2 * config.condition_width, 2 * width)
        self.trunk = nn.Sequential(
            *(ResidualMLP(2 * width, config.dropout) for _ in range(config.trunk_layers)),
            nn.LayerNorm(2 * width),
            nn.SiLU(),
        )
        self.heads = TaskHeads(len(TASKS), 2 * width, config.head_width, _OUTPUTS)

    def encode(self, element: Tensor, fraction: Tensor) -> Tensor:
        """Return a vector for each composition, [B, 3W], from element and fraction [B, M]."""
        described = self.descriptors[element]
        embedded = self.element_embedding(element)
        if self.training and self.config.element_dropout:
            keep = torch.rand_like(fraction) >= self.config.element_dropout
            embedded = embedded * keep[..., None]
        amounts = torch.stack([fraction, fraction.sqrt(), (fraction + 1e-4).log() / 5.0], dim=-1)
        x = self.element_projection(described) + embedded + self.fraction_projection(amounts)
        log_fraction = fraction.log()  # -inf where padded: no attention is paid to padding
        for layer in self.layers:
            assert isinstance(layer, ElementAttention)  # noqa: S101 - what the list holds, for type checkers
            x = layer.forward_dense(x, log_fraction)
        x = self.node_norm(x)
        mean = (x * fraction[..., None]).sum(dim=1)
        gate = (self.pool_gate(x) + log_fraction[..., None]).softmax(dim=1)  # [B, M, heads]
        per_head = x.unflatten(-1, (self.config.heads, -1))
        gated = (per_head * gate[..., None]).sum(dim=1).flatten(start_dim=1)
        return self.graph_norm(
            torch.cat([mean, gated, self.statistics(descriptor_statistics(described, fraction))], dim=-1)
        )

    def decode(
        self,
        graph: Tensor,
        phase: Tensor,
        fidelity: Tensor,
        inverse_temperature: Tensor,
        tasks: Tensor | None = None,
    ) -> NetworkOutput:
        """Return the tasks (None: all) for encoded compositions [B, 3W] under conditions [B]."""
        conditions = torch.cat([self.phase_embedding(phase), self.fidelity_embedding(fidelity)], dim=-1)
        out = self.heads(self.trunk(self.enter(torch.cat([graph, conditions], dim=-1))), tasks)
        # A positive slope: conductivity rises with temperature.
        slope = nn.functional.softplus(out[..., 2]) * (
            self.arrhenius if tasks is None else self.arrhenius[tasks]
        )
        mean = out[..., 0] - slope * inverse_temperature[:, None]
        return NetworkOutput(mean, out[..., 1].clamp(*LOG_SCALE_RANGE))

    def forward(self, batch: CompositionBatch) -> NetworkOutput:
        """Return all tasks for a batch; the batch is not changed."""
        graph = self.encode(batch.element, batch.fraction)
        return self.decode(graph, batch.phase, batch.fidelity, batch.inverse_temperature)


def descriptor_statistics(described: Tensor, fraction: Tensor) -> Tensor:
    """Return weighted mean, weighted deviation, minimum and maximum of the descriptors, [B, 4D].

    After Ward et al., npj Comput. Mater. 2, 16028 (2016), doi 10.1038/npjcompumats.2016.28.
    """
    weight = fraction[..., None]
    present = weight > 0
    mean = (described * weight).sum(dim=1)
    deviation = ((described - mean[:, None]).abs() * weight).sum(dim=1)
    low = described.masked_fill(~present, torch.inf).amin(dim=1)
    high = described.masked_fill(~present, -torch.inf).amax(dim=1)
    return torch.cat([mean, deviation, low, high], dim=-1)
