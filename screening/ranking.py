"""The best N of a stream, kept exactly, in memory for a few times N."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float64]
Places = NDArray[np.int64]


def rank_order(score: Scores, place: Places) -> NDArray[np.int64]:
    """Return the order from best to worst: score descending, NaN last, ties by place ascending, [N]."""
    order: NDArray[np.int64] = np.lexsort((place, -np.where(np.isnan(score), -np.inf, score)))
    return order


class TopRows:
    """Keeps the places of the `size` best of all candidates offered.

    The result is that of sorting everything at once by `rank_order`, whatever the pieces.
    """

    def __init__(self, size: int) -> None:
        if size < 1:
            raise ValueError(f"{size} rows cannot be kept; keep at least one")
        self._size = size
        self._parts: list[tuple[Scores, Places]] = []
        self._held = 0
        self.floor = -np.inf
        """Score below which nothing can enter any more; -inf while there is room."""
        self.left_behind = -np.inf
        """Highest score that was not kept; -inf if all were."""

    def offer(self, score: Scores, place: Places) -> None:
        """Take in scores of candidates and their places, [N] each."""
        # Strictly below the worst of a full set nothing can enter; equal scores may win by place.
        possible = ~(score < self.floor)
        self._leave(score[~possible])
        self._parts.append((score[possible], place[possible]))
        self._held += int(possible.sum())
        if self._held > 4 * self._size:
            self._shrink()

    def best(self) -> tuple[Scores, Places]:
        """Return scores and places from best to worst, at most `size`; both empty if none came."""
        self._shrink()
        return self._parts[0]

    def last(self) -> float:
        """Return the score of the last of the best; -inf while there are fewer than `size`."""
        score, _ = self.best()
        return float(score[-1]) if len(score) == self._size else -np.inf

    def _shrink(self) -> None:
        score = np.concatenate([np.zeros(0), *(s for s, _ in self._parts)])
        place = np.concatenate([np.zeros(0, np.int64), *(p for _, p in self._parts)])
        order = rank_order(score, place)
        chosen = order[: self._size]
        self._leave(score[order[self._size :]])
        self._parts = [(score[chosen], place[chosen])]
        self._held = len(chosen)
        if self._held == self._size and not np.isnan(self._parts[0][0][-1]):
            self.floor = float(self._parts[0][0][-1])

    def _leave(self, score: Scores) -> None:
        """Remember the best of those that were not kept."""
        known = score[~np.isnan(score)]
        self.left_behind = max(self.left_behind, float(known.max(initial=-np.inf)))
