"""Speed, memory and correctness of enumerating the shipped spaces; writes a section of RESULTS.md.

python -m benchmarks.enumeration
"""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import subprocess
import sys
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.report import markdown_table, write_section
from softlyte.screening.enumerate import CandidateChunk, plan_candidates
from softlyte.screening.space import load_space, space_names

CHUNK_ROWS = 200_000
RESTARTS = 20


def main() -> None:
    """Measure every space in a process of its own."""
    parser = argparse.ArgumentParser(description="speed and memory of enumeration")
    parser.add_argument("spaces", nargs="*", help="files or names; default: all shipped spaces")
    parser.add_argument("--measure", choices=("speed", "check"), help="measure one space, print JSON")
    chosen = parser.parse_args()
    if chosen.measure:
        (name,) = chosen.spaces
        print(json.dumps(_speed(name) if chosen.measure == "speed" else _check(name)))
        return
    body = []
    for name in chosen.spaces or space_names():
        found = _elsewhere(name, "speed") | _elsewhere(name, "check")
        assert found["distinct"] == found["candidates"], f"{name} holds duplicates"
        assert found["restarts_equal"], f"{name} differs after a restart"
        body.append(
            [
                name,
                f"{found['candidates']:,}",
                f"{found['systems']:,}",
                f"{found['plan_s']:.1f}",
                f"{found['rows_s']:.1f}",
                f"{found['candidates'] / (found['plan_s'] + found['rows_s']) / 1e6:.2f}",
                f"{found['memory_mb']:,.0f}",
            ]
        )
        print(*body[-1], sep="  ", flush=True)
    head = ["space", "distinct candidates", "chemical systems", "load and plan, s", "lay out all, s"]
    head += ["million candidates/s", "peak memory, MB"]
    text = (
        "`python -m benchmarks.enumeration`: processor seconds of one thread; memory of the whole process, "
        f"libraries included; chunks of {CHUNK_ROWS:,} rows with phase, mobile ion, family and provenance. "
        "Every space was then counted again by a 64-bit hash of each row's reduced composition and phase "
        "(as many different hashes as rows, so no two rows are equal), and "
        f"{RESTARTS} random chunks laid out by another process's plan were identical.\n\n"
    )
    print(text := text + markdown_table(head, body))
    if not chosen.spaces:
        write_section("enumeration", text)


def _elsewhere(name: str, what: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.enumeration", name, "--measure", what]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _speed(name: str) -> dict[str, Any]:
    """Plan a space and lay out all its rows; nothing is kept."""
    start = time.process_time()
    plan = plan_candidates(load_space(name))
    planned = time.process_time()
    rows = sum(len(chunk) for chunk in plan.chunks(CHUNK_ROWS))
    end = time.process_time()
    assert rows == len(plan)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "candidates": rows,
        "systems": len(plan.systems),
        "plan_s": planned - start,
        "rows_s": end - planned,
        "memory_mb": peak,
        "sampled": {str(begin): _digest(plan.rows(begin, begin + 1000)) for begin in _begins(len(plan))},
    }


def _check(name: str) -> dict[str, Any]:
    """Count distinct rows by their hashes, and compare chunks with those of a process that ran through.

    Equal rows have equal hashes, so as many hashes as rows prove that there are no duplicates.
    """
    plan = plan_candidates(load_space(name))
    passed = {str(begin): _digest(plan.rows(begin, begin + 1000)) for begin in _begins(len(plan))}
    hashes = np.concatenate([_hashes(chunk) for chunk in plan.chunks(CHUNK_ROWS)])
    hashes.sort()
    distinct = int((hashes[1:] != hashes[:-1]).sum()) + min(len(hashes), 1)
    return {"distinct": distinct, "restarts_equal": passed == _elsewhere(name, "speed")["sampled"]}


def _begins(count: int) -> list[int]:
    begins: list[int] = np.random.default_rng(0).integers(max(count - 1000, 1), size=RESTARTS).tolist()
    return begins


def _digest(chunk: CandidateChunk) -> str:
    parts = (chunk.compositions.atomic_numbers, chunk.compositions.amounts, chunk.phase, chunk.provenance)
    return hashlib.sha256(b"".join(np.ascontiguousarray(part).tobytes() for part in parts)).hexdigest()


def _hashes(chunk: CandidateChunk) -> NDArray[np.uint64]:
    """Return a hash of each row's elements, smallest whole-number amounts and phase, [N]."""
    numbers = chunk.compositions.atomic_numbers.astype(np.uint64)
    mixed = _mix((numbers << np.uint64(32)) + chunk.compositions.integer_amounts().astype(np.uint64))
    # A sum does not depend on the order of elements; padding counts nothing.
    total = np.where(numbers > 0, mixed, np.uint64(0)).sum(axis=1, dtype=np.uint64)
    return _mix(total + chunk.phase.astype(np.uint64))


def _mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Scatter the bits (the finaliser of SplitMix64, Steele et al. 2014, doi 10.1145/2660193.2660195)."""
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


if __name__ == "__main__":
    main()
