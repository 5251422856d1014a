"""Cheapest way to serve anion charges from cation charges, for many rows at once.

A mixture of binary precursors is a transportation problem: cation i offers the charge Q_i, anion k takes
the charge B_k, and the flow x_ik >= 0 is the charge exchanged inside the precursor (i, k). A linear
programme has its optimum at a basic solution, and the basic solutions of a transportation problem are the
spanning trees of the bipartite graph of cations and anions (Dantzig, Linear Programming and Extensions,
1963, chapter 14). For the few elements of an electrolyte all of them are tried, in one matrix product.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog

FloatArray = NDArray[np.float64]

MAX_TREES = 5000
"""More spanning trees than this (m^(k-1) k^(m-1)) and rows go through scipy's HiGHS one by one."""

CHUNK_NUMBERS = 4_000_000
"""Numbers held at once while trees are compared."""


def cheapest_flows(costs: FloatArray, supply: FloatArray, demand: FloatArray) -> FloatArray:
    """Return the flows of least total cost, [N, m, k].

    Args:
        costs: [N, m, k] cost of one unit of flow from supplier to taker, finite.
        supply: [N, m] >= 0.
        demand: [N, k] >= 0, each row with the same sum as its supply.

    Exact up to rounding: each row and column of flows adds up to its supply and demand within about
    1e-12 of the total. Where several solutions cost the same, the first spanning tree is taken.
    """
    n, m, k = costs.shape
    flows = np.zeros((n, m, k))
    if n == 0:
        return flows
    if m ** (k - 1) * k ** (m - 1) > MAX_TREES:
        for row in range(n):
            flows[row] = _solve(costs[row], supply[row], demand[row])
        return flows
    edges, solution = _spanning_trees(m, k)
    trees, width = edges.shape
    flat = solution.reshape(trees * width, m + k).T
    step = max(1, CHUNK_NUMBERS // (trees * width))
    for start in range(0, n, step):
        rows = slice(start, start + step)
        b = np.concatenate([supply[rows], demand[rows]], axis=1)
        candidate = (b @ flat).reshape(len(b), trees, width)
        cost = costs[rows].reshape(len(b), m * k)[:, edges]
        total = np.einsum("nte,nte->nt", candidate, cost)
        scale = np.maximum(b.sum(axis=1), 1e-300)
        infeasible = candidate.min(axis=2) < -1e-12 * scale[:, None]
        best = np.where(infeasible, np.inf, total).argmin(axis=1)
        each = np.arange(len(b))
        flows[rows].reshape(len(b), m * k)[each[:, None], edges[best]] = np.maximum(
            candidate[each, best], 0.0
        )
    return flows


@lru_cache(maxsize=32)
def _spanning_trees(m: int, k: int) -> tuple[NDArray[np.int64], FloatArray]:
    """Return the spanning trees of the complete bipartite graph and how they solve the balance.

    Returns edges [T, m+k-1] (index i*k + j of the edge from supplier i to taker j) and solution
    [T, m+k-1, m+k]: flows on the edges = solution @ (supply, demand).
    """
    count = m + k - 1
    incidence = np.zeros((m * k, m + k))
    for i in range(m):
        for j in range(k):
            incidence[i * k + j, [i, m + j]] = 1.0
    trees, solutions = [], []
    for edges in combinations(range(m * k), count):
        if _is_tree(edges, m, k):
            trees.append(edges)
            # The last balance follows from the others; the pseudo-inverse of a tree is exact.
            solutions.append(np.rint(np.linalg.inv(incidence[list(edges)].T[:-1])))
    solution = np.zeros((len(trees), count, m + k))
    solution[:, :, :-1] = np.array(solutions)
    return np.array(trees, dtype=np.int64), solution


def _is_tree(edges: tuple[int, ...], m: int, k: int) -> bool:
    """Tell whether m+k-1 edges connect all nodes (union-find)."""
    parent = list(range(m + k))

    def root(node: int) -> int:
        while parent[node] != node:
            node = parent[node]
        return node

    for edge in edges:
        a, b = root(edge // k), root(m + edge % k)
        if a == b:
            return False
        parent[a] = b
    return True


def _solve(costs: FloatArray, supply: FloatArray, demand: FloatArray) -> FloatArray:
    """Solve one transportation problem with HiGHS, [m, k]."""
    m, k = costs.shape
    balance = np.concatenate([np.repeat(np.eye(m), k, axis=1), np.tile(np.eye(k), m)])
    wanted = np.concatenate([supply, demand])
    # One balance is redundant and would only add rounding.
    found = linprog(costs.ravel(), A_eq=balance[:-1], b_eq=wanted[:-1], method="highs")
    if found.status != 0:
        raise ValueError(f"the transportation problem has no solution: {found.message}")
    # HiGHS is accurate to 1e-7; solving for the flows that it uses restores full precision.
    used = found.x > 1e-9 * wanted.max()
    flows = np.zeros(m * k)
    flows[used] = np.linalg.lstsq(balance[:, used], wanted, rcond=None)[0]
    return np.maximum(flows, 0.0).reshape(m, k)
