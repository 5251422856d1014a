"""Screenings killed at random moments and called again; writes a section of RESULTS.md.

python -m benchmarks.kills

Each of KILLS screenings of a small space runs in a process of its own, is ended with SIGKILL after a random
time (seeded) and called again. What it has written must then be what an undisturbed screening writes,
byte for byte, and no piece that was kept may have been computed twice.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.report import markdown_table, write_section
from softlyte.models.checkpoint import PRETRAINED, load_checkpoint, save_checkpoint
from softlyte.screening.chunk_store import CHUNK_FOLDER
from softlyte.screening.run_record import RESULT_FILES

KILLS = 20
SPACE = "doped-li2zrcl6"
LIMIT, REFINE, TOP = 12_000, 400, 200
SMALLER = {"SMALLEST_SPACE": 2_000, "SAMPLE_ROWS": 2_048, "ROUND_ROWS": 1_024, "KEPT_ROWS": 6_000}
PIECES = {"PIECE_ROWS": 256, "SCORED_ROWS": 2_048, "REFINED_ROWS": 64}
"""Sizes of the student's tiers, so that a small space goes through all of them in many pieces."""

CHILD = """
import json, sys
from softlyte.screening import selection, shortlist
from softlyte.screening.funnel import screen
given = json.loads(sys.argv[1])
for module, sizes in ((shortlist, given["smaller"]), (selection, given["pieces"])):
    for name, value in sizes.items():
        setattr(module, name, value)
print("begun", flush=True)
screen(given["space"], out=given["out"], weights=given["weights"], **given["options"])
"""


def main() -> None:
    """Kill, resume and compare."""
    parser = argparse.ArgumentParser(description="screenings killed at random moments")
    parser.add_argument("--kills", type=int, default=KILLS)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    rng = np.random.default_rng(chosen.seed)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        weights = _two_members(work / "weights")
        process = _begin(work / "undisturbed", weights)
        start = time.perf_counter()
        assert process.wait() == 0
        whole_s = time.perf_counter() - start
        wanted = {name: (work / "undisturbed" / name).read_bytes() for name in RESULT_FILES}
        body = []
        for number in range(chosen.kills):
            moment = float(rng.uniform(0.0, whole_s))
            body.append(_killed(work / str(number), weights, moment, wanted, number))
            print(*body[-1], sep="  ", flush=True)
    assert all(row[-1] == "yes" for row in body), "a resumed screening differs"
    head = ["kill", "after, s", "last piece kept", "pieces kept", "of", "identical"]
    text = (
        f"`python -m benchmarks.kills`: {LIMIT:,} candidates of `{SPACE}` by two of the shipped networks, "
        f"through student, rounds and hull in small pieces; {whole_s:.0f} s undisturbed. {chosen.kills} "
        f"screenings ended by SIGKILL (seed {chosen.seed}) and called again: {', '.join(RESULT_FILES)} are "
        f"identical in {sum(row[-1] == 'yes' for row in body)} of {len(body)}; no piece that was kept was "
        "computed again.\n\n"
    )
    print(text := text + markdown_table(head, body))
    if chosen.kills == KILLS:
        write_section("kills", text)


def _two_members(folder: Path) -> Path:
    """Keep two of the shipped networks as an ensemble of their own, so that many screenings take minutes."""
    shipped = load_checkpoint(PRETRAINED)
    # What depends on the number of members is written anew.
    own = ("members", "weights_sha256")
    card = {name: value for name, value in shipped.card.items() if name not in own}
    save_checkpoint(folder, card, list(shipped.members)[:2])
    return folder


def _begin(out: Path, weights: Path) -> subprocess.Popen[str]:
    """Start a screening; return when its imports are done."""
    options = {"limit": LIMIT, "refine": REFINE, "top": TOP, "device": "cpu", "report": False}
    given = {"space": SPACE, "out": str(out), "weights": str(weights), "options": options}
    given |= {"smaller": SMALLER, "pieces": PIECES}
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, json.dumps(given)], stdout=subprocess.PIPE, text=True
    )


def _killed(out: Path, weights: Path, moment: float, wanted: dict[str, bytes], number: int) -> list[str]:
    """Kill one screening, call it again and say whether it ended as the undisturbed one."""
    process = _begin(out, weights)
    try:
        process.wait(timeout=moment)
    except subprocess.TimeoutExpired:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    kept = {path.name: path.stat().st_mtime_ns for path in (out / CHUNK_FOLDER).glob("*.parquet")}
    assert _begin(out, weights).wait() == 0
    after = {path.name: path.stat().st_mtime_ns for path in (out / CHUNK_FOLDER).glob("*.parquet")}
    assert all(after[name] == written for name, written in kept.items()), "a kept piece was computed again"
    same = all((out / name).read_bytes() == content for name, content in wanted.items())
    latest = max(kept, key=lambda name: kept[name], default="")
    tier = latest.split("-")[0] or "start"
    return [str(number + 1), f"{moment:.1f}", tier, str(len(kept)), str(len(after)), "yes" if same else "NO"]


if __name__ == "__main__":
    main()
