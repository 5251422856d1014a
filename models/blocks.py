"""Layers that the networks are put together from."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch_geometric.nn import MessagePassing
from torch_geometric.utils import softmax


class ElementAttention(MessagePassing):
    """Message passing between the elements of a composition, weighted by their fractions.

    Every element attends to all elements of its formula; the attention of element i to j is
    softmax_j(q_i . k_j / sqrt(d) + ln w_j) with w_j the atomic fraction, so that a formula written with
    one element split into two halves gives the same result (after the weighting in Roost, Goodall & Lee,
    Nat. Commun. 11, 6280 (2020), doi 10.1038/s41467-020-19964-7). A pre-norm residual block of attention
    and feed-forward network.

    The layer is a torch-geometric `MessagePassing` and runs on any edge list (`forward`); for batches of
    small complete graphs `forward_dense` computes the same without edges, about twice as fast.

    Shapes:
        forward: x [V, W], edge_index [2, E], fraction [V] -> [V, W]
        forward_dense: x [B, M, W], log_fraction [B, M] (-inf where padded) -> [B, M, W]
    """

    def __init__(self, width: int, heads: int, expansion: int = 2, dropout: float = 0.0) -> None:
        super().__init__(aggr="add", node_dim=0)
        if width % heads:
            raise ValueError(f"width {width} must be a multiple of heads {heads}")
        self.width, self.heads = width, heads
        self.attention_norm = nn.LayerNorm(width)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.output = nn.Linear(width, width)
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, expansion * width),
            nn.SiLU(),
            nn.Dropout(dropout),
            nn.Linear(expansion * width, width),
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, edge_index: Tensor, fraction: Tensor) -> Tensor:
        """Pass messages along an edge list (self-loops belong in it)."""
        query, key, value = self._query_key_value(x)
        message = self.propagate(
            edge_index, query=query, key=key, value=value, log_fraction=fraction.log(), size=None
        )
        x = x + self.dropout(self.output(message.reshape(-1, self.width)))
        return x + self.dropout(self.feed_forward(x))

    def message(
        self,
        query_i: Tensor,
        key_j: Tensor,
        value_j: Tensor,
        log_fraction_j: Tensor,
        index: Tensor,
        size_i: int | None,
    ) -> Tensor:
        """Return the attention-weighted values, [E, heads, W / heads]."""
        logit = (query_i * key_j).sum(dim=-1) / math.sqrt(query_i.shape[-1]) + log_fraction_j[:, None]
        return value_j * softmax(logit, index, num_nodes=size_i)[..., None]

    def forward_dense(self, x: Tensor, log_fraction: Tensor) -> Tensor:
        """Pass messages between all elements of each padded row."""
        # [B, heads, M, W / heads] each; the mask is added to the logits.
        query, key, value = (part.transpose(1, 2) for part in self._query_key_value(x))
        message = nn.functional.scaled_dot_product_attention(
            query, key, value, attn_mask=log_fraction[:, None, None, :]
        )
        x = x + self.dropout(self.output(message.transpose(1, 2).flatten(start_dim=2)))
        return x + self.dropout(self.feed_forward(x))

    def _query_key_value(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        split = self.query_key_value(self.attention_norm(x)).unflatten(-1, (3, self.heads, -1))
        query, key, value = split.unbind(dim=-3)
        return query, key, value


class TaskHeads(nn.Module):
    """One two-layer head per task, all evaluated in one batched product.

    Shapes:
        x [B, W], tasks [S] or None for all -> [B, S, outputs]
    """

    def __init__(self, tasks: int, width: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.first_weight = nn.Parameter(torch.empty(tasks, width, hidden))
        self.first_bias = nn.Parameter(torch.zeros(tasks, 1, hidden))
        self.second_weight = nn.Parameter(torch.empty(tasks, hidden, outputs))
        self.second_bias = nn.Parameter(torch.zeros(tasks, 1, outputs))
        for weight in (self.first_weight, self.second_weight):
            nn.init.uniform_(weight, -1.0 / math.sqrt(weight.shape[1]), 1.0 / math.sqrt(weight.shape[1]))

    def forward(self, x: Tensor, tasks: Tensor | None = None) -> Tensor:
        """Return the outputs of the tasks, in the order asked for."""
        weights = (self.first_weight, self.first_bias, self.second_weight, self.second_bias)
        first_weight, first_bias, second_weight, second_bias = (
            weight if tasks is None else weight[tasks] for weight in weights
        )
        expanded = x.unsqueeze(0).expand(first_weight.shape[0], -1, -1)
        hidden = nn.functional.silu(torch.baddbmm(first_bias, expanded, first_weight))
        return torch.baddbmm(second_bias, hidden, second_weight).transpose(0, 1)


class ResidualMLP(nn.Module):
    """Pre-norm residual feed-forward block.

    Shapes:
        x [B, W] -> [B, W]
    """

    def __init__(self, width: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, width),
            nn.SiLU(),
            nn.Dropout(dropout),
            nn.Linear(width, width),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return x plus its transform."""
        return x + self.layers(x)
