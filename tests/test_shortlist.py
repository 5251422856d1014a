"""The student's order and where it stops: against the exhaustive ranking of the same candidates."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from softlyte.datasets.formulas import Compositions
from softlyte.screening import shortlist
from softlyte.screening.candidates import Candidates
from softlyte.screening.ranking import TopRows, rank_order
from softlyte.screening.shortlist import Known, Recall, draw_sample, evaluate_in_rounds, is_audit
from softlyte.screening.surrogate import Surrogate

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
        return self.at(np.arange(start, min(stop, len(self))))

    def at(self, place: np.ndarray) -> Candidates:
        return Candidates(place, self.compositions[place], np.zeros(len(place), np.uint8))


def truth(candidates: Candidates) -> np.ndarray:
    li, al, _, _, zr = (candidates.compositions.amounts / candidates.compositions.amounts.sum(1)[:, None]).T
    return np.asarray(10.0 ** (-60 * (zr - 0.1) ** 2 - 40 * (li - 0.15) ** 2 - 20 * al))


def run(
    source: Mixtures, sampled: np.ndarray, kept: np.ndarray, backwards: bool = False
) -> tuple[TopRows, Recall]:
    """Send the kept candidates through the rounds; `backwards` gives a student that is always wrong."""

    def evaluate(number: int, place: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for part in np.array_split(place, 3):
            yield truth(source.at(part)), part

    def learn(number: int, place: np.ndarray, score: np.ndarray) -> Surrogate:
        known = source.at(place)
        return Surrogate.fit(known.compositions, known.phase, score, seed=3)

    def rescore(student: Surrogate, place: np.ndarray) -> np.ndarray:
        asked = source.at(place)
        score = student.score(asked.compositions, asked.phase)
        return -score if backwards else score

    best = TopRows(SIZE)
    sample = Known([sampled], [truth(source.at(sampled))])
    return best, evaluate_in_rounds(sample, kept, 3, SIZE, best, evaluate, learn, rescore)


@pytest.fixture(scope="module")
def source() -> Mixtures:
    return Mixtures()


@pytest.fixture(scope="module")
def sampled(source: Mixtures) -> np.ndarray:
    return draw_sample(source, 6_000, seed=3)


def test_the_sample_is_blocks_without_repetition(source: Mixtures, sampled: np.ndarray) -> None:
    assert len(np.unique(sampled)) == len(sampled) == 6_000
    audit = is_audit(sampled, 3)
    assert 0.15 < audit.mean() < 0.35
    for block in np.split(audit, len(sampled) // shortlist.SAMPLE_BLOCK):
        assert block.all() or not block.any()
    np.testing.assert_array_equal(draw_sample(Mixtures(50), 1_000, seed=0), np.arange(50))


def test_the_best_are_those_of_the_exhaustive_ranking(
    source: Mixtures, sampled: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shortlist, "ROUND_ROWS", 1_000)
    best, recall = run(source, sampled, np.arange(COUNT))
    everything = source.rows(0, COUNT)
    exhaustive = everything.place[rank_order(truth(everything), everything.place)[:SIZE]]
    np.testing.assert_array_equal(best.best()[1], exhaustive)
    assert 6_000 < recall.evaluated < 20_000  # it stopped by itself
    assert recall.best == recall.chosen > 0


def test_a_bad_order_shows_in_the_recall(
    source: Mixtures, sampled: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shortlist, "ROUND_ROWS", 500)
    best, recall = run(source, sampled, np.arange(COUNT), backwards=True)
    assert recall.chosen == 0 < recall.best
    # What the sample holds is never lost.
    assert sampled[np.argmax(truth(source.at(sampled)))] in best.best()[1]


def test_what_the_first_student_left_behind_counts_as_not_reached(
    source: Mixtures, sampled: np.ndarray
) -> None:
    worst = np.sort(np.argsort(truth(source.rows(0, COUNT)))[:2_000])
    _, recall = run(source, sampled, worst)
    assert recall.chosen == 0 < recall.best
    assert recall.evaluated == 6_000 + 2_000 - np.isin(worst, sampled).sum()


def test_fewer_candidates_than_the_best_can_hold() -> None:
    few = Mixtures(100)
    everything = np.arange(100)
    best, recall = run(few, draw_sample(few, 1_000, seed=0), everything)
    assert len(best.best()[1]) == 100 == recall.evaluated
    assert recall.best == is_audit(everything, 3).sum()
