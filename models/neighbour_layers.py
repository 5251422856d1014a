"""What measured rows that a member has not seen say of their neighbours: layers that a training makes.

Each member of an ensemble holds out one fold of the chemical systems. What it says of that fold's measured
rows is out of fold, so a residual process on these rows knows how far the member is off where nothing like
them was learned. Each fold has a layer of its own, which moves its own members alone: the others have learned
from the rows themselves, and would count them twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace

import numpy as np
from numpy.typing import NDArray

from softlyte.models.adaptation import FEWEST_ROWS, Check, Layer, checked
from softlyte.models.predictions import PropertyPrediction
from softlyte.models.residual_process import ResidualProcess
from softlyte.models.support import REPEATED_TABLES
from softlyte.models.tasks import TARGET_NAMES
from softlyte.models.training_data import TrainingRows

NEIGHBOURED: Mapping[str, tuple[str, ...]] = {"sigma_s_cm": REPEATED_TABLES}
"""Properties whose rows are too few for a network alone, and the tables that hold their measurements."""


def neighbour_rows(rows: TrainingRows, name: str) -> NDArray[np.int64]:
    """Return the measured rows of a property, no upper bounds, [R] places in N rows."""
    tables = [rows.sources.index(table) for table in NEIGHBOURED[name] if table in rows.sources]
    value = rows.targets[:, TARGET_NAMES.index(name)]
    return np.flatnonzero(np.isin(rows.source, tables) & ~np.isnan(value) & ~rows.censored)


def neighbour_layers(
    rows: TrainingRows, predicted: Mapping[str, PropertyPrediction], members: int
) -> tuple[Layer, ...]:
    """Return a layer for each fold that holds enough measured rows.

    Args:
        rows: N labelled rows in K folds.
        predicted: out-of-fold predictions of the properties in NEIGHBOURED, calibrated, [M/K, N] each.
        members: M, of the ensemble.
    """
    folds = int(rows.fold.max()) + 1
    if members % folds:
        raise ValueError(f"{members} members do not share {folds} folds evenly")
    layers = []
    for fold in range(folds):
        processes: dict[str, ResidualProcess] = {}
        checks: list[Check] = []
        for name in NEIGHBOURED:
            chosen = neighbour_rows(rows, name)
            chosen = chosen[rows.fold[chosen] == fold]
            if len(chosen) < FEWEST_ROWS:
                continue
            here = rows.take(chosen)
            said = predicted[name].take(chosen)
            sd = said.sd()
            z = (here.targets[:, TARGET_NAMES.index(name)] - said.mean()) / sd
            process = ResidualProcess.fit(here.compositions, here.phase, z)
            check = checked(name, process, z, sd)
            checks.append(check)
            if check.used:
                processes[name] = process
        if processes:
            record = {"checks": [asdict(check) for check in checks]}
            layers.append(Layer(f"neighbours-{fold}", processes, record, (fold, folds)))
    return tuple(layers)


def summary(layers: Sequence[Layer]) -> dict[str, dict[str, float]]:
    """Return by property what leaving each material out says over all folds, for metrics and cards.

    `rows`; mean absolute error and coverage of 90% intervals `before`, of members that have not seen the
    chemical system, and `after`, with the process of the system's other compositions.
    """
    out: dict[str, dict[str, float]] = {}
    for name in NEIGHBOURED:
        found = [c for layer in layers for c in layer.record["checks"] if c["property"] == name]
        count = sum(check["rows"] for check in found)
        if count:
            keys = ("mae_before", "mae_after", "coverage_before", "coverage_after")
            means = {key: sum(c["rows"] * c[key] for c in found) / count for key in keys}
            out[name] = {"rows": count, **means}
    return out


def joined(processes: Sequence[ResidualProcess]) -> ResidualProcess:
    """Return one process over the rows of several, with their mean share and reach."""
    first = processes[0]
    return replace(
        first,
        compositions=first.compositions.concatenate([p.compositions for p in processes]),
        phase=np.concatenate([p.phase for p in processes]),
        z=np.concatenate([p.z for p in processes]),
        noise=np.concatenate([p.noise for p in processes]),
        share=float(np.mean([p.share for p in processes])),
        reach=float(np.mean([p.reach for p in processes])),
        widening=max(p.widening for p in processes),
    )
