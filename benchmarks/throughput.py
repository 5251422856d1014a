"""Compositions per second: featurizer, bare network, predictor; writes a section of RESULTS.md.

python -m benchmarks.throughput
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch

from benchmarks.report import markdown_table, write_section
from softlyte.datasets.formulas import Compositions
from softlyte.featurize.composition import CompositionFeaturizer
from softlyte.models.predictor import BATCH_SIZE, Predictor
from softlyte.screening.enumerate import enumerate_candidates
from softlyte.screening.space import load_space


def rate(work: Callable[[], object], count: int, repeats: int = 3) -> float:
    """Return the best of several runs in items a second."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return count / min(times)


def main() -> None:
    """Run the benchmark on candidates of the default space, spread over its whole length."""
    parser = argparse.ArgumentParser(description="compositions per second")
    parser.add_argument("--candidates", type=int, default=40_960)
    count = parser.parse_args().candidates
    chunks = list(enumerate_candidates(load_space(None)))
    compositions = Compositions.concatenate([chunk.compositions for chunk in chunks])
    chosen = np.linspace(0, len(compositions) - 1, count).astype(np.int64)
    sample, phase = compositions[chosen], np.concatenate([chunk.phase for chunk in chunks])[chosen]
    formulas = sample.formulas()
    featurizer, predictor = CompositionFeaturizer(), Predictor.load(device="auto")
    batches = [
        featurizer(sample[i : i + BATCH_SIZE]).to(predictor.device) for i in range(0, count, BATCH_SIZE)
    ]

    def bare() -> None:
        with torch.inference_mode():
            for batch in batches:
                for network in predictor.networks:
                    network(batch)
        if predictor.device.type == "cuda":
            torch.cuda.synchronize()

    bare_rate = rate(bare, count)
    whole_rate = rate(lambda: predictor.predict(sample, phase), count)
    rows = [
        [
            "parse formulas (pymatgen, into arrays)",
            f"{rate(lambda: Compositions.from_formulas(formulas), count):,.0f}",
        ],
        ["featurize arrays into batched graphs", f"{rate(lambda: featurizer(sample, phase), count):,.0f}"],
        [f"bare forward pass of {len(predictor.networks)} networks", f"{bare_rate:,.0f}"],
        ["`Predictor.predict` (calibrated ensemble)", f"{whole_rate:,.0f}"],
        ["share of the time spent in the bare networks", f"{whole_rate / bare_rate:.0%}"],
    ]
    print(text := markdown_table(["step", "compositions/s"], rows))
    device = f"{predictor.device.type}, {torch.get_num_threads()} threads"
    write_section("speed", f"`python -m benchmarks.throughput` ({device})\n\n{text}")


if __name__ == "__main__":
    main()
