"""Message passing in crystals: with the angles of the line graph, and with equivariant features."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch_geometric.nn import MessagePassing

ORDERS = {1: 3, 2: 5}
"""Components of the features of each order: vectors, and symmetric traceless tensors."""


class GatedConvolution(MessagePassing):
    """Gated messages along edges that carry features, on a crystal graph or on its line graph.

    A message is sigmoid(g) * silu(m) with g and m linear in receiver, sender and edge (after Xie &
    Grossman, Phys. Rev. Lett. 120, 145301 (2018), doi 10.1103/PhysRevLett.120.145301), times the weight of
    the edge. Used on both graphs in turn after Choudhary & DeCost, npj Comput. Mater. 7, 185 (2021), doi
    10.1038/s41524-021-00650-1. Sums are divided by a fixed number of neighbours and added to the receiver.

    Shapes:
        x [V, W], edge_index [2, E], edge [E, We], weight [E] -> [V, W]
    """

    def __init__(self, width: int, edge_width: int, neighbours: float, dropout: float = 0.0) -> None:
        super().__init__(aggr="add", node_dim=0)
        self.norm = nn.LayerNorm(width)
        self.receiver = nn.Linear(width, 2 * width)
        self.sender = nn.Linear(width, 2 * width, bias=False)
        self.edge = nn.Linear(edge_width, 2 * width, bias=False)
        self.output = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        self.dropout = nn.Dropout(dropout)
        self.scale = 1.0 / max(neighbours, 1.0)

    def forward(self, x: Tensor, edge_index: Tensor, edge: Tensor, weight: Tensor) -> Tensor:
        """Pass messages along the edges."""
        normal = self.norm(x)
        # Linear maps are taken at the nodes, of which there are fewer than edges.
        received = self.propagate(
            edge_index,
            receiver=self.receiver(normal),
            sender=self.sender(normal),
            edge=self.edge(edge),
            weight=weight,
            size=None,
        )
        return x + self.dropout(self.output(received * self.scale))

    def message(self, receiver_i: Tensor, sender_j: Tensor, edge: Tensor, weight: Tensor) -> Tensor:
        """Return the gated message of each edge, [E, W]."""
        gate, value = (receiver_i + sender_j + edge).chunk(2, dim=-1)
        return torch.sigmoid(gate) * nn.functional.silu(value) * weight[:, None]


class EdgeUpdate(nn.Module):
    """What an edge learns from the sites at its ends.

    Shapes:
        edge [E, We], x [V, W], edge_index [2, E] -> [E, We]
    """

    def __init__(self, width: int, edge_width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(edge_width)
        self.own = nn.Linear(edge_width, edge_width)
        self.source = nn.Linear(width, edge_width, bias=False)
        self.target = nn.Linear(width, edge_width, bias=False)
        self.output = nn.Linear(edge_width, edge_width)

    def forward(self, edge: Tensor, x: Tensor, edge_index: Tensor) -> Tensor:
        """Return the updated edges."""
        ends = self.source(x)[edge_index[0]] + self.target(x)[edge_index[1]]
        return edge + self.output(nn.functional.silu(self.own(self.norm(edge)) + ends))


def directions(displacement: Tensor, order: int) -> Tensor:
    """Return the real spherical harmonics of each direction, of length 1.

    Args:
        displacement: [E, 3], any length above 0.
        order: 1 for the unit vector, 2 for the symmetric traceless tensor.

    Returns:
        [E, 3] or [E, 5]; order 2 in the sequence xy, yz, 3z2 - r2, xz, x2 - y2.
    """
    unit = nn.functional.normalize(displacement, dim=1)
    if order == 1:
        return unit
    x, y, z = unit.unbind(dim=1)
    root = 3.0**0.5
    return torch.stack(
        [root * x * y, root * y * z, 1.5 * z * z - 0.5, root * x * z, 0.5 * root * (x * x - y * y)], dim=1
    )


class EquivariantMessage(MessagePassing):
    """Messages of scalars and of vectors and tensors that turn with the crystal.

    After PaiNN (Schütt et al., ICML 2021, arXiv 2102.03150), with features of order 2 beside its vectors: at
    a site with inversion symmetry every vector vanishes, a symmetric tensor need not.

    Shapes:
        scalar [V, W], tensor [V, C, W] with C components of all orders together, edge_index [2, E],
        radial [E, R], harmonics [E, C], weight [E] -> scalar and tensor, to be added
    """

    def __init__(self, width: int, radial: int, orders: tuple[int, ...], neighbours: float) -> None:
        super().__init__(aggr="add", node_dim=0)
        self.width, self.orders = width, orders
        parts = 1 + 2 * len(orders)
        self.sender = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, parts * width)
        )
        self.filter = nn.Linear(radial, parts * width, bias=False)
        # Not all messages point the same way: their sum grows with the root of their number.
        self.scale = max(neighbours, 1.0) ** -0.5

    def forward(
        self,
        scalar: Tensor,
        tensor: Tensor,
        edge_index: Tensor,
        radial: Tensor,
        harmonics: Tensor,
        weight: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Return what each site receives."""
        received = self.propagate(
            edge_index,
            sender=self.sender(scalar),
            tensor=tensor,
            radial=radial,
            harmonics=harmonics,
            weight=weight,
            size=None,
        )
        received = received * self.scale
        return received[:, 0], received[:, 1:]

    def message(
        self, sender_j: Tensor, tensor_j: Tensor, radial: Tensor, harmonics: Tensor, weight: Tensor
    ) -> Tensor:
        """Return scalar and components of each edge, [E, 1 + C, W]."""
        parts = (sender_j * self.filter(radial) * weight[:, None]).split(self.width, dim=-1)
        own = parts[1 : 1 + len(self.orders)]
        passed = parts[1 + len(self.orders) :]
        messages, begin = [parts[0][:, None]], 0
        for number, order in enumerate(self.orders):
            end = begin + ORDERS[order]
            messages.append(
                harmonics[:, begin:end, None] * own[number][:, None]
                + tensor_j[:, begin:end] * passed[number][:, None]
            )
            begin = end
        return torch.cat(messages, dim=1)


