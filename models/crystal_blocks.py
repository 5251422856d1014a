"""Layers that both crystal networks are put together from: bases, the input and the readout."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch_geometric.utils import scatter, softmax

from softlyte.featurize.crystal_batch import CrystalBatch
from softlyte.featurize.elements import element_descriptors
from softlyte.models.blocks import ResidualMLP

_ENVELOPE_POWER = 6
_TYPICAL_VOLUME_ANGSTROM3 = 18.0  # of an atom; only centres a logarithm


def envelope(distance: Tensor, cutoff: float) -> Tensor:
    """Return a polynomial from 1 at distance 0 to 0 at the cutoff, smooth there to the second derivative.

    Gasteiger et al., ICLR 2020, arXiv 2003.03123, equation 8 (as a factor, without the 1/d).

    Shapes:
        distance [E] in the unit of the cutoff -> [E]
    """
    x, p = (distance / cutoff).clamp(max=1.0), _ENVELOPE_POWER
    return 1.0 - (p + 1) * (p + 2) / 2 * x**p + p * (p + 2) * x ** (p + 1) - p * (p + 1) / 2 * x ** (p + 2)


class RadialBasis(nn.Module):
    """Spherical Bessel functions sin(n pi d / c) / d, n = 1..count, times the envelope and of order 1.

    Gasteiger et al., ICLR 2020, arXiv 2003.03123.

    Shapes:
        distance [E] in Å -> [E, count]
    """

    frequencies: Tensor

    def __init__(self, count: int, cutoff: float) -> None:
        super().__init__()
        self.cutoff = cutoff
        self.register_buffer("frequencies", math.pi / cutoff * torch.arange(1, count + 1))

    def forward(self, distance: Tensor) -> Tensor:
        """Return the functions at each distance."""
        waves = torch.sin(distance[:, None] * self.frequencies) / distance[:, None]
        return math.sqrt(2.0 * self.cutoff) * waves * envelope(distance, self.cutoff)[:, None]


class AngularBasis(nn.Module):
    """cos(n theta), n = 0..count - 1, from cos(theta): Chebyshev polynomials.

    Shapes:
        cosine [A] -> [A, count]
    """

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count

    def forward(self, cosine: Tensor) -> Tensor:
        """Return the polynomials at each cosine."""
        terms = [torch.ones_like(cosine), cosine]
        while len(terms) < self.count:
            terms.append(2.0 * cosine * terms[-1] - terms[-2])
        return torch.stack(terms[: self.count], dim=-1)


class SiteEmbedding(nn.Module):
    """Vectors of sites: averages over the species of a site, weighted with their occupancies.

    An element brings its descriptors and a learned vector, which is hidden at a rate in training, so that the
    descriptors alone must serve for rare elements. How much of the site is occupied shows in the weight of
    its messages and in the pooling, not here: one place written as two half-filled sites is the same crystal.

    Shapes:
        batch with S species on V sites -> [V, width]
    """

    descriptors: Tensor

    def __init__(self, width: int, elements: int, dropout: float) -> None:
        super().__init__()
        described = element_descriptors()
        # Stored with the weights: a later pymatgen cannot change a prediction.
        self.register_buffer("descriptors", torch.from_numpy(described.values.copy()))
        self.embedding = nn.Embedding(elements, width, padding_idx=0)
        nn.init.normal_(self.embedding.weight, std=0.1)
        self.projection = nn.Linear(described.dimension, width)
        self.dropout = dropout

    def forward(self, batch: CrystalBatch) -> Tensor:
        """Return the vector of each site."""
        embedded = self.embedding(batch.element)
        if self.training and self.dropout:
            keep = torch.rand_like(batch.occupancy) >= self.dropout
            embedded = embedded * keep[:, None]
        species = self.projection(self.descriptors[batch.element]) + embedded
        occupied = batch.site_occupancy()
        share = batch.occupancy / occupied[batch.species_site]
        return scatter(species * share[:, None], batch.species_site, dim_size=len(occupied))


class CrystalReadout(nn.Module):
    """One vector of each crystal from its sites, the volume of an atom and the fidelity.

    Mean and gated mean over the atoms (occupied sites), so that a supercell gives the same as its cell.

    Shapes:
        x [V, W], batch, volume [B] in Å3 -> [B, 2W]
    """

    def __init__(
        self, width: int, heads: int, condition_width: int, fidelities: int, layers: int, dropout: float
    ) -> None:
        super().__init__()
        self.heads = heads
        self.site_norm = nn.LayerNorm(width)
        self.gate = nn.Linear(width, heads)
        self.fidelity_embedding = nn.Embedding(fidelities, condition_width)
        self.enter = nn.Linear(2 * width + 1 + condition_width, 2 * width)
        self.trunk = nn.Sequential(
            *(ResidualMLP(2 * width, dropout) for _ in range(layers)), nn.LayerNorm(2 * width), nn.SiLU()
        )

    def forward(self, x: Tensor, batch: CrystalBatch, volume: Tensor) -> Tensor:
        """Return the vector of each crystal."""
        x, crystals = self.site_norm(x), len(batch.volume)
        occupied = batch.site_occupancy()
        atoms = scatter(occupied, batch.site_crystal, dim_size=crystals)
        share = occupied / atoms[batch.site_crystal]
        mean = scatter(x * share[:, None], batch.site_crystal, dim_size=crystals)
        weight = softmax(self.gate(x) + share.log()[:, None], batch.site_crystal, num_nodes=crystals)
        per_head = x.unflatten(-1, (self.heads, -1)) * weight[..., None]
        gated = scatter(per_head.flatten(start_dim=1), batch.site_crystal, dim_size=crystals)
        per_atom = (volume / atoms / _TYPICAL_VOLUME_ANGSTROM3).log()[:, None]
        fidelity = self.fidelity_embedding(batch.fidelity)
        return self.trunk(self.enter(torch.cat([mean, gated, per_atom, fidelity], dim=-1)))
