"""Trainings, searches, verifications and builds killed at random moments; writes a section of RESULTS.md.

python -m benchmarks.kills_jobs --work WORK

Beside the screenings of `benchmarks.kills`. Each call of `softlyte train`, `tune`, `verify` and `data build`
runs in a process of its own, is ended with SIGKILL after a random time (seeded) and called again with the
same words. Every file under its final name must be whole when the process has been killed, and the results
those of an undisturbed call. `data build` downloads its artifact from a folder through pip, without network.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pymatgen.core import Lattice, Structure

from benchmarks.report import markdown_table, write_section
from softlyte.datasets.build import default_cache_dir
from softlyte.datasets.build.artifacts import fetch
from softlyte.datasets.tables import load_card

KILLS = {"train": 8, "tune": 8, "verify": 7, "data build": 7}
TABLE = "exchange_rates"

CHILD = """
import importlib, sys
for name in sys.argv[1].split(","):
    importlib.import_module(name)
from softlyte.models import training_data
whole = training_data.load_table
def few(*names, **options):
    table = whole(*names, **options)
    return table.iloc[:: max(1, len(table) // 300)].reset_index(drop=True)
training_data.load_table = few
print("begun", flush=True)
from softlyte.cli import main
sys.argv[1:] = sys.argv[2:]
main()
"""

# Trainings see about 300 rows of each table, so that one is a matter of seconds.

SMALL = """
[network]
width = 8
layers = 1
heads = 2
head_width = 8
[training]
batch_size = 64
"""
"""Network and batches of both."""

TRAINING = (
    SMALL
    + """[[training.stages]]
name = "joint"
epochs = 4
learning_rate = 5e-3
[[training.stages]]
name = "refit"
epochs = 2
learning_rate = 1e-3
rows = "all"
[ensemble]
members = 4
processes = 1
[data]
folds = 2
"""
)

TUNING = (
    SMALL
    + """[[training.stages]]
name = "joint"
epochs = 6
learning_rate = 5e-3
[[training.stages]]
name = "refit"
epochs = 1
learning_rate = 1e-3
rows = "all"
[data]
tables = ["mechanics_cited", "conductivity_cited"]
[tune]
trials = 14
targets = ["sigma_s_cm"]
[tune.space]
network.width = {choices = [8, 16]}
"training.stages.0.learning_rate" = {low = 1e-4, high = 1e-1, log = true}
training.batch_size = {low = 16, high = 64}
"""
)


@dataclass(frozen=True)
class Job:
    """A verb that is killed.

    Attributes:
        verb: name.
        words: of the command line, for a folder of results.
        imports: modules loaded before the clock starts.
        results: what an undisturbed call and a resumed one must agree in, by name.
        whole: patterns of files that hold, wherever they exist, what the undisturbed call has written there.
        environment: variables besides, for a folder of results.
    """

    verb: str
    words: Callable[[Path], list[str]]
    imports: tuple[str, ...]
    results: Callable[[Path], dict[str, Any]]
    whole: tuple[str, ...]
    environment: Callable[[Path], dict[str, str]] = lambda out: {}


def main() -> None:
    """Kill, resume and compare."""
    parser = argparse.ArgumentParser(description="long jobs killed at random moments")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, required=True, help="keeps what was measured, a line a verb")
    parser.add_argument("--verbs", nargs="*", default=list(KILLS), help="only these; the others are kept")
    parser.add_argument("--kills", type=int, help="of each verb; writes no section")
    chosen = parser.parse_args()
    chosen.work.mkdir(parents=True, exist_ok=True)
    log = chosen.work / "verbs.jsonl"
    rows = dict(map(json.loads, log.read_text().splitlines())) if log.is_file() else {}
    with tempfile.TemporaryDirectory() as folder:
        for job in _jobs(Path(folder)):
            if job.verb in chosen.verbs:
                count = KILLS[job.verb] if chosen.kills is None else chosen.kills
                rows[job.verb] = _tried(job, Path(folder) / job.verb.replace(" ", "-"), count, chosen.seed)
                print(*rows[job.verb], sep="  ", flush=True)
                with log.open("a") as handle:
                    handle.write(json.dumps([job.verb, rows[job.verb]]) + "\n")
    body = [rows[verb] for verb in KILLS if verb in rows]
    total, same = (sum(int(row[column]) for row in body) for column in (1, 5))
    head = ["verb", "kills", "undisturbed, s", "killed after, s", "files whole", "results the same"]
    text = (
        f"`python -m benchmarks.kills_jobs`: {total} calls ended by SIGKILL at random moments (seed "
        f"{chosen.seed}) and called again; {same} of {total} ended with the results of an undisturbed call. "
        "Compared byte for byte: weights, card, metrics and out-of-fold predictions (train), "
        "verified.csv, verified_potentials.csv and structures (verify), the table (data build); of a search "
        "the parameters and objectives of all trials that were not killed, in order, and the front.\n\n"
        + markdown_table(head, body)
    )
    print(text)
    if total == sum(KILLS.values()) and len(body) == len(KILLS):
        write_section("kills-jobs", text)


def _jobs(work: Path) -> tuple[Job, ...]:
    (work / "train.toml").write_text(TRAINING)
    (work / "tune.toml").write_text(TUNING)
    for anion, edge in (("Cl", 5.13), ("Br", 5.50)):
        crystal = Structure.from_spacegroup("Fm-3m", Lattice.cubic(edge), ["Li", anion], [[0] * 3, [0.5] * 3])
        crystal.get_primitive_structure().to(filename=str(work / f"Li{anion}.cif"))
    artifact = load_card(TABLE).artifact
    assert artifact is not None
    wheels = fetch(artifact, default_cache_dir()).parent
    potential = ["--potential", "diep", "--workers", "1", "--no-elasticity"]
    structures = [str(work / "LiCl.cif"), str(work / "LiBr.cif")]
    return (
        Job(
            "train",
            lambda out: ["train", str(work / "train.toml"), "--out", str(out), "--device", "cpu"],
            ("softlyte.models.train",),
            _files("checkpoint/*", "evaluated/*", "metrics.json", "out_of_fold.npz"),
            ("member_*/*.safetensors", "member_*/*/finished.safetensors", "checkpoint/*", "metrics.json"),
        ),
        Job(
            "tune",
            lambda out: ["tune", str(work / "tune.toml"), "--out", str(out), "--device", "cpu"],
            ("softlyte.models.tune", "optuna.visualization"),
            _searched,
            (),
        ),
        Job(
            "verify",
            lambda out: ["verify", *structures, "--out", str(out), *potential],
            ("softlyte.screening.physics.verify", "diep", "matcalc"),
            _files("verified.csv", "verified_potentials.csv", "structures/*"),
            ("structures/*", "verified*.csv"),
        ),
        Job(
            "data build",
            lambda out: ["data", "build", TABLE, "--out", str(out / "built")],
            ("softlyte.datasets.build.currencies",),
            _files("built/*.csv"),
            ("built/*.csv", "cache/softlyte/artifacts/*.whl"),
            lambda out: {
                "XDG_CACHE_HOME": str(out / "cache"),
                "PIP_NO_INDEX": "1",
                "PIP_FIND_LINKS": str(wheels),
            },
        ),
    )


def _files(*patterns: str) -> Callable[[Path], dict[str, Any]]:
    def read(out: Path) -> dict[str, Any]:
        found = {
            str(path.relative_to(out)): path.read_bytes()
            for pattern in patterns
            for path in sorted(out.glob(pattern))
            if path.is_file() and not path.name.startswith(".")
        }
        assert len(found) >= len(patterns), f"{out} holds {sorted(found)}"
        return found

    return read


def _searched(out: Path) -> dict[str, Any]:
    """Return all finished trials of a search without their numbers and times, and the front's files."""
    with (out / "trials.csv").open() as handle:
        rows = [row for row in csv.DictReader(handle) if row["state"] in ("complete", "pruned")]
    trials = [{k: v for k, v in row.items() if k not in ("number", "seconds")} for row in rows]
    front = sorted(path.read_text() for path in (out / "front").glob("trial_*.json"))
    pages = {path.name: path.stat().st_size for path in (out / "plots").glob("*.js")}
    return {"trials": trials, "front": front, "plots": pages}


def _begin(job: Job, out: Path) -> subprocess.Popen[str]:
    """Start a call; return when its imports are done."""
    out.mkdir(exist_ok=True)
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD, ",".join(job.imports), *job.words(out)],
        stdout=subprocess.PIPE,
        stderr=(out.parent / f"{out.name}.log").open("a"),
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"} | job.environment(out),
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    return process


def _finish(job: Job, out: Path) -> float:
    """Call to the end; returns the seconds it took."""
    process = _begin(job, out)
    start = time.perf_counter()
    # What the verb prints must be read, or the pipe fills.
    process.communicate()
    assert process.returncode == 0, (out.parent / f"{out.name}.log").read_text()[-2000:]
    return time.perf_counter() - start


def _tried(job: Job, work: Path, kills: int, seed: int) -> list[str]:
    """Kill a verb several times and return its line of the table."""
    work.mkdir()
    rng = np.random.default_rng(seed)
    whole_s = _finish(job, work / "undisturbed")
    wanted = job.results(work / "undisturbed")
    moments, complete, same = [], 0, 0
    for number in range(kills):
        out = work / str(number)
        process = _begin(job, out)
        moments.append(float(rng.uniform(0.0, whole_s)))
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=moments[-1])
        # The session: a process that it has started is killed with it.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        complete += _is_whole(job, out, work / "undisturbed")
        _finish(job, out)
        same += job.results(out) == wanted
    shown = ", ".join(f"{moment:.1f}" for moment in moments)
    return [job.verb, str(kills), f"{whole_s:.1f}", shown, str(complete), str(same)]


def _is_whole(job: Job, out: Path, undisturbed: Path) -> bool:
    """Tell whether every file under its final name is whole."""
    for pattern in job.whole:
        for path in out.glob(pattern):
            if path.name.startswith("."):
                continue
            if path.read_bytes() != (undisturbed / path.relative_to(out)).read_bytes():
                print(f"{path} is not whole", flush=True)
                return False
    for path in out.glob("member_*/*/last.ckpt"):
        torch.load(path, map_location="cpu", weights_only=True)
    for path in (*out.glob("tasks/results/*.json"), *out.glob("trials/*/config.json"), *out.glob("run.json")):
        json.loads(path.read_text())
    return True


if __name__ == "__main__":
    main()
