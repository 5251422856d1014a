"""Who gets the hull calculation: the best by the networks, found with or without the help of a student."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import torch
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from softlyte.screening.candidates import Candidates, Source
from softlyte.screening.costing import Costing
from softlyte.screening.evaluate import PropertyPredictor
from softlyte.screening.ranking import TopRows
from softlyte.screening.shortlist import (
    BATCH_ROWS,
    MOST_BATCHES,
    SAMPLE_ROWS,
    SMALLEST_SPACE,
    Recall,
    Sample,
    draw_sample,
    evaluate_in_order,
    order_by_student,
)
from softlyte.screening.targets import Targets
from softlyte.screening.tiers import filter_tier, network_tier

CHUNK_ROWS = 16_384
"""Candidates in memory at once in the streaming tiers."""

Show = Callable[[str, int, int], None]
"""Called with the tier's name, candidates done and candidates in all."""
Task = TypeVar("Task")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Selection:
    """What the tiers before the hull leave.

    Attributes:
        best: the best by the joint probability without the hull.
        removed: what the cheap filters removed, by reason.
        passed: candidates that passed them.
        evaluated: candidates of which the networks were asked.
        recall: of the student by its audit; None if every candidate was evaluated.
    """

    best: TopRows
    removed: Counter[str]
    passed: int
    evaluated: int
    recall: Recall | None


@dataclass(frozen=True)
class NetworkStage:
    """The cheap filters and the network tier with everything that they need.

    Attributes:
        model: the ensemble.
        targets: what must hold.
        costing: prices, route and layer.
        ceiling_usd_kg: largest precursor cost; None for none.
    """

    model: PropertyPredictor
    targets: Targets
    costing: Costing
    ceiling_usd_kg: float | None

    def select(self, source: Source, size: int, seed: int, exhaustive: bool, show: Show) -> Selection:
        """Return the `size` best of a source.

        Args:
            source: candidates.
            size: how many are wanted.
            seed: of the student and its sample.
            exhaustive: True to evaluate every candidate, however many there are.
            show: see `Show`.
        """
        with threadpool_limits(1):  # for all threads at once: results do not depend on their number
            if exhaustive or len(source) <= max(SMALLEST_SPACE, 8 * size):
                return self._all(source, size, show)
            return self._by_student(source, size, seed, show)

    def _filtered(self, chunk: Candidates) -> tuple[Candidates, Counter[str], int]:
        left, _, fallen = filter_tier(chunk, self.model.known_elements, self.ceiling_usd_kg, self.costing)
        return left, fallen, len(chunk)

    def _scored(self, chunk: Candidates) -> tuple[Candidates, NDArray, Counter[str], int]:
        left, cost, fallen = filter_tier(chunk, self.model.known_elements, self.ceiling_usd_kg, self.costing)
        return left, network_tier(left, cost, self.model, self.targets, self.costing), fallen, len(chunk)

    def _all(self, source: Source, size: int, show: Show) -> Selection:
        best, removed, done, passed = TopRows(size), Counter[str](), 0, 0
        chunks = range(0, len(source), CHUNK_ROWS)
        for left, probability, fallen, count in in_parallel(
            lambda start: self._scored(source.rows(start, start + CHUNK_ROWS)), chunks, self.model
        ):
            best.offer(probability, left)
            removed += fallen
            passed += len(left)
            done += count
            show("network", done, len(source))
        return Selection(best, removed, passed, passed, None)

    def _by_student(self, source: Source, size: int, seed: int, show: Show) -> Selection:
        def evaluate(parts: Iterable[Candidates]) -> Iterator[tuple[Candidates, NDArray]]:
            # Small pieces, so that every thread has some of a batch.
            pieces = (p.take(slice(i, i + 2048)) for p in parts for i in range(0, len(p), 2048))
            for left, probability, _, count in in_parallel(self._scored, pieces, self.model):
                advance(count)
                yield left, probability

        done, tier, total = 0, "sample", min(SAMPLE_ROWS, len(source))

        def advance(rows: int) -> None:
            nonlocal done
            done = min(done + rows, total)
            show(tier, done, total)

        sample = Sample(evaluate(draw_sample(source, SAMPLE_ROWS, seed)), seed)

        def scored(start: int) -> tuple[Candidates, NDArray, Counter[str], int]:
            left, fallen, count = self._filtered(source.rows(start, start + CHUNK_ROWS))
            return left, sample.student.score(left.compositions, left.phase), fallen, count

        def ordered_pieces() -> Iterator[tuple[Candidates, NDArray, Counter[str]]]:
            chunks = range(0, len(source), CHUNK_ROWS)
            for left, score, fallen, count in in_parallel(scored, chunks, self.model):
                advance(count)
                yield left, score, fallen

        done, tier, total = 0, "student", len(source)
        ordered, removed, passed = order_by_student(ordered_pieces(), MOST_BATCHES * BATCH_ROWS)
        done, tier, total = 0, "network", len(ordered)
        best = TopRows(size)
        recall = evaluate_in_order(sample, ordered, evaluate, best, size)
        show("network", total, total)  # the rest need not be evaluated
        return Selection(best, removed, passed, recall.evaluated, recall)


def in_parallel(
    work: Callable[[Task], Result], tasks: Iterable[Task], model: PropertyPredictor
) -> Iterator[Result]:
    """Yield work(task) for each task, in order, a few at a time.

    On a CPU each task runs on one thread and as many tasks at once as torch has threads: the operations
    are too small to be shared out, and a result does not depend on the number of threads. Few tasks are
    under way at once, so memory stays bounded.
    """
    device = getattr(model, "device", None)
    threads = torch.get_num_threads()
    workers = 1 if device is not None and device.type == "cuda" else threads
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(workers) as pool:
            waiting: deque[Future[Result]] = deque()
            try:
                for task in tasks:
                    waiting.append(pool.submit(work, task))
                    if len(waiting) > 2 * workers:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                # After an error or an interruption nothing that has not begun is begun.
                for future in waiting:
                    future.cancel()
    finally:
        torch.set_num_threads(threads)
