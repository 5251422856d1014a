"""The work of the tiers on one piece of the candidates: what a thread or a machine of a cluster is given.

Every method takes plain numbers and arrays and returns a table with notes, so that a piece can be computed
anywhere, kept on disk, and is the same wherever it was computed.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from softlyte.datasets.columns import PHASES
from softlyte.screening.candidates import Candidates, Source
from softlyte.screening.costing import Costing
from softlyte.screening.evaluate import PropertyPredictor, default_hull, evaluate
from softlyte.screening.ranking import TopRows
from softlyte.screening.surrogate import Surrogate
from softlyte.screening.targets import Targets
from softlyte.screening.tiers import filter_tier, judged_by_networks, network_tier, refined_table

CHUNK_ROWS = 16_384
"""Candidates in memory at once in the streaming tiers."""

PROBABILITY = "p_without_hull"
"""Column of the joint probability of all targets but the hull's, by the networks."""


class Piece(NamedTuple):
    """What a task returns.

    Attributes:
        table: its rows.
        notes: counts, in JSON types: `offered` candidates, and what the filters `removed` by reason.
    """

    table: pa.Table
    notes: dict[str, Any]


@dataclass(frozen=True)
class Stage:
    """Candidates and everything that judges them.

    Attributes:
        source: the candidates.
        model: the ensemble.
        targets: what must hold.
        costing: prices, route and layer.
        ceiling_usd_kg: largest precursor cost; None for none.
    """

    source: Source
    model: PropertyPredictor
    targets: Targets
    costing: Costing
    ceiling_usd_kg: float | None

    def evaluate_span(self, start: int, stop: int) -> Piece:
        """Ask the networks of the candidates start..stop (stop excluded) of the source."""
        return self._evaluate(self.source.rows(start, stop))

    def evaluate(self, place: NDArray[np.int64]) -> Piece:
        """Ask the networks of the candidates at N places.

        The table has a row for each candidate that passes the cheap filters: place, formula, phase,
        PROBABILITY, and the medians of the targets' columns.
        """
        return self._evaluate(self.source.at(place))

    def score(self, student: Surrogate, start: int, stop: int, rows: int, floor: float) -> Piece:
        """Let the student score the candidates start..stop of the source.

        The table has place and score of the best `rows` that pass the cheap filters and reach the floor. The
        notes count what `passed`.
        """
        best, removed, passed = TopRows(rows), Counter[str](), 0
        for begin in range(start, stop, CHUNK_ROWS):
            left, _, fallen = self._filtered(self.source.rows(begin, min(begin + CHUNK_ROWS, stop)))
            score = student.score(left.compositions, left.phase)
            good = score >= floor
            best.offer(score[good], left.place[good])
            removed += fallen
            passed += len(left)
        score, place = best.best()
        order = np.argsort(place)
        table = pa.table({"place": place[order], "score": score[order].astype(np.float32)})
        return Piece(table, {"offered": stop - start, "passed": passed, "removed": dict(removed)})

    def rescore(self, student: Surrogate, place: NDArray[np.int64]) -> Piece:
        """Return the student's `score` of the candidates at N places, in the order given."""
        scores = [np.zeros(0)]
        for start in range(0, len(place), CHUNK_ROWS):
            part = self.source.at(place[start : start + CHUNK_ROWS])
            scores.append(student.score(part.compositions, part.phase))
        return Piece(pa.table({"score": np.concatenate(scores)}), {"offered": len(place)})

    def refine(self, place: NDArray[np.int64]) -> Piece:
        """Put the candidates at N places on the hull; the table is `tiers.refined_table`."""
        chosen = self.source.at(place)
        evaluation = evaluate(
            chosen.compositions,
            chosen.phase,
            self.model,
            default_hull(),
            None,
            self.targets.working_conditions(),
            self.costing,
        )
        frame = refined_table(evaluation, place, self.targets)
        return Piece(pa.Table.from_pandas(frame, preserve_index=False), {"offered": len(place)})

    def _filtered(self, candidates: Candidates) -> tuple[Candidates, Any, Counter[str]]:
        return filter_tier(candidates, self.model.known_elements, self.ceiling_usd_kg, self.costing)

    def _evaluate(self, candidates: Candidates) -> Piece:
        left, cost, fallen = self._filtered(candidates)
        probability, medians = network_tier(left, cost, self.model, self.targets, self.costing)
        columns: dict[str, Any] = {
            "place": left.place,
            "formula": left.compositions.formulas(),
            "phase": np.array(PHASES)[left.phase],
            PROBABILITY: probability,
        }
        for target, values in zip(judged_by_networks(self.targets), medians.T, strict=True):
            # A column with a limit on either side is one column.
            columns.setdefault(target.column, values)
        return Piece(pa.table(columns), {"offered": len(candidates), "removed": dict(fallen)})
