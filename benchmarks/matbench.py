"""Matbench v0.1 log10 K and log10 G from composition alone, official five folds; a section of RESULTS.md.

python -m benchmarks.matbench                      # baselines
python -m benchmarks.matbench --run RUN_FOLDER     # networks too
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from benchmarks.baselines import Task
from benchmarks.experiment import NetworkPlan
from benchmarks.protocols import Split, matbench
from benchmarks.runner import Protocol, main
from softlyte.models.evaluation import halide_rows
from softlyte.models.training_data import TrainingRows

TABLE = ("elastic_moduli",)


def subsets(tests: TrainingRows, splits: Sequence[Split]) -> Mapping[str, NDArray[np.bool_]]:
    """Return all rows (the official score), Li/Na halides, and the rows without a flag."""
    flagged = np.concatenate([split.extra["flagged"] for split in splits])
    halides = halide_rows(tests)
    return {
        "all (official)": np.ones(len(tests), bool),
        "Li/Na halides": halides,
        "not flagged": ~flagged,
        "Li/Na halides, not flagged": halides & ~flagged,
    }


PROTOCOL = Protocol(
    "matbench",
    matbench,
    (
        Task("log10 K", "bulk_modulus_gpa", TABLE),
        Task("log10 G", "shear_modulus_gpa", TABLE),
        Task("log10 E", "youngs_modulus_gpa", TABLE),
    ),
    subsets,
    NetworkPlan(
        passes={
            "elastic_moduli": 4.0,
            "mechanics_cited": 4.0,
            "glass_mechanics": 0.3,
            "formation_energy": 0.1,
        },
        epochs=10,
        plain_passes={"elastic_moduli": 2.0},
    ),
)

if __name__ == "__main__":
    main(PROTOCOL, "Matbench v0.1: bulk and shear modulus, official folds")
