"""The same funnel on a Dask cluster: pieces are computed by its workers and kept by the process that asks.

Every worker is given candidates and networks once, when it joins or comes back; a piece is then a few numbers
there and a table back. A piece whose worker dies is given to another one. Dask does all of this.
"""

from __future__ import annotations

import sys
import uuid
from collections.abc import Iterator
from concurrent.futures import CancelledError
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from distributed import Client, KilledWorker, LocalCluster, Worker, WorkerPlugin, get_worker
from distributed.comm.core import CommClosedError
from threadpoolctl import threadpool_limits

from softlyte.datasets.errors import UserError
from softlyte.models.predictor import Predictor
from softlyte.screening.stage import Piece, Stage
from softlyte.screening.stream import Workers

WAIT_SECONDS = 600
"""How long a scheduler may be without a worker before the screening ends: queued jobs take their time."""

_KEPT = "finished pieces are kept: run the same command again"


class ClusterError(UserError):
    """A cluster that cannot be used or has failed; the message says what to do."""


class _StagePlugin(WorkerPlugin):
    """Gives a worker its stage.

    Args:
        name: of the plug-in; another screening on the same worker has another.
        stage: candidates and what judges them, with the networks on the CPU.
        device: where this worker's networks compute.
    """

    def __init__(self, name: str, stage: Stage, device: str) -> None:
        self.name, self.stage, self.device = name, stage, device

    def setup(self, worker: Worker) -> None:
        # As in one process: operations too small to be shared out, results that no thread count changes.
        torch.set_num_threads(1)
        threadpool_limits(1)
        if isinstance(self.stage.model, Predictor):
            self.stage = replace(self.stage, model=self.stage.model.moved(self.device))


def _on_worker(name: str, method: str, *arguments: Any) -> Piece:
    plugin: Any = get_worker().plugins[name]
    piece: Piece = getattr(plugin.stage, method)(*arguments)
    return piece


@contextmanager
def dask_workers(
    stage: Stage, scheduler: str | None, local_workers: int | None, device: str
) -> Iterator[Workers]:
    """Yield the workers of a cluster.

    Args:
        stage: what every worker is given.
        scheduler: address of a running scheduler, such as tcp://node01:8786.
        local_workers: processes of one thread to start on this machine in its place.
        device: "cpu" or "cuda", of the workers.

    Raises:
        ClusterError: there is no such scheduler, no worker came, the scheduler was lost, or one piece killed
            several workers.
    """
    with ExitStack() as stack:
        if scheduler is None:
            cluster = stack.enter_context(
                LocalCluster(n_workers=local_workers, threads_per_worker=1, dashboard_address=":0")
            )
            client = stack.enter_context(Client(cluster))
        else:
            try:
                client = stack.enter_context(Client(scheduler))
            except (OSError, ValueError) as error:
                raise ClusterError(
                    f"there is no Dask scheduler at {scheduler} ({str(error).splitlines()[0]}); "
                    "start one with `dask scheduler` and give the address that it prints"
                ) from error
        _check_versions(client)
        try:
            client.wait_for_workers(1, timeout=WAIT_SECONDS)
        except TimeoutError:
            raise ClusterError(
                f"no worker joined {scheduler} within {WAIT_SECONDS} s; start some with "
                f"`dask worker {scheduler}`"
            ) from None
        name = f"softlyte-{uuid.uuid4().hex}"
        client.register_plugin(_StagePlugin(name, stage, device))
        executor = stack.enter_context(client.get_executor(pure=False))
        try:
            yield Workers(
                executor, partial(_on_worker, name), lambda: max(sum(client.nthreads().values()), 1)
            )
            client.unregister_worker_plugin(name)
        except KilledWorker as error:
            raise ClusterError(
                f"a piece of the screening has killed several workers ({str(error).splitlines()[0]}); "
                f"give them more memory; {_KEPT}"
            ) from error
        except (CommClosedError, CancelledError) as error:
            raise ClusterError(
                f"the connection to the scheduler was lost ({error or type(error).__name__}); {_KEPT}"
            ) from error


def _check_versions(client: Client) -> None:
    """Refuse a cluster with another Python: what is sent to it could not be read there."""
    versions: Any = client.get_versions()
    scheduler = versions["scheduler"]["host"]["python"]
    own = ".".join(map(str, sys.version_info[:2]))
    if not scheduler.startswith(f"{own}."):
        raise ClusterError(
            f"the cluster runs Python {'.'.join(scheduler.split('.')[:2])} and this machine {own}; "
            "use one environment for both"
        )
