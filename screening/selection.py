"""Who gets the hull calculation: the best by the networks, found with or without the help of a student."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from softlyte.screening import shortlist
from softlyte.screening.front import FrontRows
from softlyte.screening.ranking import Places, Scores, TopRows
from softlyte.screening.shortlist import Known, Recall
from softlyte.screening.stage import CHUNK_ROWS, PROBABILITY, Piece, Stage
from softlyte.screening.stream import Stream
from softlyte.screening.surrogate import Surrogate, hopeless
from softlyte.screening.tiers import judged_by_networks

REFINED_ROWS = 1_024
"""Candidates of a task of the hull tier."""

PIECE_ROWS = 2_048
"""Candidates of a task of the network tier in the rounds: few, so that every worker has some of a round."""

SCORED_ROWS = 16 * CHUNK_ROWS
"""Candidates of a task of the student."""

Show = Callable[[str, int, int], None]
"""Called with the tier's name, candidates done and candidates in all."""


@dataclass(frozen=True)
class Selection:
    """What the tiers before the hull leave.

    Attributes:
        place: [S] of the candidates chosen, the best first, then the rest of the front.
        left_behind: highest probability of a candidate that is not among the best; -inf if there is none.
        removed: what the cheap filters removed, by reason.
        passed: candidates that passed them.
        evaluated: candidates of which the networks were asked.
        recall: of the student by its audit; None if every candidate was evaluated.
    """

    place: Places
    left_behind: float
    removed: Counter[str]
    passed: int
    evaluated: int
    recall: Recall | None


