"""Crystal graphs as tensors: one batch for a network, and a store of many that gives batches."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from softlyte.datasets.writing import write_bytes
from softlyte.featurize.crystals import ALTERNATIVES_ANGSTROM, CrystalError


class CrystalBatch(NamedTuple):
    """B crystal graphs: V sites, S species on them, E directed edges, A angles.

    An edge leads from a neighbour (source) to a site (target). An angle is an edge of the line graph: it
    leads from one edge to another with the same target, once in each direction.

    Attributes:
        element: [S] int64 atomic numbers.
        occupancy: [S] float32 share of the site that the element occupies, 0..1.
        species_site: [S] int64, site of each species, ascending.
        site_crystal: [V] int64, crystal of each site, ascending (torch-geometric's `batch`).
        edge_index: [2, E] int64 source and target site; targets ascend, each target's edges by distance.
        displacement: [E, 3] float32, Å, from the target to the image of the source that is its neighbour.
        angle_index: [2, A] int64, source and target edge.
        volume: [B] float32, volume of the cell in Å3.
        fidelity: [B] int64, index into columns.FIDELITIES.
    """

    element: Tensor
    occupancy: Tensor
    species_site: Tensor
    site_crystal: Tensor
    edge_index: Tensor
    displacement: Tensor
    angle_index: Tensor
    volume: Tensor
    fidelity: Tensor

    def to(self, device: torch.device | str) -> CrystalBatch:
        """Return the batch on a device."""
        return CrystalBatch(*(t.to(device, non_blocking=True) for t in self))

    def site_occupancy(self) -> Tensor:
        """Return the occupied share of each site, [V] float32."""
        return self.occupancy.new_zeros(len(self.site_crystal)).index_add(
            0, self.species_site, self.occupancy
        )

    def distances(self) -> Tensor:
        """Return the length of each edge, [E] float32 in Å."""
        return self.displacement.norm(dim=1)

    def cosines(self) -> Tensor:
        """Return the cosine of each angle, [A] float32."""
        unit = self.displacement / self.distances()[:, None]
        source, target = self.angle_index
        return (unit[source] * unit[target]).sum(dim=1).clamp(-1.0, 1.0)


@dataclass(frozen=True)
class CrystalGraphs:
    """N crystal graphs packed one after the other, on disk or in memory; `take` gives batches.

    Site and edge numbers count within a crystal, so that any crystals can be put together. Angles are not
    kept: they are all pairs among the nearest edges of a site.

    Attributes:
        element: [S] uint8 atomic numbers.
        occupancy: [S] float32.
        species_count: [V] int16, species on each site.
        site_count: [N] int32, sites of each crystal.
        edge_count: [V] int16, edges into each site.
        angle_edges: [V] int16, how many of these, the nearest, form angles with one another.
        source: [E] int32, neighbouring site within the crystal.
        displacement: [E, 3] float32, Å.
        volume: [N] float32, Å3.
        fidelity: [N] uint8, index into columns.FIDELITIES.
    """

    element: Tensor
    occupancy: Tensor
    species_count: Tensor
    site_count: Tensor
    edge_count: Tensor
    angle_edges: Tensor
    source: Tensor
    displacement: Tensor
    volume: Tensor
    fidelity: Tensor

    def __post_init__(self) -> None:
        # Where the sites of each crystal, and the species and edges of each site, begin.
        object.__setattr__(self, "_first_site", _starts(self.site_count))
        object.__setattr__(self, "_first_species", _starts(self.species_count))
        object.__setattr__(self, "_first_edge", _starts(self.edge_count))

    def __len__(self) -> int:
        return len(self.site_count)

    def edges_of_crystals(self) -> Tensor:
        """Return the number of edges of each crystal, [N] int64: what its share of a batch costs."""
        first_edge, first_site = self._starts_of("edge"), self._starts_of("site")
        return first_edge[first_site[1:]] - first_edge[first_site[:-1]]

    def select(self, rows: Tensor) -> CrystalGraphs:
        """Return the chosen crystals ([K] int64 row numbers), packed."""
        site = _ranges(self._starts_of("site")[rows], self.site_count[rows].long())
        species = _ranges(self._starts_of("species")[site], self.species_count[site].long())
        edge = _ranges(self._starts_of("edge")[site], self.edge_count[site].long())
        return CrystalGraphs(
            self.element[species],
            self.occupancy[species],
            self.species_count[site],
            self.site_count[rows],
            self.edge_count[site],
            self.angle_edges[site],
            self.source[edge],
            self.displacement[edge],
            self.volume[rows],
            self.fidelity[rows],
        )

    def take(self, rows: Tensor) -> CrystalBatch:
        """Return the chosen crystals ([K] int64 row numbers) as one batch."""
        return self.select(rows).everything()

    def everything(self) -> CrystalBatch:
        """Return all crystals as one batch."""
        site_count, edge_count = self.site_count.long(), self.edge_count.long()
        crystal = torch.arange(len(self)).repeat_interleave(site_count)
        target = torch.arange(len(crystal)).repeat_interleave(edge_count)
        # Sites are numbered within their crystal here, over the whole batch there.
        begins = self._starts_of("site")[:-1][crystal[target]]
        return CrystalBatch(
            self.element.long(),
            self.occupancy,
            torch.arange(len(crystal)).repeat_interleave(self.species_count.long()),
            crystal,
            torch.stack([self.source.long() + begins, target]),
            self.displacement,
            _angles(edge_count, self.angle_edges.long(), self.displacement),
            self.volume,
            self.fidelity.long(),
        )

    @classmethod
    def concatenate(cls, parts: list[CrystalGraphs]) -> CrystalGraphs:
        """Join packed graphs one after the other; there must be at least one part."""
        return cls(**{f.name: torch.cat([getattr(part, f.name) for part in parts]) for f in fields(cls)})

    def save(self, path: Path) -> None:
        """Write a safetensors file, whole or not at all."""
        write_bytes(path, save({f.name: getattr(self, f.name).contiguous() for f in fields(self)}))

    @classmethod
    def load(cls, path: Path) -> CrystalGraphs:
        """Read what `save` wrote; raises CrystalError if the file is missing, damaged or something else."""
        try:
            tensors = load_file(path)
            return cls(**tensors)
        except (OSError, SafetensorError, TypeError) as error:
            raise CrystalError(
                f"{path} holds no crystal graphs ({error}); delete it and build it again"
            ) from error

    def _starts_of(self, what: str) -> Tensor:
        starts: Tensor = getattr(self, f"_first_{what}")
        return starts


def _starts(count: Tensor) -> Tensor:
    """Return where each group starts and, last, where all end, [len(count) + 1] int64."""
    return torch.cat([torch.zeros(1, dtype=torch.int64), count.long().cumsum(0)])


def _ranges(start: Tensor, count: Tensor) -> Tensor:
    """Return start[0], start[0] + 1, ..., count[0] numbers of them, then those of the next group."""
    before = count.cumsum(0) - count
    return (start - before).repeat_interleave(count) + torch.arange(int(count.sum()))


def _angles(edge_count: Tensor, angle_edges: Tensor, displacement: Tensor) -> Tensor:
    """Return all ordered pairs among the first `angle_edges` edges of each site, [2, A].

    Args:
        edge_count: [V] edges into each site.
        angle_edges: [V] how many of these form angles.
        displacement: [E, 3] Å.
    """
    first = _starts(edge_count)[:-1]
    partners = angle_edges.repeat_interleave(angle_edges)  # [number of edges that form angles]
    one = _ranges(first, angle_edges)
    target = one.repeat_interleave(partners)
    source = _ranges(first.repeat_interleave(angle_edges), partners)
    # An edge and itself form no angle; neither do two neighbours that are never there together.
    apart = (displacement[source] - displacement[target]).square().sum(dim=1) >= np.square(
        ALTERNATIVES_ANGSTROM
    )
    return torch.stack([source[apart], target[apart]])
