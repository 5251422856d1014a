"""Li and Na compounds taken for unknown, alone or with their whole system, and what is true of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from softlyte.datasets.formulas import Compositions, chemical_systems
from softlyte.datasets.splits import split_by_group
from softlyte.datasets.tables import load_table
from softlyte.featurize.hull_systems import ChemicalSystem, HullSystems
from softlyte.featurize.ion_windows import ion_lines
from softlyte.featurize.phase_diagram import HullStore
from softlyte.models.predictions import PropertyPrediction
from softlyte.models.predictor import Predictor
from softlyte.models.training_data import TrainingRows
from softlyte.screening.families import MOBILE_IONS, mobile_ion_of
from softlyte.screening.hull_evidence import WindowHeads, hull_features
from softlyte.screening.hull_trees import HullTrees
from softlyte.screening.stability import Stability, StabilityCalibration, joined, stability

PREDICTED = ("formation_energy_ev_atom", "reduction_v", "oxidation_v")
KEPT = Path(__file__).parent / "results" / "held_out_alkali.npz"
"""Out-of-fold predictions of Li and Na compounds by the shipped weights' members."""
Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


class Unexplored(HullSystems):
    """A collection in which no phase of the very system that is asked for is known."""

    def __init__(self, known: HullSystems) -> None:
        self.__dict__.update(known.__dict__)
        self.cache = None
        self._unexplored: dict[tuple[int, ...], ChemicalSystem] = {}

    def system(self, numbers: tuple[int, ...]) -> ChemicalSystem:
        """Return the system without the phases that hold all of its elements."""
        if numbers not in self._unexplored:
            self._unexplored[numbers] = self.subsystems_only(numbers)
        return self._unexplored[numbers]

    def lookup(self, compositions: Compositions) -> NDArray[np.int64]:
        """Return that no composition is known."""
        return np.full(len(compositions), -1, dtype=np.int64)


class OneUnknown(HullSystems):
    """A collection that lacks one phase a chemical system: those named in `unknown`, rows by system."""

    def __init__(self, known: HullSystems) -> None:
        self.__dict__.update(known.__dict__)
        self.cache = None
        self.known = known
        self.unknown: dict[tuple[int, ...], int] = {}
        self._without: dict[int, ChemicalSystem] = {}

    def system(self, numbers: tuple[int, ...]) -> ChemicalSystem:
        """Return the system without its unknown phase."""
        whole, row = self.known.system(numbers), self.unknown.get(numbers, -1)
        if row < 0:
            return whole
        if row not in self._without:
            self._without[row] = self.known.without(whole, row)
        return self._without[row]

    def lookup(self, compositions: Compositions) -> NDArray[np.int64]:
        """Return that no composition is known."""
        return np.full(len(compositions), -1, dtype=np.int64)


KNOWLEDGE = ("system unexplored", "phase unknown")
"""What is missing when a compound is judged: all phases with exactly its elements, or itself alone."""


@dataclass(frozen=True)
class Case:
    """N Li or Na compounds taken for unknown, and what is true of them.

    Attributes:
        compositions: N compounds.
        row: [N] their rows of the training data.
        energy: predicted formation energy, [E, N] eV/atom, by members that have not seen the system.
        heads: reduction and oxidation limit of the same members' heads, [E, N] V each.
        above: [N] true energy above the hull of all other phases, eV/atom.
        critexam: [N] CritExam's decomposition energy, eV/atom, NaN where it has none.
        window: [2, N] true reduction and oxidation limit in V, NaN beyond 50 meV above the hull.
        fit: [N] True for the chemical systems that the calibration is fitted on.
    """

    compositions: Compositions
    row: NDArray[np.int64]
    energy: PropertyPrediction
    heads: WindowHeads
    above: Array
    critexam: Array
    window: Array
    fit: Mask

    def take(self, rows: Mask | NDArray[np.int64]) -> Case:
        """Return the chosen compounds."""
        return Case(
            self.compositions[rows],
            self.row[rows],
            self.energy.take(rows),
            (self.heads[0].take(rows), self.heads[1].take(rows)),
            self.above[rows],
            self.critexam[rows],
            self.window[:, rows],
            self.fit[rows],
        )


def load_case(run: Path | None, rows: TrainingRows, store: HullStore, limit: int | None) -> Case:
    """Take out-of-fold predictions of a run, or those kept of the shipped weights, and find out what is true.

    Raises:
        SystemExit: the predictions are of other tables than those that are here.
    """
    source = rows.source == rows.sources.index("formation_energy")
    alkali = (rows.compositions.amount_of("Li") > 0) | (rows.compositions.amount_of("Na") > 0)
    compound = (rows.compositions.atomic_numbers > 0).sum(axis=1) > 1
    chosen = np.flatnonzero(source & alkali & compound)
    predicted = _kept() if run is None else _of_run(run, rows, chosen)
    if len(predicted[0]) != len(chosen):
        raise SystemExit(
            f"the predictions are of {len(predicted[0])} compounds, the tables hold {len(chosen)}"
        )
    if limit is not None:
        some = np.sort(np.random.default_rng(0).permutation(len(chosen))[:limit])
        chosen, predicted = chosen[some], [p.take(some) for p in predicted]
    energy, reduction, oxidation = predicted
    compositions = rows.compositions[chosen]
    truth = store.evaluate(compositions)
    return Case(
        compositions,
        chosen,
        energy,
        (reduction, oxidation),
        truth.e_above_hull_ev_atom,
        _by_formula(compositions, "decomposition_energy", "decomposition_energy_ev_atom"),
        np.stack(
            [_by_formula(compositions, "windows_computed", name) for name in ("reduction_v", "oxidation_v")]
        ),
        split_by_group(chemical_systems(compositions), (0.5, 0.0, 0.5), seed=1) == "train",
    )


