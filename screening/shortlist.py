"""Which candidates of a large space get the whole network tier: those that a student of it puts first.

A random sample is evaluated in full and teaches the student (`surrogate`). The student orders everything;
candidates then get the whole tier batch by batch in that order, until several batches in a row have brought
nothing that matters into the best. A part of the sample that the student has not learned from is the audit:
of its candidates that belong to the best, the share that was chosen is the recall.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from softlyte.screening.candidates import Candidates, Source
from softlyte.screening.ranking import TopRows
from softlyte.screening.surrogate import Surrogate

Array = NDArray[np.float64]

SAMPLE_ROWS = 65_536
"""Candidates that are evaluated in full to teach and to audit the student."""
SAMPLE_BLOCK = 16
"""Neighbouring candidates that the sample takes together."""
AUDIT_SHARE = 0.25
"""Share of the sample that the student does not learn from."""
SMALLEST_SPACE = 4 * SAMPLE_ROWS
"""With fewer candidates all get the whole tier: a student would save nothing worth its risk."""
BATCH_ROWS = 16_384
QUIET_BATCHES = 3
"""Batches in a row that bring at most QUIET_SHARE of the best between them, after which the rest is left."""
QUIET_SHARE = 1e-4
MOST_BATCHES = 32
"""Batches of the student's order that may be evaluated."""

Evaluate = Callable[[Iterator[Candidates]], Iterator[tuple[Candidates, Array]]]
"""Candidates in pieces -> those that pass the cheap filters, with their probability, piece by piece."""


@dataclass(frozen=True)
class Recall:
    """What the audit found.

    Attributes:
        best: audit candidates whose probability is at least that of the last of the best.
        chosen: how many of them the student's order reached.
        evaluated: candidates that got the whole tier, the sample included.
    """

    best: int
    chosen: int
    evaluated: int


def draw_sample(source: Source, rows: int, seed: int) -> Iterator[Candidates]:
    """Yield blocks of neighbours drawn at random without repetition, about `rows` candidates in all."""
    blocks = -(-len(source) // SAMPLE_BLOCK)
    wanted = min(blocks, -(-rows // SAMPLE_BLOCK))
    drawn = np.sort(np.random.default_rng(seed).choice(blocks, wanted, replace=False)).tolist()
    together = BATCH_ROWS // SAMPLE_BLOCK
    for start in range(0, len(drawn), together):
        firsts = [n * SAMPLE_BLOCK for n in drawn[start : start + together]]
        yield Candidates.concatenate([source.rows(n, min(n + SAMPLE_BLOCK, len(source))) for n in firsts])


def is_audit(place: NDArray[np.int64], seed: int) -> NDArray[np.bool_]:
    """Return which places of the sample are for the audit, [N]: whole blocks of neighbours."""
    block, inverse = np.unique(place // SAMPLE_BLOCK, return_inverse=True)
    drawn = np.random.default_rng([seed, 1]).random(len(block)) < AUDIT_SHARE
    return np.asarray(drawn[inverse])


class Sample:
    """A sample evaluated in full, and the student that has learned from it.

    Args:
        parts: evaluated pieces of the sample.
        seed: of the audit's choice and of the student.
    """

    def __init__(self, parts: Iterator[tuple[Candidates, Array]], seed: int) -> None:
        pieces = list(parts)
        self.candidates = Candidates.concatenate([c for c, _ in pieces])
        self.probability = np.concatenate([p for _, p in pieces])
        self.audit = is_audit(self.candidates.place, seed)
        learned = ~self.audit
        self.student = Surrogate.fit(
            self.candidates.compositions[learned],
            self.candidates.phase[learned],
            self.probability[learned],
            seed,
        )


def evaluate_in_order(
    sample: Sample,
    ordered: Candidates,
    evaluate: Evaluate,
    best: TopRows,
    size: int,
) -> Recall:
    """Offer the sample and then the ordered candidates to the best, until nothing more comes of it.

    Args:
        sample: evaluated in full.
        ordered: candidates by the student, best first; those of the sample may be among them.
        evaluate: the whole tier.
        best: takes what is evaluated; its size is `size`.
        size: of the best.
    """
    best.offer(sample.probability, sample.candidates)
    sampled, reached = sample.candidates.place, np.zeros(len(sample.audit), dtype=bool)
    evaluated, quiet = len(sampled), 0
    for start in range(0, min(len(ordered), MOST_BATCHES * BATCH_ROWS), BATCH_ROWS):
        batch = ordered.take(slice(start, start + BATCH_ROWS))
        reached |= np.isin(sampled, batch.place)
        fresh = batch.take(~np.isin(batch.place, sampled))
        floor, entered = _last(best, size), 0
        for candidates, probability in evaluate(iter([fresh])):
            entered += int((probability > floor).sum())
            best.offer(probability, candidates)
        evaluated += len(fresh)
        quiet = quiet + 1 if entered <= QUIET_SHARE * size else 0
        if quiet == QUIET_BATCHES:
            break
    last = _last(best, size)
    good = sample.audit & (sample.probability >= last) & (sample.probability > 0)
    return Recall(int(good.sum()), int((good & reached).sum()), evaluated)


def _last(best: TopRows, size: int) -> float:
    """Return the probability of the last of the best; -inf while there are fewer than `size`."""
    probability, _ = best.best()
    return float(probability[-1]) if len(probability) == size else -np.inf


def order_by_student(
    pieces: Iterator[tuple[Candidates, Array, Counter[str]]], rows: int
) -> tuple[Candidates, Counter[str], int]:
    """Return the candidates that the student puts first, best first, what the filters removed, what was left.

    Args:
        pieces: candidates that passed the cheap filters, their scores by the student, and the reasons of
            those that did not pass.
        rows: candidates to keep.
    """
    first, removed, left = TopRows(rows), Counter[str](), 0
    for candidates, score, reasons in pieces:
        first.offer(score, candidates)
        removed += reasons
        left += len(candidates)
    _, ordered = first.best()
    return ordered, removed, left