class EquivariantUpdate(nn.Module):
    """Within a site: scalars learn the lengths and products of the tensors, and scale these in turn.

    Components of one order are mixed over channels only, so everything keeps turning with the crystal.

    Shapes:
        scalar [V, W], tensor [V, C, W] -> the same
    """

    def __init__(self, width: int, orders: tuple[int, ...], dropout: float = 0.0) -> None:
        super().__init__()
        self.width, self.orders = width, orders
        self.mix = nn.ModuleList(nn.Linear(width, 2 * width, bias=False) for _ in orders)
        self.norm = nn.LayerNorm(width)
        self.decide = nn.Sequential(
            nn.Linear((1 + len(orders)) * width, width),
            nn.SiLU(),
            nn.Dropout(dropout),
            nn.Linear(width, (1 + 2 * len(orders)) * width),
        )

    def forward(self, scalar: Tensor, tensor: Tensor) -> tuple[Tensor, Tensor]:
        """Return updated scalars and tensors."""
        left, lengths, products, begin = [], [], [], 0
        for mix, order in zip(self.mix, self.orders, strict=True):
            end = begin + ORDERS[order]
            one, other = mix(tensor[:, begin:end]).chunk(2, dim=-1)
            left.append(one)
            products.append((one * other).sum(dim=1))
            lengths.append((other.square().sum(dim=1) + 1e-6).sqrt())
            begin = end
        parts = self.decide(torch.cat([self.norm(scalar), *lengths], dim=-1)).split(self.width, dim=-1)
        count = len(self.orders)
        for share, product in zip(parts[1 : 1 + count], products, strict=True):
            scalar = scalar + share * product
        scaled = [one * share[:, None] for one, share in zip(left, parts[1 + count :], strict=True)]
        return scalar + parts[0], tensor + torch.cat(scaled, dim=1)