def keep(case: Case) -> None:
    """Keep a whole case's predictions beside the results, so that it can be judged without a training."""
    predicted = dict(zip(PREDICTED, (case.energy, *case.heads), strict=True))
    arrays = {
        f"{name}_{part}": getattr(p, f"member_{part}").astype(np.float32)
        for name, p in predicted.items()
        for part in ("mean", "sd")
    }
    np.savez_compressed(KEPT, **arrays)


def _kept() -> list[PropertyPrediction]:
    with np.load(KEPT) as arrays:
        return [
            PropertyPrediction(arrays[f"{n}_mean"].astype(np.float64), arrays[f"{n}_sd"].astype(np.float64))
            for n in PREDICTED
        ]


def _of_run(run: Path, rows: TrainingRows, chosen: NDArray[np.int64]) -> list[PropertyPrediction]:
    with np.load(run / "out_of_fold.npz") as stored:
        if stored["mean"].shape[1] != len(rows):
            raise SystemExit(
                f"{run}/out_of_fold.npz has {stored['mean'].shape[1]} rows, the tables {len(rows)}"
            )
        mean, sd = (stored[name][:, chosen].astype(np.float64) for name in ("mean", "sd"))
    predictor = Predictor.load(run / "checkpoint", device="cpu")
    said = predictor.calibrated(rows.compositions[chosen], rows.phase[chosen], mean, sd)
    return [said[name] for name in PREDICTED]


def _by_formula(compositions: Compositions, table: str, column: str) -> Array:
    values = load_table(table, drop_flagged=True).set_index("formula")[column]
    return values.reindex(compositions.formulas()).to_numpy(np.float64)


T = TypeVar("T")


def place(
    case: Case,
    known: HullStore,
    knowledge: str,
    fit: StabilityCalibration,
    trees: HullTrees | None = None,
) -> Stability:
    """Put a case's compounds on the hull of the phases that are left, with trees judging or without.

    Args:
        case: N compounds.
        known: everything.
        knowledge: one of KNOWLEDGE.
        fit: calibration.
        trees: that judge hull and window heads; None leaves the heads out.
    """

    def one(part: Case, store: HullStore) -> Stability:
        heads = None if trees is None else part.heads
        return stability(part.compositions, part.energy, store, None, fit, False, ions_of(part), heads, trees)

    order, parts = each_store(case, known, knowledge, one)
    return joined(parts, np.argsort(order))


def evidence(case: Case, known: HullStore, knowledge: str) -> tuple[Array, Array]:
    """Return HULL_FEATURES [N, F] of a case's compounds, and the hull's limits [2, N] in V."""

    def one(part: Case, store: HullStore) -> tuple[Array, Array]:
        ions = ions_of(part)
        result = store.evaluate(part.compositions, ions)
        lines = ion_lines(store, part.compositions, ions)
        features = hull_features(store, part.compositions, ions, result, lines, part.energy, part.heads)
        return features, np.stack([result.reduction_v, result.oxidation_v])

    order, parts = each_store(case, known, knowledge, one)
    back = np.argsort(order)
    features = np.concatenate([features for features, _ in parts])[back]
    return features, np.concatenate([limits for _, limits in parts], axis=1)[:, back]


def each_store(
    case: Case, known: HullStore, knowledge: str, work: Callable[[Case, HullStore], T]
) -> tuple[NDArray[np.int64], list[T]]:
    """Do a piece of work on all compounds, each with a store that lacks what is to be unknown.

    Returns:
        The order in which the compounds were worked on, [N], and the results.
    """
    store = _lacking(known, knowledge)
    systems = store.systems
    if not isinstance(systems, OneUnknown):
        return np.arange(len(case.row)), [work(case, store)]
    rows = known.systems.lookup(case.compositions)
    numbers = [tuple(int(z) for z in row if z) for row in case.compositions.atomic_numbers]
    # The n-th compounds of all systems together: each system lacks one phase at a time.
    count: dict[tuple[int, ...], int] = {}
    turn = np.empty(len(rows), dtype=np.int64)
    for i, system in enumerate(numbers):
        turn[i] = count[system] = count.get(system, -1) + 1
    order, results = [], []
    for number in range(int(turn.max()) + 1):
        chosen = np.flatnonzero(turn == number)
        systems.unknown = {numbers[i]: int(rows[i]) for i in chosen}
        order.append(chosen)
        results.append(work(case.take(chosen), store))
    return np.concatenate(order), results


@lru_cache(maxsize=2)
def _lacking(known: HullStore, knowledge: str) -> HullStore:
    """Return a store that lacks something; kept, since its hulls are built at their first use."""
    store = HullStore.from_table(cached=False)
    kind = Unexplored if knowledge == KNOWLEDGE[0] else OneUnknown
    store.systems = kind(known.systems)
    return store


def ions_of(case: Case) -> list[str]:
    """Return the mobile ion of each compound."""
    return [MOBILE_IONS[i] for i in mobile_ion_of(case.compositions)]
