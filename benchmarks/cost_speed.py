"""Compositions priced per second; writes a section of RESULTS.md.

python -m benchmarks.cost_speed
"""

from __future__ import annotations

import os
import time

import numpy as np

from benchmarks.report import markdown_table, write_section
from softlyte.datasets.formulas import Compositions
from softlyte.screening.cost import Synthesis, precursor_cost
from softlyte.screening.enumerate import enumerate_candidates
from softlyte.screening.prices import default_prices
from softlyte.screening.space import load_space

MILLION = 1_000_000


def many_oxyhalides(count: int) -> Compositions:
    """Return compositions of Li, two metals (45 pairs), two halogens and oxygen: the hard case."""
    rng = np.random.default_rng(0)
    metals = {13: 3, 39: 3, 40: 4, 73: 5, 41: 5, 12: 2, 30: 2, 49: 3, 57: 3, 21: 3}
    pairs = [(a, b) for a in metals for b in metals if a < b]
    parts = []
    for a, b in pairs:
        n = count // len(pairs) + 1
        amounts = rng.integers(1, 9, (n, 5)) / 4  # Li, a, b, O, Br
        charge = amounts[:, 0] + metals[a] * amounts[:, 1] + metals[b] * amounts[:, 2]
        oxygen = np.minimum(amounts[:, 3], charge / 4)
        bromine = np.minimum(amounts[:, 4], (charge - 2 * oxygen) / 2)
        chlorine = charge - 2 * oxygen - bromine
        table = np.stack([amounts[:, 0], amounts[:, 1], amounts[:, 2], oxygen, bromine, chlorine], axis=1)
        parts.append(Compositions.from_table([3, a, b, 8, 35, 17], table))
    return Compositions.concatenate(parts)[:count]


def seconds_per_million(compositions: Compositions, synthesis: Synthesis) -> float:
    """Return the time of one run, scaled to a million compositions."""
    start = time.perf_counter()
    precursor_cost(compositions, default_prices(), synthesis)
    return (time.perf_counter() - start) / len(compositions) * MILLION


def main() -> None:
    """Price the default space and a million oxyhalides by both routes."""
    space = Compositions.concatenate([chunk.compositions for chunk in enumerate_candidates(load_space(None))])
    hard = many_oxyhalides(MILLION)
    body = []
    for label, compositions in (
        (f"default space, {len(space):,} candidates", space),
        (f"{len(hard):,} oxyhalides with six elements", hard),
    ):
        for synthesis in ("mechanochemical", "hydrate"):
            body.append([label, synthesis, f"{seconds_per_million(compositions, synthesis):.1f}"])
    text = markdown_table(["compositions", "route", "seconds per million"], body)
    threads = os.environ.get("OMP_NUM_THREADS", "all")
    print(text)
    write_section("cost-speed", f"`python -m benchmarks.cost_speed` ({threads} thread)\n\n{text}")


if __name__ == "__main__":
    main()
