"""Processes that work for this one and end with it."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from concurrent.futures import ProcessPoolExecutor

LOOK_EVERY_S = 1.0
"""How often a worker looks whether the process that started it is still there."""


def worker_pool(count: int) -> ProcessPoolExecutor:
    """Return a pool of processes that end when this process is gone, however it ended.

    They are started anew, not forked: a fork of a process with threads (torch's, say) may hang. Workers of
    a killed process that did not watch it would go on with what they had begun, and write into folders that
    the next run works in.

    Args:
        count: of processes.
    """
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(count, mp_context=context, initializer=_end_with, initargs=(os.getpid(),))


def _end_with(parent: int) -> None:
    """Watch the parent from a thread of this process."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(LOOK_EVERY_S)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
