"""Two hours of screening in one process: memory and checksums round by round; writes a section of RESULTS.md.

python -m benchmarks.long_run --work WORK

Every round screens the same seeded sample of a space in this process, with one or two threads in turn, and
writes resident memory and the checksums of its result files as a line of WORK/rounds.jsonl. A call that was
stopped goes on with the next round in a new process; the section is written once the rounds of one process
have lasted HOURS.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.report import markdown_table, write_section
from softlyte.models.predictor import Predictor
from softlyte.screening.funnel import screen
from softlyte.screening.run_record import RESULT_FILES

HOURS = 2.0
SPACE, LIMIT, REFINE, TOP = "doped-li2zrcl6", 6_000, 200, 100
WARM_ROUNDS = 5
"""Rounds until caches are filled; growth is measured from there."""
FLAT_MIB_HOUR = 20.0
"""Memory counts as flat below this slope."""


def main() -> None:
    """Screen until the time is over; write what was seen."""
    parser = argparse.ArgumentParser(description="two hours of screening")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=60 * HOURS, help="less writes no section")
    chosen = parser.parse_args()
    chosen.work.mkdir(parents=True, exist_ok=True)
    log = chosen.work / "rounds.jsonl"
    rounds = [json.loads(line) for line in log.read_text().splitlines()] if log.is_file() else []
    process = 1 + max((line["process"] for line in rounds), default=0)
    predictor = Predictor.load(None, "cpu")
    start = time.monotonic()
    while time.monotonic() - start < 60 * chosen.minutes:
        line = _round(predictor, chosen.work / "out", threads=1 + len(rounds) % 2)
        line |= {"round": len(rounds), "process": process, "elapsed_s": round(time.monotonic() - start, 1)}
        rounds.append(line)
        with log.open("a") as handle:
            handle.write(json.dumps(line) + "\n")
        print(
            *(f"{name} {line[name]}" for name in ("round", "elapsed_s", "resident_mib", "threads")),
            flush=True,
        )
    own = [line for line in rounds if line["process"] == process]
    text = _text(own, rounds)
    print(text)
    if chosen.minutes >= 60 * HOURS:
        write_section("long-run", text)


def _round(predictor: Predictor, out: Path, threads: int) -> dict[str, Any]:
    """Screen once into an empty folder and return what was seen."""
    shutil.rmtree(out, ignore_errors=True)
    torch.set_num_threads(threads)
    start = time.perf_counter()
    screen(SPACE, out=out, predictor=predictor, limit=LIMIT, refine=REFINE, top=TOP, seed=0, report=False)
    seconds = time.perf_counter() - start
    gc.collect()
    sums = [hashlib.sha256((out / name).read_bytes()).hexdigest()[:16] for name in RESULT_FILES]
    return {
        "threads": threads,
        "seconds": round(seconds, 2),
        "resident_mib": round(_resident_mib(), 1),
        "open_files": len(list(Path("/proc/self/fd").iterdir())),
        "checksums": sums,
    }


def _resident_mib() -> float:
    """Return the resident memory of this process (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def _text(own: list[dict[str, Any]], rounds: list[dict[str, Any]]) -> str:
    """Return the section: `own` are the rounds of this process, `rounds` all of them."""
    hours = np.array([line["elapsed_s"] for line in own]) / 3600
    memory = np.array([line["resident_mib"] for line in own])
    warm = slice(min(WARM_ROUNDS, len(own) - 1), None)
    slope = np.polyfit(hours[warm], memory[warm], 1)[0] if len(own) > WARM_ROUNDS + 2 else np.nan
    kinds = {tuple(line["checksums"]) for line in rounds}
    marks = np.unique(np.linspace(0, len(own) - 1, 9).astype(int))
    body = [
        [str(i + 1), f"{own[i]['elapsed_s'] / 60:.0f}", f"{memory[i]:.0f}", str(own[i]["open_files"])]
        for i in marks
    ]
    flat = "flat" if abs(slope) < FLAT_MIB_HOUR else "not flat"
    return (
        f"`python -m benchmarks.long_run`: {len(own)} screenings of {LIMIT:,} candidates of `{SPACE}` one "
        f"after the other in one process, {hours[-1] * 60:.0f} minutes, one and two threads in turn. "
        f"Resident memory {memory[warm].min():.0f} to {memory[warm].max():.0f} MiB after the first "
        f"{WARM_ROUNDS}, {slope:+.1f} MiB an hour ({flat}: below {FLAT_MIB_HOUR:.0f}). "
        f"{', '.join(RESULT_FILES)}: {len(kinds)} different "
        f"set{'s' if len(kinds) > 1 else ''} of checksums in {len(rounds)} rounds, so the tolerance "
        f"(no byte, one thread or two) is {'met' if len(kinds) == 1 else 'NOT met'}.\n\n"
        + markdown_table(["round", "minute", "resident, MiB", "open files"], body)
    )


if __name__ == "__main__":
    main()
