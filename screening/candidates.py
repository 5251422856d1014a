"""Where candidates come from: a space that is enumerated, or rows that a user handed in.

Either way a candidate is a place in a fixed order, so that ties are broken the same way in every run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from softlyte.datasets.columns import PHASES
from softlyte.datasets.formulas import Compositions
from softlyte.screening.enumerate import CandidatePlan
from softlyte.screening.inputs import Inputs

SAMPLE_BLOCK = 10
"""Neighbouring candidates that a sample takes together."""


@dataclass(frozen=True)
class Candidates:
    """N candidates as parallel arrays.

    Attributes:
        place: [N] int64, position in the source's order.
        compositions: N compositions.
        phase: [N] uint8, index into `softlyte.datasets.columns.PHASES`.
    """

    place: NDArray[np.int64]
    compositions: Compositions
    phase: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.place)

    def take(self, rows: NDArray[np.int64] | NDArray[np.bool_] | slice) -> Candidates:
        """Return the chosen rows."""
        return Candidates(self.place[rows], self.compositions[rows], self.phase[rows])

    @classmethod
    def concatenate(cls, parts: list[Candidates]) -> Candidates:
        """Join several, in their order."""
        return cls(
            np.concatenate([p.place for p in parts]),
            Compositions.concatenate([p.compositions for p in parts]),
            np.concatenate([p.phase for p in parts]),
        )


class Source(Protocol):
    """A fixed sequence of candidates that can be read in any piece."""

    def __len__(self) -> int: ...

    def rows(self, start: int, stop: int) -> Candidates:
        """Return candidates start..stop (stop excluded)."""
        ...

    def at(self, place: NDArray[np.int64]) -> Candidates:
        """Return the candidates at N places, as `rows` numbers them in `Candidates.place`."""
        ...

    def named(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return a table of candidates with what is known of them by name, such as `mp_id`."""
        ...


class SpaceSource:
    """The candidates of a space, or an evenly random sample of them.

    Args:
        plan: the planned space.
        limit: take only this many, as blocks of SAMPLE_BLOCK neighbours drawn at random; None takes all.
        seed: of the drawing.
    """

    def __init__(self, plan: CandidatePlan, limit: int | None = None, seed: int = 0) -> None:
        self._plan = plan
        self._count = len(plan) if limit is None else min(limit, len(plan))
        blocks = -(-len(plan) // SAMPLE_BLOCK)
        wanted = -(-self._count // SAMPLE_BLOCK)
        self._blocks: NDArray[np.int64] | None = None
        if self._count < len(plan):
            # The last block may be short, so one block more than needed is drawn.
            drawn = np.random.default_rng(seed).permutation(blocks)[: wanted + 1]
            self._blocks = np.sort(drawn).astype(np.int64)

    def __len__(self) -> int:
        return self._count

    def rows(self, start: int, stop: int) -> Candidates:
        """Return candidates start..stop (stop excluded) of the space or of the sample."""
        row = np.arange(start, min(stop, len(self)))
        if self._blocks is not None:
            # Only the last block of a space may be short, and it is the last of the sample too.
            row = self._blocks[row // SAMPLE_BLOCK] * SAMPLE_BLOCK + row % SAMPLE_BLOCK
        return self.at(row)

    def at(self, place: NDArray[np.int64]) -> Candidates:
        """Return the candidates at N places of the space, whatever the limit."""
        return Candidates(place, *self._plan.chosen(place))

    def named(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return the table as it is: the candidates of a space have no names."""
        return table


class InputSource:
    """The candidates that a user handed in, in their order."""

    def __init__(self, inputs: Inputs, limit: int | None = None) -> None:
        self._inputs = inputs
        self._count = len(inputs.phase) if limit is None else min(limit, len(inputs.phase))

    def __len__(self) -> int:
        return self._count

    def rows(self, start: int, stop: int) -> Candidates:
        """Return candidates start..stop (stop excluded)."""
        return self.at(np.arange(start, min(stop, len(self))))

    def at(self, place: NDArray[np.int64]) -> Candidates:
        """Return the candidates at N places of the list."""
        return Candidates(place, self._inputs.compositions[place], self._inputs.phase[place])

    def named(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return the table with a last column `mp_id`, if any candidate came with one."""
        if not self._inputs.mp_id:
            return table
        phases = (PHASES[code] for code in self._inputs.phase)
        keys = zip(self._inputs.compositions.formulas(), phases, strict=True)
        ids = dict(zip(keys, self._inputs.mp_id, strict=True))
        found = [ids.get(key, "") for key in zip(table["formula"], table["phase"], strict=True)]
        return table.assign(mp_id=pd.Series(found, index=table.index, dtype=object))
