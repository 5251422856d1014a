"""The record of a run: what was asked, with what data and weights, how long it took, what came out.

`run.json` is written before work starts and completed at the end, so that a folder always tells what
its files are, and whether they are finished.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

import softlyte
from softlyte.datasets.documents import read_json
from softlyte.screening.chunk_store import CHUNK_FOLDER, remove_chunks
from softlyte.screening.export import REJECTED_FILE, OutputError, atomic_text, check_writable

RUN_FILE = "run.json"
CANDIDATES_FILE, FUNNEL_FILE = "candidates.csv", "funnel.csv"
TABLE_FILE = "candidates.parquet"
RESULT_FILES = (CANDIDATES_FILE, TABLE_FILE, FUNNEL_FILE, REJECTED_FILE)
"""What decides a result, the same bytes for the same configuration; the report is drawn from them."""
REPORT_FILE = "report.html"
LOCK_FILE = ".softlyte.lock"
"""Held by the process that writes into the folder; whether it exists means nothing."""

_PACKAGES = ("numpy", "pandas", "pymatgen", "scipy", "torch", "torch-geometric")

_WITHOUT_RESULTS = ("build", "report")
"""Folders of the code that no result of a screening depends on."""


class RunRecord:
    """The record of one run in one folder; make it with `open_run`."""

    def __init__(self, folder: Path, content: dict[str, Any], lock: FileLock | None = None) -> None:
        self.folder = folder
        self.content = content
        self._lock = lock
        self._start = time.perf_counter()

    @property
    def chunk_folder(self) -> Path:
        """Folder of the run's finished pieces."""
        return self.folder / CHUNK_FOLDER

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Add the time spent in the block to the timings, in seconds."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.add_seconds(name, time.perf_counter() - start)
        self.write()

    def add_seconds(self, name: str, seconds: float) -> None:
        """Add to a timing."""
        self.content["timings_s"][name] = round(self.content["timings_s"].get(name, 0.0) + seconds, 3)

    def finish(self, counts: Mapping[str, Any]) -> None:
        """Mark the run as finished and keep its counts."""
        self.content["counts"] = dict(counts)
        self._close("finished")

    def fail(self, error: BaseException) -> None:
        """Mark the run as failed, with the error's first line; keeps quiet if even that cannot be written."""
        self.content["error"] = f"{type(error).__name__}: {error}".splitlines()[0]
        with suppress(OutputError):
            self._close("failed")

    def _close(self, status: str) -> None:
        self.content["status"] = status
        self.content["finished"] = _now()
        self.add_seconds("total", time.perf_counter() - self._start)
        try:
            self.write()
        finally:
            if self._lock is not None:
                self._lock.release()

    def write(self) -> None:
        """Write run.json, whole or not at all."""
        with atomic_text(self.folder / RUN_FILE) as handle:
            json.dump(self.content, handle, indent=1, sort_keys=False, default=str)
            handle.write("\n")


def open_run(folder: Path, config: Mapping[str, Any], overwrite: bool = False) -> RunRecord:
    """Check the folder, write run.json with the resolved configuration and return the record.

    A folder may be used again by the same configuration: what an earlier attempt has finished in it stays,
    and its timings count. Results of another one are refused, or with `overwrite` removed first, so that
    run.json never describes another run's files. The folder is locked until the record is finished or failed,
    or its process ends, however it ends.

    Args:
        folder: made if missing.
        config: everything that decides the results; must be made of JSON types.
        overwrite: replace results of another configuration.

    Raises:
        OutputError: the folder cannot be written, holds another run's results, or another process writes
            into it.
    """
    resolved = json.loads(json.dumps(config, default=str))
    check_writable(folder)
    lock = _locked(folder)
    try:
        for name in (RUN_FILE, *RESULT_FILES):
            for leftover in folder.glob(f".{name}.*.tmp"):
                leftover.unlink()
        earlier = _clear(folder, resolved, overwrite)
        record = RunRecord(folder, _content(resolved, earlier), lock)
        record.write()
    except BaseException:
        if lock is not None:
            lock.release()
        raise
    return record


