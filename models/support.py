"""How many measured relatives a prediction has, and the least spread that it may therefore claim.

A network that has learned the few rows of a new chemistry by heart claims to know its neighbours as well
as it repeats those rows. Two facts of the tables bound such claims: repeat measurements of one composition
differ, and a phase of which hardly anything with this anion is labelled can be known no better than by
guessing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlyte.datasets.columns import PHASES
from softlyte.datasets.formulas import Compositions
from softlyte.datasets.repeats import pooled_sd
from softlyte.models.tasks import TASK_NAMES, TASKS
from softlyte.models.training_data import TrainingRows

ENOUGH_ROWS = 100
"""With this many labelled rows of the same phase and main anion a property counts as fully supported."""

ANIONS = (7, 8, 9, 16, 17, 34, 35, 52, 53)
"""Atomic numbers of N, O, F, S, Cl, Se, Br, Te, I; compositions without any form a class of their own."""

REPEATED_TABLES = ("conductivity_obelix", "conductivity_cited")
"""Tables that hold the same composition measured by several laboratories."""

GUESSED = ("bulk_modulus_gpa", "shear_modulus_gpa")
"""Properties whose labels spread so little within a phase that their spread is a usable bound."""


def main_anion(compositions: Compositions) -> NDArray[np.int64]:
    """Return the class of the most abundant anion, [N]: its place in ANIONS plus 1, or 0 without any."""
    amounts = [
        np.where(compositions.atomic_numbers == z, compositions.amounts, 0.0).sum(axis=1) for z in ANIONS
    ]
    stacked = np.stack(amounts, axis=1)
    return np.where(stacked.max(axis=1) > 0, stacked.argmax(axis=1) + 1, 0)


FAMILIES = ("Li or Na with a halogen", "other halide", "oxide", "chalcogenide", "other")
"""Kinds of compositions whose errors differ; the first is the chemistry that Softlyte is for."""


def calibration_family(compositions: Compositions) -> NDArray[np.int64]:
    """Return the index into FAMILIES of each composition, [N], by its elements and its main anion."""
    numbers = compositions.atomic_numbers
    soft = np.isin(numbers, (3, 11)).any(axis=1) & np.isin(numbers, (9, 17, 35, 53)).any(axis=1)
    anion = np.array([0, *ANIONS])[main_anion(compositions)]
    kinds = [soft, np.isin(anion, (9, 17, 35, 53)), anion == 8, np.isin(anion, (16, 34, 52))]
    return np.select(kinds, [0, 1, 2, 3], 4)


@dataclass(frozen=True)
class Support:
    """What the training rows can answer for.

    Attributes:
        rows: [P, T, A] labelled rows by phase, task and main anion.
        label_sd: [P, T] standard deviation of the labels of a phase, 0 where there are none.
        repeat_sd: [T] standard deviation between measurements of one composition, 0 where not known.
    """

    rows: NDArray[np.int64]
    label_sd: NDArray[np.float64]
    repeat_sd: NDArray[np.float64]

    @classmethod
    def fit(cls, rows: TrainingRows) -> Support:
        """Count labels and measure their spread (censored rows are no values and do not count)."""
        targets = np.where(rows.censored[:, None], np.nan, rows.targets)[:, : len(TASKS)]
        anion = main_anion(rows.compositions)
        shape = (len(PHASES), len(TASKS))
        counts, spread = np.zeros((*shape, len(ANIONS) + 1), dtype=np.int64), np.zeros(shape)
        for phase in range(len(PHASES)):
            for task in range(len(TASKS)):
                labelled = (rows.phase == phase) & ~np.isnan(targets[:, task])
                counts[phase, task] = np.bincount(anion[labelled], minlength=len(ANIONS) + 1)
                spread[phase, task] = targets[labelled, task].std() if labelled.any() else 0.0
        repeated = np.zeros(len(TASKS))
        repeated[TASK_NAMES.index("sigma_s_cm")] = _repeat_sd(rows, targets)
        return cls(counts, spread, repeated)

    def without_floor(self) -> Support:
        """Return the same counts, asking no least standard deviation."""
        return replace(self, label_sd=np.zeros_like(self.label_sd), repeat_sd=np.zeros_like(self.repeat_sd))

    def share(self, anion: NDArray[np.integer], phase: NDArray[np.integer]) -> NDArray[np.float64]:
        """Return how well each property is supported, [N, T] in 0..1."""
        return np.minimum(1.0, self.rows[phase, :, anion] / ENOUGH_ROWS)

    def least_sd(self, anion: NDArray[np.integer], phase: NDArray[np.integer]) -> NDArray[np.float64]:
        """Return the least standard deviation a prediction may claim, [N, T] in transformed units."""
        guess = self.label_sd * np.array([name in GUESSED for name in TASK_NAMES])
        return np.maximum(self.repeat_sd, (1.0 - self.share(anion, phase)) * guess[phase])

    def to_card(self) -> dict[str, Any]:
        """Return plain numbers for card.json."""
        return {
            "rows": self.rows.tolist(),
            "label_sd": self.label_sd.round(6).tolist(),
            "repeat_sd": self.repeat_sd.round(6).tolist(),
        }

    @classmethod
    def from_card(cls, card: dict[str, Any]) -> Support:
        """Read what to_card wrote; raises ValueError where the numbers do not fit the tasks."""
        shape = (len(PHASES), len(TASKS))
        read = cls(
            np.array(card["rows"], int), np.array(card["label_sd"], float), np.array(card["repeat_sd"], float)
        )
        found = (read.rows.shape, read.label_sd.shape, read.repeat_sd.shape)
        if found != ((*shape, len(ANIONS) + 1), shape, shape[1:]):
            raise ValueError(f"support has the shapes {found}")
        return read


def _repeat_sd(rows: TrainingRows, targets: NDArray[np.float64]) -> float:
    """Return the pooled standard deviation of log10 conductivity within one composition and phase."""
    value = targets[:, TASK_NAMES.index("sigma_s_cm")]
    tables = [rows.sources.index(name) for name in REPEATED_TABLES if name in rows.sources]
    chosen = np.flatnonzero(~np.isnan(value) & np.isin(rows.source, tables))
    key = np.unique(rows.compositions[chosen].keys(), return_inverse=True)[1].ravel() * len(PHASES)
    return pooled_sd(key + rows.phase[chosen], value[chosen].round(2))[0]
