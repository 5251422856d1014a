"""Trees that have learned when to believe the hull of known phases: windows and stability of unknown ones.

Fitted on Li and Na compounds that were taken for unknown, once with all phases of their chemical system, once
alone (`python -m benchmarks.stability_calibration --write`). They correct the hull's limits, say how far to
trust them, and give the probability of lying near the hull. What is shipped is a table of splits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open
from scipy.special import expit, ndtri

from softlyte.models.boosted_trees import BoostedTrees
from softlyte.models.predictions import PropertyPrediction
from softlyte.screening.hull_evidence import (
    HULL_FEATURES,
    LEVERAGE,
    WIDTH_GROUPS,
    WindowHeads,
    reaction_error_v,
    width_group,
)

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Rows = NDArray[np.int64]

TREES_FILE = Path(__file__).parent / "calibration" / "hull_trees.safetensors"

_PARTS = ("reduction", "oxidation", "reduction_error", "oxidation_error", "near", "distance")
_LEAST_SD_V = 0.01
_P_RANGE = (0.01, 0.99)
"""Probabilities are not told apart beyond: the trees have seen some thousand phases."""


@dataclass(frozen=True)
class HullTrees:
    """What the trees say, from HULL_FEATURES; the last two from the composition's statistics too.

    Attributes:
        limits: reduction and oxidation limit minus the hull's, V.
        errors: log of the half width of their 90% intervals in V, before `width`.
        width: [2, WIDTH_GROUPS] factor on these half widths, by limit and `hull_evidence.width_group`.
        near: log odds of lying at most `near_ev_atom` above the hull.
        distance: log of the typical distance from `near_ev_atom` above the hull, eV/atom, before `spread`.
        spread: factor on that distance that makes it a standard deviation.
        near_ev_atom: eV/atom.
    """

    limits: tuple[BoostedTrees, BoostedTrees]
    errors: tuple[BoostedTrees, BoostedTrees]
    width: Array
    near: BoostedTrees
    distance: BoostedTrees
    spread: float
    near_ev_atom: float

    def windows(
        self,
        features: Array,
        hull_v: tuple[Array, Array],
        before: WindowHeads,
        heads: WindowHeads,
        chosen: Mask,
    ) -> WindowHeads:
        """Return reduction and oxidation limit with the chosen rows corrected, [E, N] each.

        Members stand as the heads have them: what one says together with other properties stays together.

        Args:
            features: [N, F].
            hull_v: [N] the hull's limits.
            before: limits of the rows that are not chosen, [E, N] V each.
            heads: [E, N] V each.
            chosen: [N] rows of which hull and heads have spoken.
        """
        rows = np.flatnonzero(chosen)
        found = [np.maximum(hull_v[side][rows] + self.limits[side](features[rows]), 0.0) for side in range(2)]
        found[0] = np.minimum(*found)
        out = []
        for side in range(2):
            half = self.half_width(side, features[rows])
            # The error of DFT itself: a predicted phase is never surer than a known one.
            least = np.maximum(reaction_error_v(features[rows, LEVERAGE[side]]), _LEAST_SD_V)
            sd = np.maximum(half / _Z90, least)
            out.append(_put(before[side], rows, _moved(heads[side].take(rows), found[side], sd)))
        return out[0], out[1]

    def half_width(self, side: int, features: Array) -> Array:
        """Return half the 90% interval of a limit in V against DFT's own window, [n]; features as above."""
        factor = self.width[side, width_group(features)]
        return np.asarray(factor * np.exp(self.errors[side](features)))

    def above_hull(
        self, features: Array, described: Array, prediction: PropertyPrediction, chosen: Mask
    ) -> PropertyPrediction:
        """Return the energy above the hull with the chosen rows judged by the trees, [E, N] eV/atom.

        The mean is where a normal distribution of the trees' spread has their probability below
        `near_ev_atom`.

        Args:
            features: [N, F].
            described: [N, F + 4D] the same with the composition's statistics.
            prediction: before the trees, [E, N] eV/atom.
            chosen: [N] rows of which hull and heads have spoken.
        """
        rows = np.flatnonzero(chosen)
        p = np.clip(expit(self.near(described[rows])), *_P_RANGE)
        sd = self.spread * np.exp(self.distance(features[rows]))
        return _put(prediction, rows, _moved(prediction.take(rows), self.near_ev_atom - sd * ndtri(p), sd))

    def tensors(self) -> dict[str, NDArray]:
        """Return everything as arrays, to be stored."""
        parts = (*self.limits, *self.errors, self.near, self.distance)
        out = {
            key: array
            for name, trees in zip(_PARTS, parts, strict=True)
            for key, array in trees.tensors(name).items()
        }
        return out | {"width": self.width, "scale": np.array([self.spread, self.near_ev_atom])}

    @classmethod
    def from_tensors(cls, stored: Mapping[str, NDArray]) -> HullTrees:
        """Return what `tensors` stored.

        Raises:
            ValueError: an array is missing or does not fit.
        """
        low, high, low_error, high_error, near, distance = (
            BoostedTrees.from_tensors(name, stored) for name in _PARTS
        )
        for key, shape in (("width", (2, WIDTH_GROUPS)), ("scale", (2,))):
            if key not in stored or stored[key].shape != shape:
                raise ValueError(f"the trees lack the array {key!r} of shape {shape}")
        spread, limit = (float(value) for value in stored["scale"])
        return cls((low, high), (low_error, high_error), stored["width"], near, distance, spread, limit)


_Z90 = float(ndtri(0.95))


def _moved(prediction: PropertyPrediction, mean: Array, sd: Array) -> PropertyPrediction:
    """Return [E, N] with mean and total standard deviation [N], the members as they stand to each other."""
    wider = prediction.widened(sd / prediction.sd())
    return PropertyPrediction(wider.member_mean + (mean - prediction.mean()), wider.member_sd)


def _put(whole: PropertyPrediction, rows: Rows, part: PropertyPrediction) -> PropertyPrediction:
    """Return [E, N] with some rows replaced."""
    mean, sd = whole.member_mean.copy(), whole.member_sd.copy()
    mean[:, rows], sd[:, rows] = part.member_mean, part.member_sd
    return PropertyPrediction(mean, sd)


@lru_cache(maxsize=1)
def shipped_trees() -> HullTrees:
    """Return the trees that belong to the shipped weights.

    Raises:
        ValueError: they were fitted on other features than these.
    """
    with safe_open(TREES_FILE, framework="numpy") as file:
        if (file.metadata() or {}).get("features") != ",".join(HULL_FEATURES):
            raise ValueError(f"{TREES_FILE.name} was fitted on other features; fit it again")
        return HullTrees.from_tensors({key: file.get_tensor(key) for key in file.keys()})  # noqa: SIM118
