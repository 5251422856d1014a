"""Which candidates of a large space get the whole network tier: those that a student of it puts first.

A random sample is evaluated in full and teaches the student (`surrogate`). The student scores everything and
keeps the first; of these the best by the student get the whole tier, round by round, and with each round the
student learns anew from all that is known, until several rounds have brought nothing that matters into the
best. A part of the sample that the student never learns from is the audit: of its candidates that belong to
the best, the share that a round reached is the recall.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from softlyte.screening.candidates import Source
from softlyte.screening.ranking import Places, Scores, TopRows, rank_order
from softlyte.screening.surrogate import Surrogate

SAMPLE_ROWS = 65_536
"""Candidates that are evaluated in full to teach and to audit the student."""
SAMPLE_BLOCK = 16
"""Neighbouring candidates that the sample takes together."""
AUDIT_SHARE = 0.25
"""Share of the sample that the student does not learn from."""
SMALLEST_SPACE = 4 * SAMPLE_ROWS
"""With fewer candidates all get the whole tier: a student would save nothing worth its risk."""
KEPT_ROWS = 2_097_152
"""Candidates that the first student keeps for the rounds."""
ROUND_ROWS = 32_768
"""Candidates that get the whole tier in one round."""
QUIET_ROUNDS = 2
"""Rounds in a row that bring at most QUIET_SHARE of the best between them, after which the rest is left."""
QUIET_SHARE = 1e-4
MOST_ROUNDS = 24
LESSON_ROWS = 49_152
"""Candidates of the rounds, drawn at random, that the student learns from beside the sample."""

Evaluate = Callable[[int, Places], Iterator[tuple[Scores, Places]]]
"""Number of a round and places -> scores and places of those that pass the cheap filters, in pieces."""
Learn = Callable[[int, Places, Scores], Surrogate]
"""Number of a round, places and their scores -> a student of that round."""
Rescore = Callable[[Surrogate, Places], Scores]
"""The student's scores of places."""


@dataclass(frozen=True)
class Recall:
    """What the audit found.

    Attributes:
        best: audit candidates whose probability is at least that of the last of the best.
        chosen: how many of them a round reached.
        evaluated: candidates that got the whole tier, the sample included.
        entered: how many entered the best in each round.
    """

    best: int
    chosen: int
    evaluated: int
    entered: tuple[int, ...]


def draw_sample(source: Source, rows: int, seed: int) -> Places:
    """Return the places of blocks of neighbours drawn at random without repetition, about `rows` in all."""
    blocks = -(-len(source) // SAMPLE_BLOCK)
    wanted = min(blocks, -(-rows // SAMPLE_BLOCK))
    drawn = np.sort(np.random.default_rng(seed).choice(blocks, wanted, replace=False)).tolist()
    firsts = [n * SAMPLE_BLOCK for n in drawn]
    return np.concatenate([source.rows(n, min(n + SAMPLE_BLOCK, len(source))).place for n in firsts])


def is_audit(place: Places, seed: int) -> NDArray[np.bool_]:
    """Return which places of the sample are for the audit, [N]: whole blocks of neighbours."""
    block, inverse = np.unique(place // SAMPLE_BLOCK, return_inverse=True)
    drawn = np.random.default_rng([seed, 1]).random(len(block)) < AUDIT_SHARE
    return np.asarray(drawn[inverse])


@dataclass
class Known:
    """What has been evaluated in full.

    Attributes:
        place: of the candidates.
        score: theirs.
    """

    place: list[Places] = field(default_factory=list)
    score: list[Scores] = field(default_factory=list)

    def add(self, score: Scores, place: Places) -> None:
        """Take in more."""
        self.score.append(score)
        self.place.append(place)

    def all(self) -> tuple[Scores, Places]:
        """Return scores and places in the order in which they came."""
        return np.concatenate([np.zeros(0), *self.score]), np.concatenate(
            [np.zeros(0, np.int64), *self.place]
        )

    def some(self, rows: int, seed: list[int]) -> tuple[Scores, Places]:
        """Return at most so many of them, drawn at random."""
        score, place = self.all()
        if len(score) > rows:
            chosen = np.sort(np.random.default_rng(seed).choice(len(score), rows, replace=False))
            score, place = score[chosen], place[chosen]
        return score, place


def evaluate_in_rounds(
    sample: Known,
    kept: Places,
    seed: int,
    size: int,
    best: TopRows,
    evaluate: Evaluate,
    learn: Learn,
    rescore: Rescore,
) -> Recall:
    """Offer the sample and then round after round of the kept candidates to the best.

    Args:
        sample: evaluated in full.
        kept: [K] ascending places that the first student put first; those of the sample may be among them.
        seed: of the audit's choice.
        size: of the best.
        best: takes what is evaluated; its size is `size`.
        evaluate: the whole tier.
        learn: makes the student of a round.
        rescore: asks the student.
    """
    score, place = sample.all()
    best.offer(score, place)
    audit = is_audit(place, seed)
    audited, truth = place[audit], score[audit]
    reachable, reached = np.isin(audited, kept), np.zeros(len(audited), dtype=bool)
    learned, known = (score[~audit], place[~audit]), Known()
    open_places = kept[~np.isin(kept, place)]
    evaluated, entered_by_round = len(place), list[int]()
    for number in range(MOST_ROUNDS):
        if not len(open_places):
            break
        scores, places = known.some(LESSON_ROWS, [seed, number])
        student = learn(number, np.concatenate([learned[1], places]), np.concatenate([learned[0], scores]))
        expected = rescore(student, open_places)
        chosen = rank_order(expected, open_places)[:ROUND_ROWS]
        reached |= reachable & (rescore(student, audited) >= expected[chosen[-1]])
        fresh = np.sort(open_places[chosen])
        floor, entered = best.last(), 0
        for score, place in evaluate(number, fresh):
            entered += int((score > floor).sum())
            best.offer(score, place)
            known.add(score, place)
        evaluated += len(fresh)
        open_places = np.delete(open_places, chosen)
        entered_by_round.append(entered)
        lately = entered_by_round[-QUIET_ROUNDS:]
        if len(lately) == QUIET_ROUNDS and sum(lately) <= QUIET_SHARE * size:
            break
    last = best.last()
    good = (truth >= last) & (truth > 0)
    return Recall(int(good.sum()), int((good & reached).sum()), evaluated, tuple(entered_by_round))
