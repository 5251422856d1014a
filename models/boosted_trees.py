"""Boosted regression trees as plain arrays: stored as tensors, evaluated in numpy for many rows at once.

Gradient boosting (Friedman, Ann. Stat. 29, 1189 (2001), doi 10.1214/aos/1013203451) is fitted elsewhere; what
is shipped is a table of splits, so nothing has to be unpickled.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_BLOCK = 2**20  # places in trees walked through at once


@dataclass(frozen=True)
class BoostedTrees:
    """The sum of T regression trees of at most M nodes and a constant.

    A leaf is its own child, so every row may take `depth` steps in every tree. A row goes left where its
    feature is at most the threshold; a missing feature (NaN) goes where `missing_left` says.

    Attributes:
        feature: [T, M] column that a node asks about; 0 in leaves.
        threshold: [T, M].
        missing_left: [T, M] bool.
        left, right: [T, M] child nodes.
        value: [T, M] what a leaf adds; 0 elsewhere.
        constant: the sum's beginning.
        depth: steps from the root to the deepest leaf.
    """

    feature: NDArray[np.int16]
    threshold: Array
    missing_left: NDArray[np.bool_]
    left: NDArray[np.int16]
    right: NDArray[np.int16]
    value: Array
    constant: float
    depth: int

    def __call__(self, features: Array) -> Array:
        """Return the sum for each row of [N, F] features, [N]."""
        rows, trees = len(features), len(self.feature)
        out = np.full(rows, self.constant)
        if not trees:
            return out
        tree = np.arange(trees)
        step = max(1, _BLOCK // trees)
        for start in range(0, rows, step):
            part = features[start : start + step]
            row = np.arange(len(part))[:, None]
            node = np.zeros((len(part), trees), dtype=np.int16)
            for _ in range(self.depth):
                asked = part[row, self.feature[tree, node]]
                # NaN loses the comparison.
                goes_left = (asked <= self.threshold[tree, node]) | (
                    np.isnan(asked) & self.missing_left[tree, node]
                )
                node = np.where(goes_left, self.left[tree, node], self.right[tree, node])
            out[start : start + step] += self.value[tree, node].sum(axis=1)
        return out

    def tensors(self, name: str) -> dict[str, NDArray]:
        """Return the arrays under a name, to be stored."""
        return {
            f"{name}.feature": self.feature,
            f"{name}.threshold": self.threshold,
            f"{name}.missing_left": self.missing_left,
            f"{name}.left": self.left,
            f"{name}.right": self.right,
            f"{name}.value": self.value,
            f"{name}.constant": np.array([self.constant]),
            f"{name}.depth": np.array([self.depth]),
        }

    @classmethod
    def from_tensors(cls, name: str, stored: Mapping[str, NDArray]) -> BoostedTrees:
        """Return what `tensors` stored under a name.

        Raises:
            ValueError: an array is missing, or the arrays make no trees.
        """
        try:
            parts = {key: stored[f"{name}.{key}"] for key in (*_ARRAYS, "constant", "depth")}
        except KeyError as error:
            raise ValueError(f"the trees {name!r} lack the array {error}") from None
        shape = parts["feature"].shape
        if len(shape) != 2 or any(parts[key].shape != shape for key in _ARRAYS):
            raise ValueError(f"the arrays of the trees {name!r} differ in shape")
        for key in ("left", "right"):
            if shape[0] and not ((parts[key] >= 0) & (parts[key] < shape[1])).all():
                raise ValueError(f"the trees {name!r} have children that do not exist")
        arrays = {key: parts[key] for key in _ARRAYS}
        return cls(**arrays, constant=float(parts["constant"][0]), depth=int(parts["depth"][0]))


_ARRAYS = ("feature", "threshold", "missing_left", "left", "right", "value")
