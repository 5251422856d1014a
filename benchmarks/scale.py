"""Time and memory of a screening against the number of candidates; writes a section of RESULTS.md.

python -m benchmarks.scale --work FOLDER                     # 1, 4, 16 and all 32.8 million
python -m benchmarks.scale --work FOLDER --sizes 1000000     # one of them

Each size is a random sample of `funnel-32m` (the smaller are parts of the larger), screened by the command
line in a process of its own. A finished size is read from FOLDER; one that was stopped goes on, and its
memory is then that of the last attempt.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from benchmarks.report import markdown_table, write_section
from softlyte.screening.chunk_store import CHUNK_FOLDER, ChunkStore
from softlyte.screening.export import atomic_text, check_writable
from softlyte.screening.stage import CHUNK_ROWS
from softlyte.screening.surrogate import Surrogate

SPACE = "funnel-32m"
WHOLE = 32_820_048
SIZES = (1_000_000, 4_000_000, 16_000_000, WHOLE)


def main() -> None:
    """Screen every size that is not there yet, and write the table of those that are."""
    parser = argparse.ArgumentParser(description="time and memory against the number of candidates")
    parser.add_argument("--work", type=Path, required=True, help="folder for the screenings, kept")
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    chosen = parser.parse_args()
    check_writable(chosen.work)
    for size in chosen.sizes:
        if not _measured(chosen.work, size).exists():
            _measure(chosen.work, size)
    found = [json.loads(_measured(chosen.work, size).read_text()) for size in chosen.sizes]
    per_row = _student_seconds(chosen.work / str(chosen.sizes[0]))
    head = ["candidates", "networks asked of", "time, s", "us a candidate", "candidates/s", "peak memory, MB"]
    head += ["student, s", "networks, s", "hull, s", "in the networks", "and the student's layers"]
    text = (
        "`python -m benchmarks.scale`: `softlyte screen funnel-32m --limit N` from the command to its last "
        f"file, {torch.get_num_threads()} threads; the report's page left out. *In the networks*: share of "
        "the threads' time in the bare forward passes, of the whole run and of the network tier alone; "
        f"*and the student's layers*: of the whole run, with {1e6 * per_row:.2f} us for each candidate that "
        "the student scores, measured apart on one thread.\n\n"
    )
    print(text := text + markdown_table(head, [_row(run, per_row) for run in found]))
    if chosen.sizes == list(SIZES):
        write_section("scale", text)


def _measured(work: Path, size: int) -> Path:
    return work / f"{size}.json"


def _measure(work: Path, size: int) -> None:
    """Screen one size in a process of its own and keep its time and memory."""
    folder = work / str(size)
    command = [sys.executable, "-c", "from softlyte.cli import main; main()", "screen", SPACE]
    command += ["--out", str(folder), "--no-report", *(["--limit", str(size)] if size < WHOLE else [])]
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    spent = time.perf_counter() - start
    if status:
        raise SystemExit(f"the screening of {size:,} candidates ended with status {status}; run this again")
    record = json.loads((folder / "run.json").read_text())
    if record["attempts"] > 1:
        spent = record["timings_s"]["total"]  # of all attempts; starting Python is not in it
    result = {
        "size": size,
        "seconds": spent,
        "memory_mb": usage.ru_maxrss / 1024,
        "attempts": record["attempts"],
        "threads": torch.get_num_threads(),
        "timings_s": record["timings_s"],
        "counts": record["counts"],
    }
    with atomic_text(_measured(work, size)) as handle:
        json.dump(result, handle, indent=1)


def _student_seconds(folder: Path) -> float:
    """Return the seconds that a run's student spends in its layers for one candidate, on one thread."""
    student = Surrogate.from_table(ChunkStore(folder / CHUNK_FOLDER).load("learned-00")[0])
    features = np.random.default_rng(0).random((CHUNK_ROWS, len(student.weights[0])), dtype=np.float32)
    times = []
    with threadpool_limits(1):
        for _ in range(5):
            start = time.perf_counter()
            student.forward(features)
            times.append(time.perf_counter() - start)
    return min(times) / CHUNK_ROWS


def _row(run: dict[str, Any], per_row: float) -> list[str]:
    times, counts, threads = run["timings_s"], run["counts"], run["threads"]
    forward = times["forward_all_threads"] / threads
    tier = times["network"] - times.get("student", 0.0)
    layers = per_row * run["size"] / threads
    return [
        f"{run['size']:,}",
        f"{counts['predicted']:,}",
        f"{run['seconds']:,.0f}",
        f"{run['seconds'] / run['size'] * 1e6:.1f}",
        f"{run['size'] / run['seconds']:,.0f}",
        f"{run['memory_mb']:,.0f}",
        f"{times.get('student', 0.0):,.0f}",
        f"{tier:,.0f}",
        f"{times['hull']:,.0f}",
        f"{forward / run['seconds']:.0%}, {forward / tier:.0%}",
        f"{(forward + layers) / run['seconds']:.0%}",
    ]


if __name__ == "__main__":
    main()
