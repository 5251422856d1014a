"""Baselines that a network must beat, with their results kept in benchmarks/results/baselines_*.json.

Constant, nearest neighbour, ExtraTrees and HistGradientBoosting, all on the same knowledge: statistics of
the element descriptors, phase, fidelity and temperature.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import ExtraTreesRegressor, HistGradientBoostingRegressor
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.metrics import score
from benchmarks.protocols import OBELIX_BOUND, Split, of_table
from softlyte.datasets.writing import write_bytes
from softlyte.models.distillation import tabular_features
from softlyte.models.evaluation import labels_with_youngs_modulus
from softlyte.models.tasks import TARGET_NAMES, YOUNGS_MODULUS
from softlyte.models.training_data import TrainingRows

RESULTS = Path(__file__).parent / "results"
CONSTANT, NEAREST, TREES, BOOSTING = "constant", "nearest neighbour", "ExtraTrees", "HistGradientBoosting"
Subsets = Mapping[str, NDArray[np.bool_]]
Scores = dict[str, dict[str, float]]


@dataclass(frozen=True)
class Task:
    """One column of a protocol.

    Attributes:
        name: in result files.
        target: one of TARGET_NAMES.
        tables: tables that the baselines learn from; None for all.
        censored: what a test label that is an upper bound counts as: "left out"; "bound" (an error only
            above it); or "value" (exactly OBELIX_BOUND, as the OBELiX project does).
            Baselines learn it as that value in the last case, else as the bound.
    """

    name: str
    target: str
    tables: tuple[str, ...] | None = None
    censored: Literal["left out", "bound", "value"] = "left out"


@dataclass(frozen=True)
class Plan:
    """What is affordable: seeds of each model, and trees of the forest (features a split: a third)."""

    seeds: int = 3
    tree_seeds: int = 3
    trees: int = 100

    def seeds_of(self, model: str) -> int:
        """Return how often a model is fitted; constant and nearest neighbour draw no random numbers."""
        return {CONSTANT: 1, NEAREST: 1, TREES: self.tree_seeds, BOOSTING: self.seeds}[model]


def extra_trees(seed: int, trees: int = 100) -> ExtraTreesRegressor:
    """Return the forest: a third of the features a split, fully grown."""
    return ExtraTreesRegressor(trees, max_features=1 / 3, random_state=seed)


def boosting(seed: int) -> HistGradientBoostingRegressor:
    """Return the boosted trees: 200 rounds of 0.1, 31 leaves, half of the features a split."""
    return HistGradientBoostingRegressor(
        max_iter=200, max_features=0.5, early_stopping=False, random_state=seed
    )


def nearest_neighbour() -> Any:
    """Return the nearest training row in the standardised features."""
    return make_pipeline(StandardScaler(), KNeighborsRegressor(1, algorithm="brute"))


def label_column(rows: TrainingRows, task: Task, for_test: bool) -> NDArray[np.float64]:
    """Return the labels of a task, [N], NaN where there are none.

    Args:
        rows: labelled rows.
        task: what is asked for.
        for_test: True to leave censored labels out where the task says so.
    """
    column = TARGET_NAMES.index(task.target)
    if task.target == YOUNGS_MODULUS:
        return labels_with_youngs_modulus(rows)[:, column]
    values = rows.targets[:, column].copy()
    if task.censored == "value":
        values[rows.censored & ~np.isnan(values)] = OBELIX_BOUND
    return np.where(rows.censored, np.nan, values) if for_test and task.censored == "left out" else values


def score_task(predicted: NDArray[np.float64], tests: TrainingRows, task: Task, subsets: Subsets) -> Scores:
    """Return the scores of predictions [M] of a task on the test rows, by subset."""
    bound = tests.censored if task.censored == "bound" else None
    return score(predicted, label_column(tests, task, for_test=True), subsets, bound)


def constant_guess(
    rows: TrainingRows, labels: NDArray[np.float64], test: TrainingRows
) -> NDArray[np.float64]:
    """Return the mean training label of the same table and phase (else phase, else all), [M]."""
    out = np.full(len(test), labels.mean())
    for same in (("phase",), ("phase", "source")):
        for place in {tuple(int(getattr(test, name)[i]) for name in same) for i in range(len(test))}:
            known = np.all([getattr(rows, n) == p for n, p in zip(same, place, strict=True)], axis=0)
            asked = np.all([getattr(test, n) == p for n, p in zip(same, place, strict=True)], axis=0)
            if known.any():
                out[asked] = labels[known].mean()
    return out


class Baselines:
    """Fits baselines to splits and keeps the results of every model and seed in one JSON file.

    An entry is used again only if the rows, labels, splits and settings behind it are the same, so a killed
    run goes on where it was and a changed table is fitted anew.

    Args:
        protocol: name of the file, results/baselines_PROTOCOL.json.
        rows: the training matrix that the splits refer to.
        folder: of the results.
    """

    def __init__(self, protocol: str, rows: TrainingRows, folder: Path = RESULTS) -> None:
        self.path = folder / f"baselines_{protocol}.json"
        self.rows = rows
        self._features: NDArray[np.float32] | None = None
        self.entries: dict[str, Any] = {}
        if self.path.is_file():
            self.entries = json.loads(self.path.read_text(encoding="utf-8"))

    def scores(
        self,
        task: Task,
        splits: Sequence[Split],
        tests: TrainingRows,
        subsets: Subsets,
        model: str,
        plan: Plan,
        kept_only: bool = False,
    ) -> list[Scores]:
        """Return rows, mae and spearman by subset, one entry a seed.

        Args:
            task: what is learned.
            splits: of the protocol.
            tests: their test rows, one split after the other, M in all.
            subsets: name to mask [M].
            model: CONSTANT, NEAREST, TREES or BOOSTING.
            plan: number of seeds and trees.
            kept_only: True to return what is kept and fit nothing.
        """
        known, chosen = self._labelled(task)
        settings = {"task": task.__dict__, "model": model, "trees": plan.trees if model == TREES else 0}
        labels = label_column(tests, task, for_test=True)
        key = self._key(settings, known, chosen, splits, tests, labels, subsets)
        entry = self.entries.setdefault(task.name, {}).get(model, {})
        done: list[Scores] = entry.get("seeds", []) if entry.get("sha256") == key else []
        for seed in range(len(done), 0 if kept_only else plan.seeds_of(model)):
            start = time.process_time()
            guess = self.predict(task, model, seed, plan, splits)
            done.append(score_task(guess, tests, task, subsets))
            self.entries[task.name][model] = {"sha256": key, "trees": settings["trees"], "seeds": done}
            text = json.dumps(self.entries, indent=1) + "\n"
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(self.path, text.encode())
            first = next(iter(done[-1].items()), ("", {"mae": float("nan")}))
            print(
                f"{self.path.stem} {task.name} {model} seed {seed}: {first[0]} {first[1]['mae']:.4f}, "
                f"{time.process_time() - start:.0f} s",
                flush=True,
            )
        return done[: plan.seeds_of(model)]

    def _labelled(self, task: Task) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Return a task's labels and which rows it may learn from, two [N]."""
        known = label_column(self.rows, task, for_test=False)
        chosen = ~np.isnan(known)
        if task.tables is not None:
            chosen &= of_table(self.rows, *task.tables)
        return known, chosen

    def predict(
        self, task: Task, model: str, seed: int, plan: Plan, splits: Sequence[Split]
    ) -> NDArray[np.float64]:
        """Return a model's predictions on the test rows of all splits, [M]; NaN where there is no label."""
        known, chosen = self._labelled(task)
        make: dict[str, Callable[[], Any]] = {
            NEAREST: nearest_neighbour,
            TREES: lambda: extra_trees(seed, plan.trees),
            BOOSTING: lambda: boosting(seed),
        }
        guesses = []
        for split in splits:
            fit = chosen & split.used
            if model == CONSTANT:
                guesses.append(constant_guess(self.rows.take(fit), known[fit], split.test))
                continue
            if self._features is None:
                self._features = tabular_features(self.rows)
            regressor = make[model]().fit(self._features[fit], known[fit])
            asked = ~np.isnan(label_column(split.test, task, for_test=True))
            guess = np.full(len(split.test), np.nan)
            if asked.any():
                guess[asked] = regressor.predict(tabular_features(split.test.take(asked)))
            guesses.append(guess)
        return np.concatenate(guesses)

    def _key(
        self,
        settings: dict[str, Any],
        known: NDArray[np.float64],
        chosen: NDArray[np.bool_],
        splits: Sequence[Split],
        tests: TrainingRows,
        labels: NDArray[np.float64],
        subsets: Subsets,
    ) -> str:
        digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
        fit = self.rows.take(chosen)
        for part in (fit, tests):
            digest.update(part.compositions.keys().tobytes())
            for column in (part.phase, part.fidelity, part.temperature_c):
                digest.update(np.ascontiguousarray(column).tobytes())
        digest.update(known[chosen].tobytes() + labels.tobytes())
        for split in splits:
            digest.update(np.packbits(split.used[chosen]).tobytes() + str(len(split.test)).encode())
        for name, mask in subsets.items():
            digest.update(name.encode() + np.packbits(mask).tobytes())
        return digest.hexdigest()
