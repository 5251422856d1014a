"""A run's folder: it states its configuration, refuses another one, and knows who works in it."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from softlyte.datasets.writing import write_bytes
from softlyte.models.config import ConfigError

RESOLVED = "config.json"
LOCK_FILE = ".softlyte.lock"
"""Held by the processes that work in the folder; whether it exists means nothing."""

SHARING_S = 60.0
"""How long a process that may share a folder waits for one that is opening it."""


@dataclass
class RunFolder:
    """A folder that this process holds.

    Attributes:
        path: the folder.
        alone: True if no other process worked in it when it was opened, so that what is unfinished in it was
            left by processes that are gone.
    """

    path: Path
    alone: bool
    _handle: IO[Any]

    def share(self) -> None:
        """Let others that may share it in, now that it is in order."""
        _flock(self._handle, fcntl.LOCK_SH)


@contextmanager
def run_folder(folder: Path, resolved: str, shared: bool = False) -> Iterator[RunFolder]:
    """Create the folder, or go on in it, and hold it for the block; the configuration is written into it.

    The folder is free again when the block ends, or its process, however it ends.

    Args:
        folder: made if missing.
        resolved: the resolved configuration, JSON text.
        shared: other processes of the same configuration may work in it too, once `RunFolder.share` is
            called.

    Raises:
        ConfigError: the folder holds a run with another configuration, another process works in it, or it
            cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = (folder / LOCK_FILE).open("a")
    except OSError as error:
        raise _unwritable(folder, error) from error
    with handle:
        held = RunFolder(folder, _hold(handle, folder, shared), handle)
        try:
            stated = folder / RESOLVED
            if not stated.is_file():
                write_bytes(stated, resolved.encode())
            elif stated.read_bytes() != resolved.encode():
                raise ConfigError(
                    f"{folder} holds a run with another configuration; give another --out or that "
                    "configuration"
                )
        except OSError as error:
            raise _unwritable(folder, error) from error
        # Closing the handle, also by the end of the process, gives the lock back.
        yield held


def _unwritable(folder: Path, error: OSError) -> ConfigError:
    return ConfigError(f"the folder {folder} cannot be written ({error}); give another --out")


def _hold(handle: IO[Any], folder: Path, shared: bool) -> bool:
    """Take the folder's lock; returns whether it was free. Raises ConfigError if it is not to be had."""
    deadline = time.monotonic() + (SHARING_S if shared else 0.0)
    while True:
        if _flock(handle, fcntl.LOCK_EX):
            return True
        if shared and _flock(handle, fcntl.LOCK_SH):
            return False
        if time.monotonic() >= deadline:
            raise ConfigError(
                f"another process is working in {folder}; wait until it ends or give another --out"
            )
        time.sleep(0.2)


def _flock(handle: IO[Any], kind: int) -> bool:
    """Take a lock if it is free; True too where the file system has none (some cluster mounts)."""
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True
