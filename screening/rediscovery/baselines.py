"""Rankings without the engine: what enrichment costs less than a decision."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import ExtraTreesRegressor

from softlyte.datasets.columns import FIDELITIES, PHASES
from softlyte.datasets.distances import fraction_table, nearest
from softlyte.datasets.formulas import Compositions
from softlyte.models.distillation import tabular_features
from softlyte.models.tasks import TARGET_NAMES
from softlyte.models.training_data import ROOM_C, TrainingRows
from softlyte.screening.rediscovery.population import Population

FloatArray = NDArray[np.float64]

TREES = 100
_CHUNK_ROWS = 20_000
_MEASURED = ("conductivity_obelix", "conductivity_cited", "glass_conductivity")
_GLASS = PHASES.index("glass")


def nearness(population: Population, known: Compositions) -> FloatArray:
    """Return minus the distance to the nearest of some known electrolytes, [N]; -1 where none is known."""
    if not len(known):
        return np.full(len(population), -1.0)
    return -nearest(population.compositions, fraction_table(known))[1]


def tree_conductivity(population: Population, rows: TrainingRows, seed: int) -> FloatArray:
    """Return log10 of the conductivity by ExtraTrees, the better of the phases, [N].

    They learn from every conductivity near room temperature among the rows, SciGlass included, on the
    networks' descriptors.

    Args:
        population: N candidates.
        rows: what the year's networks may learn from.
        seed: of the trees.
    """
    target = TARGET_NAMES.index("sigma_s_cm")
    measured = np.isin(rows.source, [rows.sources.index(name) for name in _MEASURED])
    known = measured & ~np.isnan(rows.targets[:, target]) & (rows.temperature_c <= 40.0)
    learned = rows.take(known)
    model = ExtraTreesRegressor(TREES, max_features=1 / 3, random_state=seed)
    model.fit(tabular_features(learned), learned.targets[:, target])
    score = np.full(len(population), -np.inf)
    for start in range(0, len(population), _CHUNK_ROWS):
        piece = slice(start, start + _CHUNK_ROWS)
        for code in range(len(PHASES)):
            here = np.arange(len(population))[piece]
            if code == _GLASS:
                here = here[population.glass[here]]
            if len(here):
                asked = tabular_features(_asked(population.compositions[here], code))
                score[here] = np.maximum(score[here], model.predict(asked))
    return score


def _asked(compositions: Compositions, phase: int) -> TrainingRows:
    """Return unlabelled rows of a phase as it is measured near room temperature."""
    count = len(compositions)
    fidelity = FIDELITIES.index("measured_glass" if phase == _GLASS else "measured_pellet")
    return TrainingRows(
        compositions,
        np.full(count, phase),
        np.full(count, fidelity),
        np.full(count, ROOM_C),
        np.full((count, len(TARGET_NAMES)), np.nan),
        np.zeros(count, bool),
        np.ones(count),
        np.zeros(count, np.int64),
        np.zeros(count, np.int64),
        ("asked",),
    )
