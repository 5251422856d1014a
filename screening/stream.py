"""Runs the pieces of a tier: several at once, in order, each kept as soon as it is done.

What a run has finished lies in its `ChunkStore`; a run that goes on reads it back and computes the rest. The
pieces, their order and their arithmetic do not depend on who computes them, so neither does the result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from threadpoolctl import threadpool_limits

from softlyte.datasets.errors import UserError
from softlyte.screening.chunk_store import ChunkStore, chunk_name
from softlyte.screening.export import OutputError
from softlyte.screening.stage import Piece, Stage

Call = Callable[..., Piece]
"""Called with a method's name of `Stage` and its arguments."""


@dataclass(frozen=True)
class Workers:
    """Who computes.

    Attributes:
        executor: takes calls.
        call: what is submitted to it.
        count: calls that it computes at once.
    """

    executor: Executor
    call: Call
    count: Callable[[], int]


@contextmanager
def local_threads(stage: Stage) -> Iterator[Workers]:
    """Yield workers in this process: a thread for each of torch's on a CPU, one before a GPU.

    Every operation then runs on one thread: the operations are too small to be shared out, and a result does
    not depend on the number of threads.
    """
    device = getattr(stage.model, "device", None)
    threads = torch.get_num_threads()
    count = 1 if device is not None and device.type == "cuda" else threads
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1), ThreadPoolExecutor(count) as pool:
            yield Workers(pool, lambda method, *args: getattr(stage, method)(*args), lambda: count)
    finally:
        torch.set_num_threads(threads)


@contextmanager
def workers_for(
    stage: Stage, scheduler: str | None = None, local_workers: int | None = None, device: str = "cpu"
) -> Iterator[Workers]:
    """Yield this process's threads, or the workers of a Dask cluster where one is asked for.

    Raises:
        UserError: Dask is not installed, or the cluster cannot be used.
    """
    if scheduler is None and local_workers is None:
        with local_threads(stage) as workers:
            yield workers
        return
    try:
        from softlyte.screening.cluster import dask_workers
    except ImportError as error:
        raise UserError(
            f"a cluster needs Dask ({error}); install it with pip install 'softlyte[cluster]'"
        ) from error
    with dask_workers(stage, scheduler, local_workers, device) as workers:
        yield workers


@dataclass(frozen=True)
class Stream:
    """Runs pieces and keeps them.

    Attributes:
        workers: who computes.
        store: where finished pieces lie.
    """

    workers: Workers
    store: ChunkStore

    def run(
        self, tier: str | None, method: str, tasks: int, arguments: Callable[[int], tuple[Any, ...]]
    ) -> Iterator[Piece]:
        """Yield the piece of each task in order; pieces that are kept already are read.

        Few tasks are under way at once, so memory stays bounded. After an error or an interruption nothing
        that has not begun is begun, and what is under way is finished and kept.

        Args:
            tier: names the pieces; None keeps none of them, for what is quickly computed again.
            method: of `Stage`.
            tasks: how many there are.
            arguments: of the method for a task's number, asked for when the task is begun.
        """
        under_way: dict[Future[Piece], int] = {}
        ready: dict[int, Piece] = {}
        begun = 0
        try:
            for number in range(tasks):
                while begun < min(tasks, number + 4 * self.workers.count()):
                    if len(under_way) > 2 * self.workers.count():
                        break
                    if not self._is_kept(tier, begun):
                        future = self.workers.executor.submit(self.workers.call, method, *arguments(begun))
                        under_way[future] = begun
                    begun += 1
                while number in under_way.values():
                    for future in wait(under_way, return_when=FIRST_COMPLETED).done:
                        done = under_way.pop(future)
                        ready[done] = self._keep(tier, done, future)
                piece = ready.pop(number, None)
                yield piece or Piece(*self.store.load(chunk_name(tier or "", number)))
        finally:
            for future in under_way:
                future.cancel()
            for future, number in under_way.items():
                self._keep_quietly(tier, number, future)

    def _is_kept(self, tier: str | None, number: int) -> bool:
        return tier is not None and chunk_name(tier, number) in self.store

    def _keep(self, tier: str | None, number: int, future: Future[Piece]) -> Piece:
        piece = future.result()
        if tier is not None:
            self.store.save(chunk_name(tier, number), piece.table, piece.notes)
        return piece

    def _keep_quietly(self, tier: str | None, number: int, future: Future[Piece]) -> None:
        """Keep what was still computed when another error or an interruption ended the run."""
        if future.cancelled() or future.exception() is not None:
            return
        try:
            self._keep(tier, number, future)
        except OutputError:
            return
