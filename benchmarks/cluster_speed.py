"""One Dask worker against two, and a worker killed in the middle; writes a section of RESULTS.md.

python -m benchmarks.cluster_speed

Workers are processes of one thread on this machine, as `softlyte screen --local-workers N` starts them. The
network tier, which is what a cluster is for, is timed apart from starting processes and planning the space.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from distributed import Client, LocalCluster

from benchmarks.report import markdown_table, write_section
from softlyte.screening.chunk_store import CHUNK_FOLDER
from softlyte.screening.funnel import screen
from softlyte.screening.run_record import RESULT_FILES

SPACE, LIMIT = "funnel-32m", 65_536
OPTIONS: dict[str, Any] = {"limit": LIMIT, "refine": 500, "top": 200, "seed": 0}
OPTIONS |= {"exhaustive": True, "report": False}


def main() -> None:
    """Screen with one worker, with two, with two of which one is killed, and in this process."""
    argparse.ArgumentParser(description="one Dask worker against two").parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        rows, files = [], []
        for name, workers, killed in (("one", 1, False), ("two", 2, False), ("two, one killed", 2, True)):
            whole, tier = _screen(work / name, workers, killed)
            files.append({file: (work / name / file).read_bytes() for file in RESULT_FILES})
            rows.append((name, whole, tier))
        start = time.perf_counter()
        screen(SPACE, out=work / "alone", device="cpu", **OPTIONS)
        rows.append(("none: threads of one process", time.perf_counter() - start, _tier(work / "alone")))
        files.append({file: (work / "alone" / file).read_bytes() for file in RESULT_FILES})
    assert all(content == files[0] for content in files), "the results differ"
    ratio = rows[0][2] / rows[1][2]
    body = [[name, f"{whole:,.0f}", f"{tier:,.0f}", f"{LIMIT / tier:,.0f}"] for name, whole, tier in rows]
    text = (
        f"`python -m benchmarks.cluster_speed`: {LIMIT:,} random candidates of `{SPACE}`, exhaustively, on "
        f"{os.cpu_count()} cores. Two workers are {ratio:.2f} times one in the network tier. All four write "
        "the same files, byte for byte.\n\n"
    )
    head = ["Dask workers of one thread", "whole screening, s", "network tier, s", "candidates/s"]
    print(text := text + markdown_table(head, body))
    write_section("cluster-speed", text)


def _screen(out: Path, workers: int, killed: bool) -> tuple[float, float]:
    """Screen on a cluster of its own; return the seconds of all and of the network tier."""
    start = time.perf_counter()
    with (
        LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):
        if killed:
            victim = next(iter(client.run(os.getpid).values()))
            threading.Thread(target=_kill, args=(victim, out / CHUNK_FOLDER), daemon=True).start()
        screen(SPACE, out=out, device="cpu", scheduler=cluster.scheduler_address, **OPTIONS)
    return time.perf_counter() - start, _tier(out)


def _tier(out: Path) -> float:
    return float(json.loads((out / "run.json").read_text())["timings_s"]["network"])


def _kill(process: int, chunks: Path) -> None:
    """Kill a worker once the first piece is there."""
    while not list(chunks.glob("network-*.parquet")):
        time.sleep(0.1)
    os.kill(process, signal.SIGKILL)


if __name__ == "__main__":
    main()
