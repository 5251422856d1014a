"""The Pareto front of a stream, kept exactly."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from softlyte.screening.decision import pareto_front
from softlyte.screening.ranking import Places


class FrontRows:
    """Keeps the places of all candidates that no other candidate offered beats.

    The result is `pareto_front` of everything at once, whatever the pieces.

    Args:
        wants_low: [T] True for columns where smaller is better.
    """

    def __init__(self, wants_low: list[bool]) -> None:
        self._wants_low = wants_low
        self._values = np.zeros((0, len(wants_low)))
        self._place = np.zeros(0, dtype=np.int64)

    def offer(self, values: NDArray[np.float64], place: Places) -> None:
        """Take in the columns of candidates, [N, T], and their places, [N]."""
        if not self._wants_low:
            return
        # Whoever is beaten within its own piece is beaten for good: the front is compared with few.
        own = pareto_front(values, self._wants_low)
        values = np.concatenate([self._values, values[own]])
        place = np.concatenate([self._place, place[own]])
        kept = pareto_front(values, self._wants_low)
        self._values, self._place = values[kept], place[kept]

    def places(self) -> Places:
        """Return the places of the front, ascending."""
        return np.sort(self._place)
