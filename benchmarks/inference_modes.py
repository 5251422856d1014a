"""Ways to run the networks: compiled, and in half precision, beside plain inference; writes RESULTS.md.

python -m benchmarks.inference_modes

One thread, as each piece of a screening has. The error of half precision is that of the predicted medians,
as a share of half the stated 90% interval.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch

from benchmarks.report import markdown_table, write_section
from softlyte.datasets.formulas import Compositions
from softlyte.models.predictions import Predictions
from softlyte.models.predictor import Predictor
from softlyte.screening.enumerate import enumerate_candidates
from softlyte.screening.space import load_space

REPEATS = 3


def main() -> None:
    """Time each way on the same candidates."""
    parser = argparse.ArgumentParser(description="ways to run the networks")
    parser.add_argument("--candidates", type=int, default=8_192)
    count = parser.parse_args().candidates
    torch.set_num_threads(1)
    chunks = list(enumerate_candidates(load_space(None)))
    whole = Compositions.concatenate([chunk.compositions for chunk in chunks])
    chosen = np.linspace(0, len(whole) - 1, count).astype(np.int64)
    sample, phase = whole[chosen], np.concatenate([chunk.phase for chunk in chunks])[chosen]
    predictor = Predictor.load(device="cpu")
    truth = predictor.predict(sample, phase)

    def timed(context: Callable[[], AbstractContextManager[object]]) -> tuple[float, Predictions, float]:
        start = time.perf_counter()
        with context():
            said = predictor.predict(sample, phase)
        first, times = time.perf_counter() - start, []
        for _ in range(REPEATS):
            before = time.process_time()
            with context():
                predictor.predict(sample, phase)
            times.append(time.process_time() - before)
        return count / min(times), said, first

    body, base = [], 0.0
    for name, kind in (("plain", None), ("bfloat16", torch.bfloat16), ("float16", torch.float16)):
        rate, said, _ = timed(nullcontext if kind is None else lambda k=kind: torch.autocast("cpu", k))
        base = base or rate
        body.append([name, f"{rate:,.0f}", f"{rate / base:.2f}", *_errors(said, truth)])
    for network in predictor.networks:
        network.encode = torch.compile(network.encode, dynamic=True)  # type: ignore[method-assign]
    rate, said, first = timed(nullcontext)
    body.append(["torch.compile", f"{rate:,.0f}", f"{rate / base:.2f}", *_errors(said, truth)])
    text = (
        f"`python -m benchmarks.inference_modes`: {count:,} candidates of the default space, "
        f"{len(predictor.networks)} networks, calibration included, processor time of one thread. "
        "*Error*: of a property's median, in half widths of its "
        f"90% interval. Compiling took {first:.0f} s before the first batch.\n\n"
    )
    head = ["networks run", "candidates/s", "to plain", "mean error", "largest"]
    print(text := text + markdown_table(head, body))
    write_section("inference-modes", text)


def _errors(said: Predictions, truth: Predictions) -> list[str]:
    """Return mean and largest error of any property's median, in half widths of its stated interval."""
    shares = []
    for name in truth.properties:
        mine, right = said[name], truth[name]
        # In the units in which the interval is symmetric.
        half = 1.645 * right.sd()
        shares.append(np.abs(mine.mean() - right.mean()) / half)
    every = np.concatenate(shares)
    return [f"{every.mean():.2%}", f"{every.max():.2%}"]


if __name__ == "__main__":
    main()
