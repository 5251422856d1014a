"""Labels that trees teach: what a few hundred rows say, in the form that serves a network.

On a few hundred or thousand measured rows, ExtraTrees on descriptor statistics generalise to new chemical
systems better than a network does, since each split uses the one descriptor that matters. Their predictions
for many unlabelled compositions, as further training rows, hand that knowledge on (knowledge distillation;
Bucila, Caruana & Niculescu-Mizil, KDD 2006, doi 10.1145/1150402.1150464). The network stays the only model
that is shipped and asked.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from softlyte.datasets.columns import FIDELITIES, PHASES
from softlyte.datasets.formulas import Compositions, symbols
from softlyte.featurize.composition import CompositionBatch, CompositionFeaturizer
from softlyte.featurize.elements import element_descriptors
from softlyte.models.network import descriptor_statistics
from softlyte.models.tasks import TARGET_NAMES
from softlyte.models.training_data import ROOM_C, TrainingRows

DISTILLED = "distilled"
"""Name of the source that holds the trees' labels; a stage draws it like a table."""

TREES = 100
MAX_PUPILS = 12_000
"""Compositions labelled in one lesson, drawn from those there are."""


@dataclass(frozen=True)
class Lesson:
    """What trees learn from some tables, and the compositions that they label.

    Attributes:
        target: the label.
        teachers: sources with the labels.
        phase: of the material, in the teachers' rows and the pupils'.
        fidelity: under which the pupils are labelled.
        pupils: source of the unlabelled compositions.
        mobile: True to label only compositions with Li or Na.
    """

    target: str
    teachers: tuple[str, ...]
    phase: str
    fidelity: str
    pupils: str
    mobile: bool


LESSONS = (
    Lesson(
        "sigma_s_cm",
        ("conductivity_obelix", "conductivity_cited"),
        "crystal",
        "measured_pellet",
        "formation_energy",
        mobile=True,
    ),
    Lesson("hardness_gpa", ("glass_mechanics",), "glass", "measured_glass", "glass_properties", mobile=False),
)


def tabular_features(rows: TrainingRows) -> NDArray[np.float32]:
    """Return what a tree can use of each row, [N, 4D + P + F + 1].

    The same knowledge as the network has: weighted mean, deviation, minimum and maximum of the D element
    descriptors, one-hot phase and fidelity, and 1000/T.
    """
    batch = CompositionFeaturizer()(rows.compositions, rows.phase, rows.fidelity, rows.temperature_c)
    phase, fidelity = np.eye(len(PHASES))[rows.phase], np.eye(len(FIDELITIES))[rows.fidelity]
    temperature = batch.inverse_temperature.numpy()[:, None]
    statistics = _statistics(batch)
    return np.concatenate([statistics, phase, fidelity, temperature], axis=1).astype(np.float32)


def composition_statistics(compositions: Compositions) -> NDArray[np.float32]:
    """Return weighted mean, deviation, minimum and maximum of the D element descriptors, [N, 4D]."""
    return _statistics(CompositionFeaturizer()(compositions))


def _statistics(batch: CompositionBatch) -> NDArray[np.float32]:
    described = torch.from_numpy(element_descriptors().values.copy())
    # One block at least, so that no rows keep their width.
    starts = range(0, max(len(batch.element), 1), 4096)
    blocks = (slice(start, start + 4096) for start in starts)
    parts = [descriptor_statistics(described[batch.element[b]], batch.fraction[b]).numpy() for b in blocks]
    return np.concatenate(parts)


def with_distilled_rows(rows: TrainingRows, seen: NDArray[np.bool_], seed: int) -> TrainingRows:
    """Return the rows with the trees' labels appended as the source `distilled`.

    Teachers and pupils are rows that the network may see: nothing of a held-out fold enters. A lesson whose
    tables are not among the sources is left out.

    Args:
        rows: N labelled rows.
        seen: [N] rows that may be used.
        seed: of the trees.
    """
    parts = [part for lesson in LESSONS if (part := _taught(lesson, rows, seen, seed)) is not None]
    joined = [rows, *parts]
    return TrainingRows(
        Compositions.concatenate([part.compositions for part in joined]),
        np.concatenate([part.phase for part in joined]),
        np.concatenate([part.fidelity for part in joined]),
        np.concatenate([part.temperature_c for part in joined]),
        np.concatenate([part.targets for part in joined]),
        np.concatenate([part.censored for part in joined]),
        np.concatenate([part.weight for part in joined]),
        np.concatenate([rows.source, *(np.full(len(part), len(rows.sources)) for part in parts)]),
        np.concatenate([part.fold for part in joined]),
        (*rows.sources, DISTILLED),
    )


def _taught(lesson: Lesson, rows: TrainingRows, seen: NDArray[np.bool_], seed: int) -> TrainingRows | None:
    from sklearn.ensemble import ExtraTreesRegressor

    column = TARGET_NAMES.index(lesson.target)
    code = PHASES.index(lesson.phase)
    numbers = {name: number for number, name in enumerate(rows.sources)}
    teachers = [numbers[name] for name in lesson.teachers if name in numbers]
    # An upper bound is no value: trees cannot use it.
    known = seen & np.isin(rows.source, teachers) & (rows.phase == code) & ~rows.censored
    known &= ~np.isnan(rows.targets[:, column])
    asked = seen & (rows.source == numbers.get(lesson.pupils, -1))
    if lesson.mobile:
        mobile = [symbols().index(name) for name in ("Li", "Na")]
        asked &= np.isin(rows.compositions.atomic_numbers, mobile).any(axis=1)
    if not known.any() or not asked.any():
        return None
    rng = np.random.default_rng(seed)
    chosen = np.flatnonzero(asked)
    if len(chosen) > MAX_PUPILS:
        chosen = np.sort(rng.choice(chosen, MAX_PUPILS, replace=False))
    fit, pupils = rows.take(known), rows.take(chosen)
    targets = np.full_like(pupils.targets, np.nan)
    n = len(pupils)
    pupils = TrainingRows(
        pupils.compositions,
        np.full(n, code),
        np.full(n, FIDELITIES.index(lesson.fidelity)),
        np.full(n, ROOM_C),
        targets,
        np.zeros(n, bool),
        np.ones(n),
        pupils.source,
        pupils.fold,
        rows.sources,
    )
    trees = ExtraTreesRegressor(TREES, max_features=1 / 3, random_state=seed % 2**32, n_jobs=1)
    trees.fit(tabular_features(fit), fit.targets[:, column])
    targets[:, column] = trees.predict(tabular_features(pupils))
    return pupils
