"""Long jobs of many independent tasks: one result file for each, so that a killed job goes on."""

from __future__ import annotations

import gzip
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from softlyte.datasets.documents import read_json
from softlyte.datasets.errors import UserError
from softlyte.datasets.workers import worker_pool
from softlyte.datasets.writing import write_bytes

CONFIG_FILE, LOG_FILE, RESULTS = "job.json", "log.jsonl", "results"

_SAFE = re.compile(r"[^A-Za-z0-9._+-]")


def safe_name(text: str) -> str:
    """Return a text as a file name."""
    return _SAFE.sub("_", text)


class JobFolder:
    """Results of one job in one folder.

    The folder belongs to one configuration: results made with other settings or another potential are never
    mixed in.
    """

    def __init__(self, folder: Path, config: Mapping[str, Any]) -> None:
        """Open the folder, made if missing; raises UserError if it holds another job's results."""
        self.folder = folder
        wanted = json.loads(json.dumps(config))
        path = folder / CONFIG_FILE
        if path.exists():
            found = self.config_of(folder)
            if found != wanted:
                known = found if isinstance(found, dict) else {}
                changed = sorted(k for k in known.keys() | wanted.keys() if known.get(k) != wanted.get(k))
                raise UserError(
                    f"{folder} holds results of other settings ({', '.join(changed)}); give another folder"
                )
        (folder / RESULTS).mkdir(parents=True, exist_ok=True)
        if not path.exists():
            write_bytes(path, (json.dumps(wanted, indent=1) + "\n").encode())

    @staticmethod
    def config_of(folder: Path) -> Any:
        """Return the configuration of a job's folder, None if it holds none that can be read."""
        try:
            return read_json((folder / CONFIG_FILE).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None

    def _path(self, key: str) -> Path:
        return self.folder / RESULTS / f"{safe_name(key)}.json"

    def load(self, key: str) -> dict[str, Any] | None:
        """Return the result of a task, None if it has not been done."""
        path = self._path(key)
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None

    def save(self, key: str, record: Mapping[str, Any]) -> None:
        """Keep a task's result: whole and on disk when this returns."""
        write_bytes(self._path(key), (json.dumps(record) + "\n").encode())

    def results(self) -> list[dict[str, Any]]:
        """Return every result in the folder, by file name."""
        return [
            json.loads(p.read_text(encoding="utf-8")) for p in sorted((self.folder / RESULTS).glob("*.json"))
        ]

    def pack(self, path: Path) -> int:
        """Write every result into one file of JSON lines (gzip), the configuration first; return how many.

        The same results give the same bytes.
        """
        records = self.results()
        lines = [self.config_of(self.folder), *records]
        text = "".join(json.dumps(line, sort_keys=True) + "\n" for line in lines)
        write_bytes(path, gzip.compress(text.encode(), mtime=0))
        return len(records)

    def unpack(self, path: Path) -> int:
        """Take over the results of a file that `pack` wrote, but for tasks that are done; return how many.

        Raises:
            UserError: the file cannot be read, or holds results of another configuration.
        """
        try:
            first, *records = map(json.loads, gzip.decompress(path.read_bytes()).decode().splitlines())
            done = {str(record["key"]): record for record in records}
        except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
            raise UserError(f"{path} holds no packed results ({error}); pack the job again") from error
        found = self.config_of(self.folder)
        if first != found:
            changed = sorted(k for k in first.keys() | found.keys() if first.get(k) != found.get(k))
            raise UserError(f"{path} holds results of other settings ({', '.join(changed)}); leave it out")
        fresh = {key: record for key, record in done.items() if self.load(key) is None}
        for key, record in fresh.items():
            self.save(key, record)
        self.log(event="unpacked", tasks=len(fresh), file=path.name)
        return len(fresh)

    def log(self, **event: Any) -> None:
        """Append a line to the run log."""
        with (self.folder / LOG_FILE).open("a", encoding="utf-8") as handle:
            handle.write(
                json.dumps({"time": datetime.now(UTC).isoformat(timespec="seconds"), **event}) + "\n"
            )

    def run(
        self,
        tasks: Sequence[tuple[str, Any]],
        work: Callable[[Any], Mapping[str, Any]],
        progress: Callable[[str, int, int], None] | None = None,
    ) -> Iterator[dict[str, Any]]:
        """Do what is not done yet, in order, and yield every task's result.

        An exception of one task is kept as its result (`problem`), so that it does not stop the others.

        Args:
            tasks: (key, argument); keys are unique.
            work: from an argument to a record of JSON types.
            progress: called with a name, done and total.
        """
        for number, (key, argument) in enumerate(tasks):
            record = self.load(key)
            if record is None:
                self.log(event="start", task=key)
                record = {"key": key, **_guarded(work, argument)}
                self.save(key, record)
                self.log(event="done", task=key, problem=record.get("problem", ""))
            if progress is not None:
                progress("tasks", number + 1, len(tasks))
            yield record

    def run_parallel(
        self,
        tasks: Sequence[tuple[str, Any]],
        work: Callable[[Any], Mapping[str, Any]],
        workers: int,
        progress: Callable[[str, int, int], None] | None = None,
        stage: str = "tasks",
    ) -> dict[str, dict[str, Any]]:
        """Do what is not done yet in several processes and return every task's result by key.

        Each process computes with one thread. A result is on disk before the next task of its process begins.

        Args:
            tasks: (key, argument); keys are unique, arguments can be pickled.
            work: a function of a module, from an argument to a record of JSON types.
            workers: processes; 1 computes in this one.
            progress: called with the stage's name, done and total.
            stage: name of the stage.

        Raises:
            UserError: a process died, which what is finished survives.
        """
        results: dict[str, dict[str, Any]] = {}
        todo = []
        for key, argument in tasks:
            record = self.load(key)
            if record is None:
                todo.append((key, argument))
            else:
                results[key] = record

        def keep(key: str, record: Mapping[str, Any]) -> None:
            results[key] = {"key": key, **record}
            self.save(key, results[key])
            self.log(event="done", task=key, problem=record.get("problem", ""))
            if progress is not None:
                progress(stage, len(results), len(tasks))

        if progress is not None and tasks:
            progress(stage, len(results), len(tasks))
        if workers == 1 or len(todo) == 1:
            with one_thread_here():
                for key, argument in todo:
                    keep(key, _guarded(work, argument))
        elif todo:
            _in_processes(todo, work, workers, keep)
        # In the order of the tasks, whatever finished first.
        return {key: results[key] for key, _ in tasks}


def _guarded(work: Callable[[Any], Mapping[str, Any]], argument: Any) -> Mapping[str, Any]:
    """Return a task's record; an exception of one structure is a result of its own."""
    try:
        return work(argument)
    except Exception as error:
        said = " ".join(str(error).split())[:300]
        return {"problem": f"{type(error).__name__}: {said}"}


def _in_processes(
    todo: Sequence[tuple[str, Any]],
    work: Callable[[Any], Mapping[str, Any]],
    workers: int,
    keep: Callable[[str, Mapping[str, Any]], None],
) -> None:
    with one_thread_each(), worker_pool(workers) as pool:
        waiting = {pool.submit(_guarded, work, argument): key for key, argument in todo}
        try:
            for future in as_completed(waiting):
                keep(waiting[future], future.result())
        except BrokenProcessPool as error:
            raise UserError(
                "a process that computed died, probably for want of memory; what is finished is kept: run "
                "the same command again, with --workers 1 if it happens again"
            ) from error
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


@contextmanager
def one_thread_here() -> Iterator[None]:
    """Let torch compute with one thread in the block: sums of several threads differ from run to run."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def one_thread_each() -> Iterator[None]:
    """Let processes that are started in the block compute with one thread and keep memory that they freed.

    Potentials allocate and free large arrays in every step; giving them back to the system each time costs
    up to half of the time.
    """
    wanted = {
        "OMP_NUM_THREADS": "1",
        "MALLOC_MMAP_THRESHOLD_": "4000000000",
        "MALLOC_TRIM_THRESHOLD_": "8000000000",
    }
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
