"""Leave one family out of the cited conductivity panel; a section of RESULTS.md.

python -m benchmarks.families_left_out                      # baselines
python -m benchmarks.families_left_out --run RUN_FOLDER     # networks too
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from benchmarks.baselines import Task
from benchmarks.experiment import NetworkPlan
from benchmarks.protocols import SIGMA, SODIUM, Split, families_left_out
from benchmarks.runner import Protocol, main, thrifty
from softlyte.models.training_data import TrainingRows

MEASURED = ("conductivity_obelix", "conductivity_cited")


def subsets(tests: TrainingRows, splits: Sequence[Split]) -> Mapping[str, NDArray[np.bool_]]:
    """Return all predictions together, every row once (the anion families), and each hold-out."""
    name = np.concatenate([np.full(len(split.test), split.name) for split in splits])
    everything = {
        "all predictions": np.ones(len(tests), bool),
        "each row once": name != SODIUM.replace(" ", "_"),
    }
    return everything | {f"no {split.name.replace('_', ' ')}": name == split.name for split in splits}


PROTOCOL = Protocol(
    "families_left_out",
    families_left_out,
    (
        Task("log10 sigma", SIGMA, MEASURED),
        Task("log10 sigma, baselines with all conductivities", SIGMA),
    ),
    subsets,
    NetworkPlan(
        passes={
            "conductivity_obelix": 3.0,
            "conductivity_cited": 10.0,
            "glass_conductivity": 0.5,
            "elastic_moduli": 0.2,
            "windows_computed": 0.3,
            "distilled": 0.5,
        },
        plain_passes={"conductivity_obelix": 3.0, "conductivity_cited": 10.0},
        plain_epochs=40,
    ),
    thrifty,
)

if __name__ == "__main__":
    main(PROTOCOL, "conductivity of a family of halides without any conductivity of that family")
