"""The crystal graph neural networks: blocks put together, nothing else."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn

from softlyte.featurize.crystal_batch import CrystalBatch
from softlyte.featurize.crystal_graph import CrystalFeaturizer
from softlyte.models.blocks import TaskHeads
from softlyte.models.crystal_blocks import (
    AngularBasis,
    CrystalReadout,
    RadialBasis,
    SiteEmbedding,
    envelope,
)
from softlyte.models.crystal_layers import (
    ORDERS,
    EdgeUpdate,
    EquivariantMessage,
    EquivariantUpdate,
    GatedConvolution,
    directions,
)
from softlyte.models.crystal_tasks import CRYSTAL_TASKS
from softlyte.models.network import LOG_SCALE_RANGE, NetworkOutput

_OUTPUTS = 2  # mean, log scale
_MANY_NEIGHBOURS = 40  # what sums are scaled by where the cutoff alone limits the neighbours


class GraphConfig(BaseModel):
    """How crystals become graphs, see featurize.crystal_graph.CrystalFeaturizer.

    Attributes:
        cutoff_angstrom: longest edge in Å.
        neighbours: atoms around a site to reach, whole shells; None for all within the cutoff.
        angle_neighbours: the same for the edges that form angles.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    cutoff_angstrom: float = Field(6.0, ge=2.0, le=12.0)
    neighbours: int | None = Field(12, ge=1, le=200)
    angle_neighbours: int = Field(6, ge=0, le=24)

    def featurizer(self) -> CrystalFeaturizer:
        """Return the featurizer with these settings."""
        return CrystalFeaturizer(self.cutoff_angstrom, self.neighbours, self.angle_neighbours)


class CrystalNetworkConfig(BaseModel):
    """Size and kind of a crystal network.

    Attributes:
        architecture: "angles" for an invariant network with messages between bonds that form an angle,
            "tensors" for an equivariant one with vectors and symmetric tensors on the sites.
        width: channels of a site.
        edge_width: channels of an edge ("angles").
        layers: rounds of message passing.
        radial: radial basis functions.
        angular: angular basis functions ("angles").
        order: highest order of the equivariant features, 1 or 2 ("tensors").
        heads: gates of the pooling.
        trunk_layers: residual blocks after pooling.
        head_width: hidden channels of each task's head.
        condition_width: channels of the fidelity embedding.
        dropout: dropout rate.
        element_dropout: rate at which an element's learned vector is hidden in training.
        volume_noise: standard deviation of ln V by which each cell is scaled at random in training: for
            crystals whose cell is a guess.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    architecture: Literal["angles", "tensors"] = "tensors"
    width: int = Field(64, ge=8, le=1024)
    edge_width: int = Field(32, ge=4, le=512)
    layers: int = Field(3, ge=1, le=12)
    radial: int = Field(16, ge=2, le=128)
    angular: int = Field(8, ge=2, le=32)
    order: Literal[1, 2] = 2
    heads: int = Field(4, ge=1, le=16)
    trunk_layers: int = Field(1, ge=0, le=8)
    head_width: int = Field(48, ge=4, le=512)
    condition_width: int = Field(8, ge=1, le=128)
    dropout: float = Field(0.0, ge=0, lt=1)
    element_dropout: float = Field(0.05, ge=0, lt=1)
    volume_noise: float = Field(0.0, ge=0, lt=0.5)

    @model_validator(mode="after")
    def _heads_divide_width(self) -> CrystalNetworkConfig:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} must be a multiple of heads {self.heads}")
        return self


class CrystalNetwork(nn.Module, ABC):
    """Location and scale of each crystal task, from a batch of crystal graphs.

    What does not depend on the architecture: sites, readout and heads. Subclasses pass the messages.

    Args:
        config: size and kind.
        featurizer: that makes the batches.
    """

    def __init__(self, config: CrystalNetworkConfig, featurizer: CrystalFeaturizer) -> None:
        super().__init__()
        self.config, self.cutoff = config, featurizer.cutoff_angstrom
        self.embedding = SiteEmbedding(config.width, featurizer.elements, config.element_dropout)
        self.radial = RadialBasis(config.radial, self.cutoff)
        self.readout = CrystalReadout(
            config.width,
            config.heads,
            config.condition_width,
            featurizer.fidelities,
            config.trunk_layers,
            config.dropout,
        )
        self.heads = TaskHeads(len(CRYSTAL_TASKS), 2 * config.width, config.head_width, _OUTPUTS)

    def forward(self, batch: CrystalBatch) -> NetworkOutput:
        """Return all tasks for a batch, [B, len(CRYSTAL_TASKS)] each; the batch is not changed."""
        displacement, volume = batch.displacement, batch.volume
        if self.training and self.config.volume_noise:
            stretch = (torch.randn_like(volume) * self.config.volume_noise).exp()
            displacement = displacement * stretch[batch.site_crystal[batch.edge_index[1]], None] ** (1 / 3)
            volume = volume * stretch
        x = self.sites(batch, displacement)
        out = self.heads(self.readout(x, batch, volume))
        return NetworkOutput(out[..., 0], out[..., 1].clamp(*LOG_SCALE_RANGE))

    @abstractmethod
    def sites(self, batch: CrystalBatch, displacement: Tensor) -> Tensor:
        """Return a vector of each site, [V, W]; displacement [E, 3] in Å stands for the batch's own."""

    def _edge_weights(self, batch: CrystalBatch, distance: Tensor) -> Tensor:
        """Return how much each edge counts, [E]: is its source there, and how near."""
        return batch.site_occupancy()[batch.edge_index[0]] * envelope(distance, self.cutoff)


