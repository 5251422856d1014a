"""The best N of a stream, kept exactly, in memory for a few times N."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from softlyte.screening.candidates import Candidates


def rank_order(score: NDArray[np.float64], place: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the order from best to worst: score descending, NaN last, ties by place ascending, [N]."""
    order: NDArray[np.int64] = np.lexsort((place, -np.where(np.isnan(score), -np.inf, score)))
    return order


class TopRows:
    """Keeps the `size` best of all candidates offered.

    The result is that of sorting everything at once by `rank_order`, whatever the pieces.
    """

    def __init__(self, size: int) -> None:
        if size < 1:
            raise ValueError(f"{size} rows cannot be kept; keep at least one")
        self._size = size
        self._parts: list[tuple[NDArray[np.float64], Candidates]] = []
        self._held = 0
        self._floor = -np.inf
        self.left_behind = -np.inf
        """Highest score that was not kept; -inf if all were."""

    def offer(self, score: NDArray[np.float64], candidates: Candidates) -> None:
        """Take in candidates with their scores, [N]."""
        # Strictly below the worst of a full set nothing can enter; equal scores may win by place.
        possible = ~(score < self._floor)
        self._leave(score[~possible])
        self._parts.append((score[possible], candidates.take(possible)))
        self._held += int(possible.sum())
        if self._held > 4 * self._size:
            self._shrink()

    def best(self) -> tuple[NDArray[np.float64], Candidates]:
        """Return scores and candidates from best to worst, at most `size`; raises ValueError if none came."""
        self._shrink()
        return self._parts[0]

    def _shrink(self) -> None:
        if not self._parts:
            raise ValueError("no candidate was offered; offer at least one batch, even an empty one")
        score = np.concatenate([s for s, _ in self._parts])
        candidates = Candidates.concatenate([c for _, c in self._parts])
        order = rank_order(score, candidates.place)
        chosen = order[: self._size]
        self._leave(score[order[self._size :]])
        self._parts = [(score[chosen], candidates.take(chosen))]
        self._held = len(chosen)
        if self._held == self._size and not np.isnan(self._parts[0][0][-1]):
            self._floor = float(self._parts[0][0][-1])

    def _leave(self, score: NDArray[np.float64]) -> None:
        """Remember the best of those that were not kept."""
        known = score[~np.isnan(score)]
        self.left_behind = max(self.left_behind, float(known.max(initial=-np.inf)))
