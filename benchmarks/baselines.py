"""Baselines that a network must beat: ExtraTrees on descriptor statistics."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.ensemble import ExtraTreesRegressor

from softlyte.datasets.columns import FIDELITIES, PHASES
from softlyte.featurize.composition import CompositionFeaturizer
from softlyte.featurize.elements import element_descriptors
from softlyte.models.network import descriptor_statistics
from softlyte.models.training_data import TrainingRows


def tabular_features(rows: TrainingRows) -> NDArray[np.float32]:
    """Return what a tree can use of each row, [N, 4D + 9].

    The same knowledge as the network has: weighted mean, deviation, minimum and maximum of the element
    descriptors, one-hot phase and fidelity, and 1000/T.
    """
    batch = CompositionFeaturizer()(rows.compositions, rows.phase, rows.fidelity, rows.temperature_c)
    described = torch.from_numpy(element_descriptors().values.copy())
    parts = [
        descriptor_statistics(described[batch.element[i : i + 4096]], batch.fraction[i : i + 4096]).numpy()
        for i in range(0, len(rows), 4096)
    ]
    phase, fidelity = np.eye(len(PHASES))[rows.phase], np.eye(len(FIDELITIES))[rows.fidelity]
    temperature = batch.inverse_temperature.numpy()[:, None]
    return np.concatenate([np.concatenate(parts), phase, fidelity, temperature], axis=1).astype(np.float32)


def extra_trees(seed: int, trees: int = 100) -> ExtraTreesRegressor:
    """Return the baseline regressor: a third of the features a split, fully grown."""
    return ExtraTreesRegressor(trees, max_features=1 / 3, random_state=seed, n_jobs=-1)
