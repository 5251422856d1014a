"""Long jobs of many independent tasks: one result file for each, so that a killed job goes on."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from softlyte.datasets.errors import UserError
from softlyte.datasets.writing import write_bytes

CONFIG_FILE, LOG_FILE, RESULTS = "job.json", "log.jsonl", "results"

_SAFE = re.compile(r"[^A-Za-z0-9._+-]")


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
            found = json.loads(path.read_text(encoding="utf-8"))
            if found != wanted:
                changed = sorted(k for k in found.keys() | wanted.keys() if found.get(k) != wanted.get(k))
                raise UserError(
                    f"{folder} holds results of other settings ({', '.join(changed)}); give another folder"
                )
        (folder / RESULTS).mkdir(parents=True, exist_ok=True)
        if not path.exists():
            write_bytes(path, (json.dumps(wanted, indent=1) + "\n").encode())

    def _path(self, key: str) -> Path:
        return self.folder / RESULTS / f"{_SAFE.sub('_', key)}.json"

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
                try:
                    record = {"key": key, **work(argument)}
                except Exception as error:  # one structure's failure is a result of its own
                    said = " ".join(str(error).split())[:300]
                    record = {"key": key, "problem": f"{type(error).__name__}: {said}"}
                self.save(key, record)
                self.log(event="done", task=key, problem=record.get("problem", ""))
            if progress is not None:
                progress("tasks", number + 1, len(tasks))
            yield record