def _locked(folder: Path) -> FileLock | None:
    """Return the folder's lock, taken; None where the file system has no locks (some cluster mounts)."""
    lock = FileLock(folder / LOCK_FILE)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise OutputError(
            f"another process is writing its results into {folder}; wait until it ends or give another --out"
        ) from None
    except NotImplementedError:
        return None
    return lock


def _clear(folder: Path, config: Mapping[str, Any], overwrite: bool) -> dict[str, Any]:
    """Refuse, or with overwrite remove, results of another configuration; return the record of the same."""
    kept = (RUN_FILE, *RESULT_FILES, REPORT_FILE, CHUNK_FOLDER)
    present = [name for name in kept if (folder / name).exists()]
    earlier = _recorded(folder)
    if earlier.get("config") == config:
        return earlier
    if present and not overwrite:
        raise OutputError(
            f"the folder {folder} holds another run's results ({', '.join(present)}"
            f"{_difference(earlier.get('config'), config)}); give another --out or add --overwrite"
        )
    # The record goes last: a folder whose removal was interrupted is still another run's.
    remove_chunks(folder)
    for name in (*RESULT_FILES, REPORT_FILE, RUN_FILE):
        (folder / name).unlink(missing_ok=True)
    return {}


def _difference(earlier: Any, config: Mapping[str, Any]) -> str:
    """Return what differs between two configurations, as a clause for a message."""
    if not isinstance(earlier, dict):
        return ""
    names = [name for name in dict.fromkeys((*earlier, *config)) if earlier.get(name) != config.get(name)]
    return f"; another {', '.join(_changed(name, earlier, config) for name in names)}"


def _changed(name: str, earlier: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    """Return the name of what differs, with both values where they are short words or numbers."""
    values = [source.get(name) for source in (earlier, config)]
    plain = all(isinstance(value, str | int | float) and len(str(value)) <= 20 for value in values)
    return f"{name} ({values[0]} before, {values[1]} now)" if plain else name


def _content(config: Mapping[str, Any], earlier: Mapping[str, Any]) -> dict[str, Any]:
    """Return what run.json holds before work starts; timings of earlier attempts count."""
    return {
        "softlyte": softlyte.__version__,
        "status": "running",
        "started": _now(),
        "finished": None,
        "config": config,
        "environment": _environment(),
        "attempts": int(earlier.get("attempts", 0)) + 1,
        "timings_s": dict(earlier.get("timings_s", {})),
        "counts": {},
    }


def _recorded(folder: Path) -> dict[str, Any]:
    try:
        content = read_json((folder / RUN_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(content, dict) or not isinstance(content.get("timings_s", {}), dict):
        return {}
    return content if isinstance(content.get("attempts", 0), int) else {}


@lru_cache(maxsize=1)
def software() -> dict[str, str]:
    """Return what the last digit of a result depends on: versions, and a checksum of Softlyte's own code.

    Pieces that one version has computed are not finished by another.
    """
    package = Path(softlyte.__file__).parent
    digest = hashlib.sha256()
    for floor in ("datasets", "featurize", "models", "screening"):
        folder = (package / floor).resolve()
        for file in sorted(folder.rglob("*.py")):
            if file.relative_to(folder).parts[0] not in _WITHOUT_RESULTS:
                digest.update(file.read_bytes())
    versions = {name: metadata.version(name) for name in ("numpy", "scikit-learn", "scipy", "torch")}
    return {"softlyte": softlyte.__version__, "code_sha256": digest.hexdigest(), **versions}


def _environment() -> dict[str, Any]:
    versions = {"python": platform.python_version(), "machine": platform.machine()}
    for package in _PACKAGES:
        versions[package] = metadata.version(package)
    return versions | {"cpu_count": os.cpu_count()}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