@dataclass
class Selector:
    """Chooses the best `size` of a stage's candidates, and the Pareto front of all that are evaluated.

    Attributes:
        stage: candidates and what judges them.
        stream: runs and keeps the pieces.
        size: how many are wanted.
        seed: of the student and its sample.
        show: see `Show`.
        timed: takes the time of a block under a name; `student` is that of scoring and learning.
    """

    stage: Stage
    stream: Stream
    size: int
    seed: int
    show: Show
    timed: Callable[[str], AbstractContextManager[None]]
    _best: TopRows = field(init=False)
    _front: FrontRows = field(init=False)
    _least: float = field(init=False, default=0.0)

    def __post_init__(self) -> None:
        self._judged = judged_by_networks(self.stage.targets)
        self._best = TopRows(self.size)
        self._front = FrontRows([target.wants_low for target in self._judged])

    def select(self, exhaustive: bool) -> Selection:
        """Return who gets the hull; asks the networks of everything where that is asked for or cheap."""
        count = len(self.stage.source)
        if exhaustive or count <= max(shortlist.SMALLEST_SPACE, 8 * self.size):
            return self._all()
        return self._by_student()

    def _all(self) -> Selection:
        count, done, removed, passed = len(self.stage.source), 0, Counter[str](), 0

        def span(number: int) -> tuple[int, int]:
            return number * CHUNK_ROWS, min((number + 1) * CHUNK_ROWS, count)

        for piece in self.stream.run("network", "evaluate_span", -(-count // CHUNK_ROWS), span):
            score, place = self._judge(piece)
            self._best.offer(score, place)
            removed += Counter(piece.notes["removed"])
            passed += len(place)
            done += piece.notes["offered"]
            self.show("network", done, count)
        return self._selection(removed, passed, passed, None)

    def _by_student(self) -> Selection:
        sampled = shortlist.draw_sample(self.stage.source, shortlist.SAMPLE_ROWS, self.seed)
        sample = Known()
        for score, place in self._evaluate("sample", sampled, "sample", 0, len(sampled)):
            sample.add(score, place)
        score, place = sample.all()
        learned = ~shortlist.is_audit(place, self.seed)
        self._least = hopeless(score[learned])
        student = self._learn(0, place[learned], score[learned])
        kept, removed, passed = self._scored(student)
        most = min(len(kept), shortlist.MOST_ROUNDS * shortlist.ROUND_ROWS)

        def evaluate(number: int, places: Places) -> Iterator[tuple[Scores, Places]]:
            done = number * shortlist.ROUND_ROWS
            yield from self._evaluate(f"network-{number:02d}", places, "network", done, most)

        recall = shortlist.evaluate_in_rounds(
            sample, kept, self.seed, self.size, self._best, evaluate, self._learn, self._rescore
        )
        self.show("network", most, most)  # the rest need not be evaluated
        return self._selection(removed, passed, recall.evaluated, recall)

    def _scored(self, student: Surrogate) -> tuple[Places, Counter[str], int]:
        """Return the ascending places that the student puts first, what the filters removed, what passed."""
        count, first = len(self.stage.source), TopRows(shortlist.KEPT_ROWS)
        done, removed, passed = 0, Counter[str](), 0

        def span(number: int) -> tuple[Any, ...]:
            start, stop = number * SCORED_ROWS, min((number + 1) * SCORED_ROWS, count)
            # What lies below the floor by now cannot come in later: the result does not depend on it.
            return student, start, stop, shortlist.KEPT_ROWS, first.floor

        with self.timed("student"):
            for piece in self.stream.run("student", "score", -(-count // SCORED_ROWS), span):
                score = piece.table["score"].to_numpy().astype(np.float64)
                first.offer(score, piece.table["place"].to_numpy())
                removed += Counter(piece.notes["removed"])
                passed += piece.notes["passed"]
                done += piece.notes["offered"]
                self.show("student", done, count)
        return np.sort(first.best()[1]), removed, passed

    def _evaluate(
        self, tier: str, places: Places, shown: str, done: int, total: int
    ) -> Iterator[tuple[Scores, Places]]:
        """Ask the networks of places, a piece at a time."""

        def part(number: int) -> tuple[Places]:
            return (places[number * PIECE_ROWS : (number + 1) * PIECE_ROWS],)

        for piece in self.stream.run(tier, "evaluate", -(-len(places) // PIECE_ROWS), part):
            done += piece.notes["offered"]
            self.show(shown, done, total)
            yield self._judge(piece)

    def _judge(self, piece: Piece) -> tuple[Scores, Places]:
        """Offer a piece to the front; return its probabilities and places."""
        place = piece.table["place"].to_numpy()
        columns = [piece.table[target.column].to_numpy() for target in self._judged]
        if columns:
            self._front.offer(np.stack(columns, axis=1), place)
        return piece.table[PROBABILITY].to_numpy(), place

    def _learn(self, number: int, place: Places, score: Scores) -> Surrogate:
        """Return the student of a round, kept with the pieces, so that a resumed run has the same."""
        name = f"learned-{number:02d}"
        if name in self.stream.store:
            return Surrogate.from_table(self.stream.store.load(name)[0])
        with self.timed("student"):
            known = self.stage.source.at(place)
            student = Surrogate.fit(known.compositions, known.phase, score, self.seed, self._least)
        self.stream.store.save(name, student.to_table())
        return student

    def _rescore(self, student: Surrogate, places: Places) -> Scores:
        """Ask the student of places that passed the filters."""

        def part(number: int) -> tuple[Surrogate, Places]:
            return student, places[number * SCORED_ROWS : (number + 1) * SCORED_ROWS]

        with self.timed("student"):
            pieces = self.stream.run(None, "rescore", -(-len(places) // SCORED_ROWS), part)
            return np.concatenate([np.zeros(0), *(piece.table["score"].to_numpy() for piece in pieces)])

    def _selection(
        self, removed: Counter[str], passed: int, evaluated: int, recall: Recall | None
    ) -> Selection:
        _, best = self._best.best()
        front = self._front.places()
        place = np.concatenate([best, front[~np.isin(front, best)]])
        return Selection(place, self._best.left_behind, removed, passed, evaluated, recall)


def hull_tier(stream: Stream, place: Places, show: Show) -> pd.DataFrame:
    """Return `tiers.refined_table` of the chosen places (one at least), ascending by place."""
    # Neighbours share chemical systems, whose hulls are built once.
    ascending = np.sort(place)

    def part(number: int) -> tuple[Places]:
        return (ascending[number * REFINED_ROWS : (number + 1) * REFINED_ROWS],)

    done, tables = 0, []
    for piece in stream.run("hull", "refine", -(-len(place) // REFINED_ROWS), part):
        tables.append(piece.table)
        done += piece.notes["offered"]
        show("hull", done, len(place))
    return pd.concat([table.to_pandas() for table in tables], ignore_index=True)
