"""Worker processes: they work, and they end with the process that started them."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from softlyte.datasets.workers import worker_pool

PARENT = """
import os, time
from pathlib import Path
from softlyte.datasets.workers import worker_pool

def work(place):
    Path(place).write_text(str(os.getpid()))
    time.sleep(120)

if __name__ == "__main__":
    with worker_pool(1) as pool:
        pool.submit(work, {place!r}).result()
"""


def alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return "Z" not in Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0]


def test_workers_work() -> None:
    with worker_pool(2) as pool:
        assert list(pool.map(abs, [-1, 2, -3])) == [1, 2, 3]


def test_workers_end_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    place, script = tmp_path / "pid", tmp_path / "parent.py"
    script.write_text(PARENT.format(place=str(place)), encoding="utf-8")
    parent = subprocess.Popen([sys.executable, str(script)])
    deadline = time.monotonic() + 60
    while not (place.exists() and place.read_text()):
        assert time.monotonic() < deadline, "the worker never started"
        time.sleep(0.1)
    worker = int(place.read_text())
    assert alive(worker)
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    deadline = time.monotonic() + 30
    while alive(worker):
        assert time.monotonic() < deadline, "the worker outlived its parent"
        time.sleep(0.1)
