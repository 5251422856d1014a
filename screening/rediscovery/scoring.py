"""Every candidate judged by an ensemble: the probability of each target by each member, kept on disk."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from softlyte.datasets.columns import PHASES
from softlyte.datasets.distances import within
from softlyte.datasets.formulas import Compositions
from softlyte.datasets.writing import write_bytes
from softlyte.featurize.phase_diagram import HullStore
from softlyte.models.predictor import Predictor
from softlyte.screening.candidates import Candidates
from softlyte.screening.costing import default_costing
from softlyte.screening.decision import medians
from softlyte.screening.evaluate import evaluate
from softlyte.screening.hull_trees import TREES_FILE
from softlyte.screening.parameters import Parameter, replaced
from softlyte.screening.rediscovery.discoveries import NEAR_DUPLICATE
from softlyte.screening.rediscovery.population import Population
from softlyte.screening.stability import CALIBRATION_FILE
from softlyte.screening.targets import Targets
from softlyte.screening.tiers import cost_ceiling, filter_tier

CHUNK_ROWS = 10_000
FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Judged:
    """What an ensemble says of N compositions, R rows: each composition in its one or two phases.

    Attributes:
        targets: columns of the T targets.
        composition: [R] which of the N; those that a cheap filter refused have no row.
        phase: [R] index into PHASES.
        probability: [T, E, R] that a target is met, by each member.
        median: [T, R] of the target's column, in its unit.
        count: N.
    """

    targets: tuple[str, ...]
    composition: NDArray[np.int64]
    phase: NDArray[np.int64]
    probability: FloatArray
    median: FloatArray
    count: int

    def joint(self, members: slice | list[int] = slice(None)) -> FloatArray:
        """Return the mean over members of the product over targets, [R]."""
        return self.probability[:, members].prod(axis=0).mean(axis=0)

    def single(self, target: str) -> FloatArray:
        """Return the probability of one target, [R]."""
        return self.probability[self.targets.index(target)].mean(axis=0)

    def certain(self, target: str) -> FloatArray:
        """Return the joint probability with one target held to be met, [R]."""
        others = [place for place, name in enumerate(self.targets) if name != target]
        return self.probability[others].prod(axis=0).mean(axis=0)

    def best(self, score: FloatArray) -> FloatArray:
        """Return each composition's highest score over its phases, [N]; -inf for refused ones."""
        out = np.full(self.count, -np.inf)
        np.maximum.at(out, self.composition, np.where(np.isnan(score), -np.inf, score))
        return out

    def best_row(self, score: FloatArray, composition: int) -> int:
        """Return the row of a composition's best phase, -1 if it was refused."""
        rows = np.flatnonzero(self.composition == composition)
        return int(rows[np.argmax(score[rows])]) if len(rows) else -1


def hull_without(formulas: tuple[str, ...]) -> HullStore:
    """Return the shipped formation energies without phases within NEAR_DUPLICATE of some formulas."""
    store = HullStore.from_table(cached=False)
    everything = store.systems.compositions
    keep = ~within(everything, Compositions.from_formulas(formulas), NEAR_DUPLICATE)
    name = "the formation energies without what was discovered later"
    return HullStore(everything[keep], store.systems.energies[keep], name, store.functional)


def judge(
    population: Population,
    weights: Path,
    hull: HullStore,
    targets: Targets,
    law: dict[str, Parameter],
    kept: Path,
    device: str = "cpu",
    progress: Callable[[int, int], None] | None = None,
) -> Judged:
    """Judge a population, or read what was judged before with the same weights, law and candidates.

    Args:
        population: N compositions.
        weights: folder of an ensemble.
        hull: formation energies of known phases.
        targets: what must hold, none of `softlyte.screening.targets.DRAWN_COLUMNS`.
        law: numbers of the pressure model.
        kept: file for the result (.npz).
        device: "auto", "cpu" or "cuda".
        progress: called with candidates done and candidates in all.
    """
    model = Predictor.load(weights, device)
    key = _key(population, model.weights_sha256, hull, targets, law)
    if kept.is_file():
        with np.load(kept) as found:
            if str(found["key"]) == key:
                columns = ("composition", "phase", "probability", "median")
                arrays = {name: found[name] for name in columns}
                return Judged(targets.columns, **arrays, count=len(population))
    place = np.concatenate([np.arange(len(population)), np.flatnonzero(population.glass)])
    phase = np.repeat([0, 1], [len(population), int(population.glass.sum())]).astype(np.uint8)
    order = np.lexsort((phase, place))
    rows = Candidates(place[order], population.compositions[place[order]], phase[order])
    costing = default_costing()
    rows, _, _ = filter_tier(rows, model.known_elements, cost_ceiling(targets, costing), costing)
    parts: list[tuple[FloatArray, FloatArray]] = []
    with replaced(law):
        for start in range(0, len(rows), CHUNK_ROWS):
            some = rows.take(slice(start, start + CHUNK_ROWS))
            said = evaluate(
                some.compositions,
                some.phase,
                model,
                hull,
                None,
                targets.working_conditions(),
                costing,
                named=False,
            ).assessment
            met = np.stack([said.member_probability(target) for target in targets.target])
            parts.append((met, medians(said, targets)[0].T))
            if progress is not None:
                progress(min(start + CHUNK_ROWS, len(rows)), len(rows))
    judged = Judged(
        targets.columns,
        rows.place.astype(np.int64),
        rows.phase.astype(np.int64),
        np.concatenate([met for met, _ in parts], axis=2).astype(np.float32),
        np.concatenate([median for _, median in parts], axis=1),
        len(population),
    )
    content = io.BytesIO()
    np.savez_compressed(
        content,
        key=np.array(key),
        composition=judged.composition,
        phase=judged.phase,
        probability=judged.probability,
        median=judged.median,
    )
    write_bytes(kept, content.getvalue())
    return judged


def phase_name(code: int) -> str:
    """Return crystal or glass."""
    return PHASES[code]


def _key(
    population: Population, weights: str, hull: HullStore, targets: Targets, law: dict[str, Parameter]
) -> str:
    """Return a checksum of everything that decides the result."""
    digest = hashlib.sha256(population.compositions.keys().tobytes())
    digest.update(population.glass.tobytes() + weights.encode() + str(len(hull)).encode())
    digest.update(targets.model_dump_json().encode())
    digest.update(repr(sorted(law.items())).encode())
    digest.update(repr(default_costing().record()).encode())
    digest.update(TREES_FILE.read_bytes() + CALIBRATION_FILE.read_bytes())
    return digest.hexdigest()
