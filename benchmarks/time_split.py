"""Train on conductivities published up to 2021, predict those of 2022-2026; a section of RESULTS.md.

python -m benchmarks.time_split                      # baselines
python -m benchmarks.time_split --run RUN_FOLDER     # networks too
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from benchmarks.baselines import Task
from benchmarks.families_left_out import PROTOCOL as FAMILIES
from benchmarks.protocols import SIGMA, Split, time_split
from benchmarks.runner import Protocol, main, thrifty
from softlyte.models.training_data import TrainingRows


def subsets(tests: TrainingRows, splits: Sequence[Split]) -> Mapping[str, NDArray[np.bool_]]:
    """Return all rows, and compositions that nobody had published before."""
    before = np.concatenate([split.extra["measured_before"] for split in splits])
    return {"published 2022-2026": np.ones(len(tests), bool), "compositions new since 2022": ~before}


PROTOCOL = Protocol(
    "time_split",
    time_split,
    (
        Task("log10 sigma", SIGMA, ("conductivity_obelix", "conductivity_cited")),
        Task("log10 sigma, baselines with all conductivities", SIGMA),
    ),
    subsets,
    FAMILIES.network,
    thrifty,
)

if __name__ == "__main__":
    main(PROTOCOL, "conductivities published after 2021, from what was published before")
