"""OBELiX: conductivity on the official test set and in five folds of its train part; two sections of results.

python -m benchmarks.obelix                      # baselines
python -m benchmarks.obelix --run RUN_FOLDER     # networks too
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from benchmarks.baselines import Task
from benchmarks.experiment import NetworkPlan
from benchmarks.protocols import SIGMA, Split, obelix, obelix_folds
from benchmarks.runner import Protocol, main, thrifty
from softlyte.models.training_data import TrainingRows

TABLES = ("conductivity_obelix", "conductivity_cited")


def subsets(tests: TrainingRows, splits: Sequence[Split]) -> Mapping[str, NDArray[np.bool_]]:
    """Return all rows and the rows without a flag."""
    flagged = np.concatenate([split.extra["flagged"] for split in splits])
    return {"all": np.ones(len(tests), bool), "not flagged": ~flagged}


OBELIX = ("conductivity_obelix",)
TASKS = (
    Task("'< 1e-10' as 1e-15 S/cm (the project's own score)", SIGMA, OBELIX, "value"),
    Task("'< 1e-10' as an upper bound", SIGMA, OBELIX, "bound"),
    Task("rows with a value", SIGMA, OBELIX),
    Task("rows with a value; baselines see the cited panel", SIGMA, TABLES),
    Task("rows with a value; baselines see all conductivities", SIGMA),
)
NETWORK = NetworkPlan(
    passes={
        "conductivity_obelix": 5.0,
        "conductivity_cited": 5.0,
        "glass_conductivity": 0.5,
        "elastic_moduli": 0.2,
        "windows_computed": 0.3,
        "distilled": 0.5,
    },
    plain_passes={"conductivity_obelix": 5.0},
    plain_epochs=40,
)
PROTOCOL = Protocol("obelix", obelix, TASKS, subsets, NETWORK, thrifty)
FOLDS = Protocol("obelix_folds", obelix_folds, TASKS[:4], subsets, NETWORK)

if __name__ == "__main__":
    for protocol in (PROTOCOL, FOLDS):
        main(protocol, "OBELiX: log10 conductivity, official split and 5 folds of its train part")
