"""What must hold of a reader of a user's files, whatever it is given.

A reader either gives a result or raises a UserError; of the rows that it was given each is a result or is
refused with a reason. Anything else is a fault.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import threading
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from softlyte.datasets.errors import UserError

SECONDS = 30
"""A reader that needs longer for a small input hangs."""


class Fault(AssertionError):
    """A reader that broke its promise; the message says how."""


class _Hang(BaseException):
    pass


@dataclass(frozen=True)
class Reader:
    """One reader.

    Attributes:
        name: of the reader, and of its folder in the corpus.
        seeds: valid inputs.
        read: takes an input and an empty folder; returns a word for what became of it.
        words: command line that reads the same, None where there is none.
        share: of 10,000 inputs.
    """

    name: str
    seeds: Callable[[], tuple[bytes, ...]]
    read: Callable[[bytes, Path], str]
    words: Callable[[bytes, Path], list[str]] | None
    share: int


def judged(reader: Reader, content: bytes, folder: Path) -> str:
    """Return "accepted", "partly" or "refused"; raises Fault for anything else that happens."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with _limited(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return reader.read(content, folder)
    except UserError as error:
        said = str(error)
        if not said.strip() or "Traceback" in said:
            raise Fault(f"{type(error).__name__} says {said[:200]!r}") from error
        return "refused"
    except _Hang:
        raise Fault(f"no answer in {SECONDS} s") from None
    except Fault:
        raise
    except Exception as error:
        where = _place(error)
        raise Fault(f"{type(error).__name__} at {where}: {str(error)[:200]!r}") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def commanded(reader: Reader, content: bytes, folder: Path) -> int:
    """Call the command line with an input; returns its exit code, raises Fault unless it is 0 or 2."""
    from typer.testing import CliRunner

    from softlyte.cli.app import app

    folder.mkdir(parents=True, exist_ok=True)
    try:
        assert reader.words is not None
        words = reader.words(content, folder)
        with _limited(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = CliRunner().invoke(app, words)
    except _Hang:
        raise Fault(f"no answer in {SECONDS} s") from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    error = result.exception
    if error is not None and not isinstance(error, SystemExit):
        raise Fault(f"{words[0]}: {type(error).__name__} at {_place(error)}: {str(error)[:200]!r}")
    if result.exit_code not in (0, 2) or "Traceback (most" in result.output:
        raise Fault(f"{words[0]}: exit code {result.exit_code}, {result.output[-200:]!r}")
    if result.exit_code == 2 and not result.output.strip():
        raise Fault(f"{words[0]}: refused without a word")
    return int(result.exit_code)


def _place(error: BaseException) -> str:
    """Return the innermost line of Softlyte's own that an error came through."""
    found, trace = "outside", error.__traceback__
    while trace is not None:
        name = trace.tb_frame.f_code.co_filename
        if "/softlyte/" in name and "site-packages" not in name:
            found = f"{name.split('/softlyte/')[-1]}:{trace.tb_lineno}"
        trace = trace.tb_next
    return found


@contextlib.contextmanager
def _limited() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ring(*_: object) -> None:
        raise _Hang

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
