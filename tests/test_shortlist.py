"""The student's order and where it stops: against the exhaustive ranking of the same candidates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest

from softlyte.datasets.formulas import Compositions
from softlyte.screening import shortlist
from softlyte.screening.candidates import Candidates
from softlyte.screening.ranking import TopRows, rank_order
from softlyte.screening.shortlist import Sample, draw_sample, evaluate_in_order, is_audit, order_by_student

COUNT, SIZE = 60_000, 200


class Mixtures:
    """Mixtures of LiCl, YCl3, ZrCl4 and AlCl3 on a fixed random list."""

    def __init__(self, count: int = COUNT) -> None:
        shares = np.random.default_rng(0).dirichlet([1.0, 1.0, 1.0, 1.0], count)
        li, y, zr, al = shares.T
        amounts = np.stack([li, al, li + 3 * y + 4 * zr + 3 * al, y, zr], axis=1)
        self.compositions = Compositions(np.tile([3, 13, 17, 39, 40], (count, 1)).astype(np.uint8), amounts)

    def __len__(self) -> int:
        return len(self.compositions)

    def rows(self, start: int, stop: int) -> Candidates:
        span = slice(start, min(stop, len(self)))
        place = np.arange(span.start, span.stop)
        return Candidates(place, self.compositions[span], np.zeros(len(place), np.uint8))


def truth(candidates: Candidates) -> np.ndarray:
    li, al, _, _, zr = (candidates.compositions.amounts / candidates.compositions.amounts.sum(1)[:, None]).T
    return np.asarray(10.0 ** (-60 * (zr - 0.1) ** 2 - 40 * (li - 0.15) ** 2 - 20 * al))


def evaluate(parts: Iterator[Candidates]) -> Iterator[tuple[Candidates, np.ndarray]]:
    for part in parts:
        yield part, truth(part)


def pieces(source: Mixtures, sample: Sample) -> Iterator[tuple[Candidates, np.ndarray, Counter[str]]]:
    for start in range(0, len(source), 7_000):
        part = source.rows(start, start + 7_000)
        yield part, sample.student.score(part.compositions, part.phase), Counter({"a reason": 2})


@pytest.fixture(scope="module")
def source() -> Mixtures:
    return Mixtures()


@pytest.fixture(scope="module")
def sample(source: Mixtures) -> Sample:
    return Sample(evaluate(draw_sample(source, 6_000, seed=3)), seed=3)


def test_the_sample_is_blocks_without_repetition(source: Mixtures, sample: Sample) -> None:
    place = sample.candidates.place
    assert len(np.unique(place)) == len(place) == 6_000
    assert 0.15 < sample.audit.mean() < 0.35
    for block in np.split(sample.audit, len(place) // shortlist.SAMPLE_BLOCK):
        assert block.all() or not block.any()
    np.testing.assert_array_equal(is_audit(place, 3), sample.audit)
    everything = np.concatenate([c.place for c in draw_sample(Mixtures(50), 1_000, seed=0)])
    np.testing.assert_array_equal(everything, np.arange(50))


def test_the_best_are_those_of_the_exhaustive_ranking(
    source: Mixtures, sample: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shortlist, "BATCH_ROWS", 500)
    ordered, removed, left = order_by_student(pieces(source, sample), 20_000)
    assert removed == {"a reason": 18}
    assert left == COUNT
    best = TopRows(SIZE)
    recall = evaluate_in_order(sample, ordered, evaluate, best, SIZE)
    everything = source.rows(0, COUNT)
    exhaustive = everything.place[rank_order(truth(everything), everything.place)[:SIZE]]
    np.testing.assert_array_equal(best.best()[1].place, exhaustive)
    assert 6_000 < recall.evaluated < 26_000  # it stopped by itself
    assert recall.best == recall.chosen > 0


def test_a_bad_order_shows_in_the_recall(source: Mixtures, sample: Sample) -> None:
    everything = source.rows(0, COUNT)
    worst_first = everything.take(np.argsort(truth(everything))[:2_000])
    best = TopRows(SIZE)
    recall = evaluate_in_order(sample, worst_first, evaluate, best, SIZE)
    assert recall.chosen == 0 < recall.best
    # What the sample holds is never lost.
    held = sample.candidates.place[np.argmax(sample.probability)]
    assert held in best.best()[1].place


def test_fewer_candidates_than_the_best_can_hold(sample: Sample) -> None:
    few = Mixtures(100)
    own = Sample(evaluate(draw_sample(few, 1_000, seed=0)), seed=0)
    best = TopRows(SIZE)
    recall = evaluate_in_order(own, few.rows(0, 100), evaluate, best, SIZE)
    assert len(best.best()[1]) == 100 == recall.evaluated
    assert recall.best == recall.chosen == own.audit.sum()