class AngleNetwork(CrystalNetwork):
    """Invariant: distances and angles; bonds exchange messages over angles, sites over bonds.

    Own code after the scheme of ALIGNN (Choudhary & DeCost 2021, doi 10.1038/s41524-021-00650-1) with the
    smooth bases of DimeNet (arXiv 2003.03123) and CHGNet's atom-bond-angle order of updates (Deng et al.,
    Nat. Mach. Intell. 5, 1031 (2023), doi 10.1038/s42256-023-00716-3).
    """

    def __init__(self, config: CrystalNetworkConfig, featurizer: CrystalFeaturizer) -> None:
        super().__init__(config, featurizer)
        width, edge_width = config.width, config.edge_width
        around = float(featurizer.neighbours or _MANY_NEIGHBOURS)
        self.edge_enter = nn.Linear(config.radial, edge_width)
        self.angular = AngularBasis(config.angular)
        self.bond_layers = nn.ModuleList(
            GatedConvolution(edge_width, config.angular, featurizer.angle_neighbours, config.dropout)
            for _ in range(config.layers)
        )
        self.site_layers = nn.ModuleList(
            GatedConvolution(width, edge_width, around, config.dropout) for _ in range(config.layers)
        )
        self.edge_layers = nn.ModuleList(EdgeUpdate(width, edge_width) for _ in range(config.layers))

    def sites(self, batch: CrystalBatch, displacement: Tensor) -> Tensor:
        """Return a vector of each site."""
        distance = displacement.norm(dim=1)
        weight = self._edge_weights(batch, distance)
        # Angles do not change when a cell is stretched evenly.
        angular = self.angular(batch.cosines())
        angle_weight = weight[batch.angle_index[0]]
        x, edge = self.embedding(batch), self.edge_enter(self.radial(distance))
        for bonds, sites, ends in zip(self.bond_layers, self.site_layers, self.edge_layers, strict=True):
            edge = ends(edge, x, batch.edge_index)
            edge = bonds(edge, batch.angle_index, angular, angle_weight)
            x = sites(x, batch.edge_index, edge, weight)
        return x


class TensorNetwork(CrystalNetwork):
    """Equivariant: sites carry scalars, vectors and symmetric tensors that turn with the crystal.

    Own code after PaiNN (Schütt et al., ICML 2021, arXiv 2102.03150), extended to order 2. Angles are not
    needed: the lengths of sums over neighbours hold them.
    """

    def __init__(self, config: CrystalNetworkConfig, featurizer: CrystalFeaturizer) -> None:
        super().__init__(config, featurizer)
        self.orders = tuple(range(1, config.order + 1))
        around = float(featurizer.neighbours or _MANY_NEIGHBOURS)
        self.messages = nn.ModuleList(
            EquivariantMessage(config.width, config.radial, self.orders, around) for _ in range(config.layers)
        )
        self.updates = nn.ModuleList(
            EquivariantUpdate(config.width, self.orders, config.dropout) for _ in range(config.layers)
        )

    def sites(self, batch: CrystalBatch, displacement: Tensor) -> Tensor:
        """Return a vector of each site."""
        return self.features(batch, displacement)[0]

    def features(self, batch: CrystalBatch, displacement: Tensor) -> tuple[Tensor, Tensor]:
        """Return scalars [V, W] and components [V, C, W] of each site; these turn with the crystal."""
        distance = displacement.norm(dim=1)
        radial = self.radial(distance)
        weight = batch.site_occupancy()[batch.edge_index[0]]
        harmonics = torch.cat([directions(displacement, order) for order in self.orders], dim=1)
        scalar = self.embedding(batch)
        components = sum(ORDERS[order] for order in self.orders)
        tensor = scalar.new_zeros(len(scalar), components, self.config.width)
        for message, update in zip(self.messages, self.updates, strict=True):
            more, turned = message(scalar, tensor, batch.edge_index, radial, harmonics, weight)
            scalar, tensor = update(scalar + more, tensor + turned)
        return scalar, tensor


def crystal_network(config: CrystalNetworkConfig, graph: GraphConfig) -> CrystalNetwork:
    """Return an untrained network of the configured architecture."""
    kind = {"angles": AngleNetwork, "tensors": TensorNetwork}[config.architecture]
    return kind(config, graph.featurizer())
