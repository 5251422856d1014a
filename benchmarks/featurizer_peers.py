"""Featurizer and generator beside matminer's and SMACT's, one after the other on one thread.

python -m benchmarks.featurizer_peers --matminer FOLDER/bin/python --smact FOLDER/bin/python

Each peer runs in an environment of its own: `pip install matminer "pandas<3"`, `pip install smact`. Writes a
section of RESULTS.md.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from benchmarks.report import markdown_table, write_section
from softlyte.datasets.formulas import Compositions, symbols
from softlyte.featurize.composition import CompositionFeaturizer
from softlyte.featurize.elements import element_descriptors
from softlyte.models.network import descriptor_statistics
from softlyte.screening.enumerate import CandidatePlan, plan_candidates
from softlyte.screening.space import load_space

SPACE = "funnel-32m"
COUNT = 200_000
"""Candidates that Softlyte featurizes; matminer is given the first MATMINER_COUNT of them."""
MATMINER_COUNT = 1_000
SMACT_SYSTEMS = 40
BATCH = 4_096


def main() -> None:
    """Measure, ask the peers and write the section."""
    parser = argparse.ArgumentParser(description="featurizer and generator beside matminer and SMACT")
    parser.add_argument("--matminer", type=Path, required=True, help="Python that has matminer")
    parser.add_argument("--smact", type=Path, required=True, help="Python that has SMACT")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    start = time.process_time()
    plan = plan_candidates(load_space(SPACE))
    planned = time.process_time() - start
    drawn = np.random.default_rng(0).choice(len(plan), COUNT, replace=False)
    sample = plan.chosen(drawn)[0]
    formulas = sample.formulas()
    matminer = _peer(chosen.matminer, "matminer", formulas[:MATMINER_COUNT])
    smact = _peer(chosen.smact, "smact", _systems(plan))
    with threadpool_limits(1):
        graphs = COUNT / _best(lambda: _graphs(sample))
        statistics = COUNT / _best(lambda: _statistics(sample))
        written = COUNT / _best(lambda: _statistics(Compositions.from_formulas(formulas)), repeats=1)
        start = time.process_time()
        laid_out = sum(len(chunk) for chunk in plan.chunks(200_000))
        rows = laid_out / (planned + time.process_time() - start)
    magpie, generated = matminer["count"] / matminer["seconds"], smact["count"] / smact["seconds"]
    body = [
        ["batched graphs for the networks, from arrays", f"{graphs:,.0f}", ""],
        ["descriptor statistics (mean, deviation, least, most), from arrays", f"{statistics:,.0f}", ""],
        ["the same from written formulas", f"{written:,.0f}", f"{written / magpie:,.0f} times matminer"],
        [f"matminer {matminer['version']}, Magpie preset, from written formulas", f"{magpie:,.0f}", ""],
        [
            f"enumeration of `{SPACE}`, {laid_out:,} distinct candidates, planning included",
            f"{rows:,.0f}",
            f"{rows / generated:,.0f} times SMACT",
        ],
        [
            f"SMACT {smact['version']}, `smact_filter` of {SMACT_SYSTEMS} of its chemical systems, "
            f"{smact['count']:,} compositions",
            f"{generated:,.0f}",
            "",
        ],
    ]
    text = (
        f"`python -m benchmarks.featurizer_peers`: one thread, processor seconds, {COUNT:,} random rows "
        f"of `{SPACE}` ({MATMINER_COUNT:,} for matminer), each peer in its own environment, in one run. "
        "Parsing written formulas is pymatgen's, and nearly all of that row's time.\n\n"
    )
    print(text := text + markdown_table(["step", "compositions/s", "ratio"], body))
    write_section("featurizer-peers", text)


def _graphs(sample: Compositions) -> None:
    featurizer = CompositionFeaturizer()
    for start in range(0, len(sample), BATCH):
        featurizer(sample[start : start + BATCH])


def _statistics(sample: Compositions) -> None:
    """Return nothing: the features are made and thrown away."""
    featurizer, described = CompositionFeaturizer(), torch.from_numpy(element_descriptors().values.copy())
    with torch.inference_mode():
        for start in range(0, len(sample), BATCH):
            batch = featurizer(sample[start : start + BATCH])
            descriptor_statistics(described[batch.element], batch.fraction)


def _systems(plan: CandidatePlan) -> list[list[str]]:
    """Return random chemical systems of the space of four elements, which SMACT takes seconds for."""
    four = plan.systems[(plan.systems > 0).sum(axis=1) == 4]
    drawn = np.random.default_rng(0).choice(len(four), SMACT_SYSTEMS, replace=False)
    return [[symbols()[z] for z in four[number] if z] for number in np.sort(drawn)]


def _best(work: Callable[[], None], repeats: int = 3) -> float:
    """Return the processor seconds of the quickest of several runs."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


def _peer(python: Path, name: str, asked: Any) -> dict[str, Any]:
    """Ask a peer in its own environment."""
    script = Path(__file__).with_name("featurizer_side.py")
    done = subprocess.run(
        [str(python), str(script), name], input=json.dumps(asked), capture_output=True, text=True, check=False
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise SystemExit(f"{python} did not answer for {name} ({last}); install {name} there")
    answer: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return answer


if __name__ == "__main__":
    main()
