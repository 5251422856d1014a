"""Stability and windows of unexplored chemical systems: calibration and baselines; sections of RESULTS.md.

    softlyte train models/configs/composition.toml --out train-out
    python -m benchmarks.stability_calibration train-out --write

Every Li and Na compound of the formation-energy table is treated as unknown: its formation energy is
predicted by the members that have not seen its chemical system (train-out/out_of_fold.npz), and all phases
with exactly its elements are taken off the hull that it is put on. The truth is the hull of everything. The
calibration is fitted on one half of the chemical systems and judged on the other; `--write` ships it.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score

from benchmarks.baselines import tabular_features
from benchmarks.report import markdown_table, write_section
from softlyte.datasets.formulas import Compositions, chemical_systems
from softlyte.datasets.splits import split_by_group
from softlyte.datasets.tables import load_table
from softlyte.datasets.writing import write_bytes
from softlyte.featurize.hull_systems import ChemicalSystem, HullSystems
from softlyte.featurize.phase_diagram import HullStore
from softlyte.models.predictions import PropertyPrediction
from softlyte.models.predictor import Predictor
from softlyte.models.tasks import TASK_NAMES
from softlyte.models.training_data import TrainingRows, load_training_rows
from softlyte.screening.families import MOBILE_IONS, mobile_ion_of
from softlyte.screening.stability import (
    CALIBRATION_FILE,
    NEAR_HULL_EV_ATOM,
    REACTION_ENERGY_SD,
    Stability,
    StabilityCalibration,
    stability,
)

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

NEUTRAL = StabilityCalibration(0.0, 1.0, (0.0, 0.0))
BINS = 10
SHARES = (0.0, 0.05, 0.1, 0.2, 0.35, 0.5, 1.0)
"""Shares of a predicted depth below the hull that are tried."""
PEER = {"oxidation_v": 0.480, "reduction_v": 0.253}
"""V; hold-out errors of public notebooks with 145 Magpie features for lithium halides."""
ASKED = {"oxidation_v": 0.25, "reduction_v": 0.15}


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


@dataclass(frozen=True)
class Case:
    """N Li or Na compounds as candidates of unexplored systems, and what is true of them.

    Attributes:
        compositions: N compounds.
        row: [N] their rows of the training data.
        energy: predicted formation energy, [E, N] eV/atom, by members that have not seen the system.
        above: [N] true energy above the hull of all other phases, eV/atom.
        critexam: [N] CritExam's decomposition energy, eV/atom, NaN where it has none.
        window: [2, N] true reduction and oxidation limit in V, NaN beyond 50 meV above the hull.
        fit: [N] True for the chemical systems that the calibration is fitted on.
    """

    compositions: Compositions
    row: NDArray[np.int64]
    energy: PropertyPrediction
    above: Array
    critexam: Array
    window: Array
    fit: Mask

    def take(self, rows: Mask) -> Case:
        """Return the chosen compounds."""
        return Case(
            self.compositions[rows],
            self.row[rows],
            self.energy.take(rows),
            self.above[rows],
            self.critexam[rows],
            self.window[:, rows],
            self.fit[rows],
        )


Place = Callable[[Case, StabilityCalibration], Stability]


def load_case(run: Path, rows: TrainingRows, store: HullStore, limit: int | None) -> Case:
    """Read a run's out-of-fold predictions and find out what is true."""
    stored = np.load(run / "out_of_fold.npz")
    if stored["mean"].shape[1] != len(rows):
        raise SystemExit(f"{run}/out_of_fold.npz has {stored['mean'].shape[1]} rows, the tables {len(rows)}")
    source = rows.source == rows.sources.index("formation_energy")
    alkali = (rows.compositions.amount_of("Li") > 0) | (rows.compositions.amount_of("Na") > 0)
    compound = (rows.compositions.atomic_numbers > 0).sum(axis=1) > 1
    chosen = np.flatnonzero(source & alkali & compound)
    if limit is not None:
        chosen = np.sort(np.random.default_rng(0).permutation(chosen)[:limit])
    compositions = rows.compositions[chosen]
    predictor = Predictor.load(run / "checkpoint", device="cpu")
    mean, sd = (stored[name][:, chosen].astype(np.float64) for name in ("mean", "sd"))
    energy = predictor.calibrated(compositions, rows.phase[chosen], mean, sd)["formation_energy_ev_atom"]
    truth = store.evaluate(compositions)
    return Case(
        compositions,
        chosen,
        energy,
        truth.e_above_hull_ev_atom,
        _by_formula(compositions, "decomposition_energy", "decomposition_energy_ev_atom"),
        np.stack(
            [_by_formula(compositions, "windows_computed", name) for name in ("reduction_v", "oxidation_v")]
        ),
        split_by_group(chemical_systems(compositions), (0.5, 0.0, 0.5), seed=1) == "train",
    )


def _by_formula(compositions: Compositions, table: str, column: str) -> Array:
    values = load_table(table, drop_flagged=True).set_index("formula")[column]
    return values.reindex(compositions.formulas()).to_numpy(np.float64)


def fit_energy(found: Stability, case: Case) -> tuple[float, float]:
    """Return shift and scale that make P(within 50 meV) likeliest on the fitted half."""
    mean, sd = found.e_above_hull.mean()[case.fit], _own_sd(found)[case.fit]
    near = case.above[case.fit] <= NEAR_HULL_EV_ATOM

    def loss(parameters: Array) -> float:
        shift, log_scale = parameters
        p = PropertyPrediction(mean[None] + shift, np.exp(log_scale) * sd[None]).probability_below(
            NEAR_HULL_EV_ATOM
        )
        p = np.clip(p, 1e-6, 1 - 1e-6)
        return float(-np.where(near, np.log(p), np.log1p(-p)).mean())

    # Bounds, so that forecasts without any information do not run off to infinity.
    best = minimize(loss, np.zeros(2), method="Nelder-Mead", bounds=[(-0.2, 0.2), (np.log(0.3), np.log(3.0))])
    return float(best.x[0]), float(np.exp(best.x[1]))


def _own_sd(found: Stability) -> Array:
    """Return the spread of the predicted energy alone, [N] eV/atom."""
    return np.sqrt(np.maximum(found.e_above_hull.sd() ** 2 - REACTION_ENERGY_SD**2, 1e-8))


def probability(found: Stability, limit: float) -> Array:
    """Return P(energy above hull <= limit) against DFT's own truth, [N]: without DFT's error of reactions."""
    return PropertyPrediction(found.e_above_hull.mean()[None], _own_sd(found)[None]).probability_below(limit)


def reliability(p: Array, near: Mask) -> tuple[str, float]:
    """Return the reliability diagram as a table, and the mean distance from the diagonal by rows."""
    body, gap = [], 0.0
    edges = np.linspace(0, 1, BINS + 1)
    for low, high in pairwise(edges):
        rows = (p >= low) & ((p < high) | (high == 1))
        if rows.any():
            stated, seen = p[rows].mean(), near[rows].mean()
            gap += abs(stated - seen) * rows.mean()
            body.append([f"{low:.1f}-{high:.1f}", f"{rows.sum():,}", f"{stated:.2f}", f"{seen:.2f}"])
    return markdown_table(["P stated", "phases", "mean P", "share within 50 meV"], body), gap


def scores(p: Array, near: Mask) -> list[str]:
    """Return Brier score, average precision, precision and recall at P >= 0.5."""
    called = p >= 0.5
    precision = near[called].mean() if called.any() else float("nan")
    recall = called[near].mean()
    return [
        f"{((p - near) ** 2).mean():.3f}",
        f"{average_precision_score(near, p):.3f}",
        f"{precision:.2f}",
        f"{recall:.2f}",
    ]


def trees_on_decomposition(case: Case, rows: TrainingRows) -> Array:
    """Return decomposition energies predicted directly, out of fold, [N] eV/atom (ExtraTrees on CritExam)."""
    chosen = rows.take(case.row)
    features, known = tabular_features(chosen), np.isfinite(case.critexam)
    out = np.full(len(chosen), np.nan)
    for fold in range(int(rows.fold.max()) + 1):
        test = chosen.fold == fold
        fit = known & ~test
        if test.any():
            model = ExtraTreesRegressor(60, max_features=1 / 3, min_samples_leaf=2, random_state=0)
            out[test] = model.fit(features[fit], case.critexam[fit]).predict(features[test])
    return out


def stability_section(case: Case, rows: TrainingRows, before: Stability, after: Stability) -> str:
    """Return reliability, Brier score and precision/recall on the half that nothing was fitted on."""
    test = ~case.fit
    near = case.above <= NEAR_HULL_EV_ATOM
    direct = trees_on_decomposition(case, rows)
    formation = case.energy.mean()
    point = before.e_above_hull.mean()
    forecasts = {
        "share of the fitted half": np.full(len(near), near[case.fit].mean()),
        "formation energy alone": _logistic(formation, near, case.fit),
        "ExtraTrees on CritExam's Ed": _logistic(direct, near, case.fit),
        "predicted energy on the hull, no spread": (point <= NEAR_HULL_EV_ATOM).astype(float),
        "distribution through the hull": probability(before, NEAR_HULL_EV_ATOM),
        "**the same, calibrated**": probability(after, NEAR_HULL_EV_ATOM),
    }
    head = ["forecast", "Brier", "average precision", "precision", "recall"]
    body = [[name, *scores(p[test], near[test])] for name, p in forecasts.items()]
    critexam = test & np.isfinite(case.critexam)
    labels = case.critexam <= NEAR_HULL_EV_ATOM
    other = [
        [name, *scores(p[critexam], labels[critexam])]
        for name, p in forecasts.items()
        if not name.startswith("share")
    ]
    diagram, gap = reliability(forecasts["**the same, calibrated**"][test], near[test])
    _, gap_before = reliability(forecasts["distribution through the hull"][test], near[test])
    error = np.abs(after.e_above_hull.mean() - case.above)[test]
    return "\n\n".join(
        [
            f"{test.sum():,} Li and Na compounds of {len(set(chemical_systems(case.compositions[test]))):,} "
            f"chemical systems (the half that the calibration has not seen), {near[test].mean():.0%} of them "
            f"within 50 meV/atom of the hull. Error of the energy above the hull: mean {error.mean():.3f}, "
            f"median {np.median(error):.3f} eV/atom.",
            markdown_table(head, body),
            f"Against the decomposition energies of CritExam ({critexam.sum():,} phases, "
            f"{labels[critexam].mean():.0%} at most 50 meV/atom):",
            markdown_table(head, other),
            f"Reliability, calibrated (mean distance from the diagonal {gap:.3f}, before {gap_before:.3f}):",
            diagram,
        ]
    )


def _logistic(value: Array, near: Mask, fit: Mask) -> Array:
    """Return P(near) from one number by logistic regression on the fitted half, [N]."""
    usable = fit & np.isfinite(value)
    model = LogisticRegression().fit(value[usable, None], near[usable])
    filled = np.where(np.isfinite(value), value, np.nanmedian(value))
    return expit(model.decision_function(filled[:, None]))


def fit_depth(
    place: Callable[[Case, StabilityCalibration], Stability], case: Case, fit: StabilityCalibration
) -> float:
    """Return the share of a depth below the hull that serves the windows of the fitted half best."""
    chosen = case.take(case.fit & np.isfinite(case.window).all(axis=0))
    errors = {}
    for share in SHARES:
        found = place(chosen, replace(fit, depth_share=share))
        limits = np.stack([found.reduction_v.mean(), found.oxidation_v.mean()])
        errors[share] = float(np.nanmean(np.abs(limits - chosen.window)))
    return min(errors, key=lambda share: errors[share])


def fit_windows(found: Stability, case: Case) -> tuple[float, float]:
    """Return the further standard deviation of both limits that makes 90% intervals cover 90%."""
    out = []
    for side, limit in enumerate((found.reduction_v, found.oxidation_v)):
        rows = case.fit & np.isfinite(case.window[side]) & np.isfinite(limit.mean())
        error, sd = np.abs(limit.mean() - case.window[side])[rows], limit.sd()[rows]
        extra = np.linspace(0, 1.5, 301)
        cover = np.array([(error <= 1.6449 * np.hypot(sd, e)).mean() for e in extra])
        out.append(float(extra[int(np.argmax(cover >= 0.9))]))
    return out[0], out[1]


def window_section(case: Case, rows: TrainingRows, heads: Array, before: Stability, after: Stability) -> str:
    """Return errors of the window heads, ExtraTrees and the hull on held-out chemical systems.

    Args:
        case: the compounds.
        rows: the training data.
        heads: [2, N] reduction and oxidation limit of the networks, out of fold.
        before: placed on the hull without the calibration.
        after: with it.
    """
    chosen = rows.take(case.row)
    features = tabular_features(chosen)
    halide = np.zeros(len(chosen), dtype=bool)
    for element in ("F", "Cl", "Br", "I"):
        halide |= case.compositions.amount_of(element) > 0
    halide &= case.compositions.amount_of("O") == 0
    body = []
    for side, name in enumerate(("reduction_v", "oxidation_v")):
        truth = case.window[side]
        known = np.isfinite(truth)
        trees = np.full(len(truth), np.nan)
        for fold in range(int(rows.fold.max()) + 1):
            fit, test = known & (chosen.fold != fold), known & (chosen.fold == fold)
            if test.any():
                model = ExtraTreesRegressor(100, max_features=1 / 3, random_state=0)
                trees[test] = model.fit(features[fit], truth[fit]).predict(features[test])
        hull_before = (before.reduction_v, before.oxidation_v)[side]
        hull = (after.reduction_v, after.oxidation_v)[side]
        low, high = hull.interval()
        for subset, mask in (
            ("all", known),
            ("halides", known & halide),
            ("all, second half", known & ~case.fit),
        ):
            inside = ((low <= truth) & (truth <= high))[mask].mean()
            body.append(
                [
                    name,
                    subset,
                    f"{mask.sum():,}",
                    f"{PEER[name]:.3f}",
                    f"{np.abs(trees - truth)[mask].mean():.3f}",
                    ""
                    if np.isnan(heads[side][mask]).any()
                    else f"{np.abs(heads[side] - truth)[mask].mean():.3f}",
                    f"{np.abs(hull_before.mean() - truth)[mask].mean():.3f}",
                    f"**{np.abs(hull.mean() - truth)[mask].mean():.3f}**",
                    f"{np.nanmedian(np.abs(hull.mean() - truth)[mask]):.3f}",
                    f"{inside:.0%}",
                    f"{ASKED[name]:.2f}",
                ]
            )
    head = ["limit", "subset", "phases", "peer (other rows)", "ExtraTrees", "network heads", "hull"]
    head += ["hull, calibrated", "median", "90% coverage", "asked for"]
    return markdown_table(head, body)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description="stability and windows of unexplored chemical systems")
    parser.add_argument("run", type=Path, help="folder of `softlyte train`")
    parser.add_argument("--limit", type=int, help="use a random sample of so many compounds")
    parser.add_argument("--write", action="store_true", help="ship the calibration with the package")
    chosen = parser.parse_args()
    rows = load_training_rows()
    store = HullStore.from_table()
    case = load_case(chosen.run, rows, store, chosen.limit)
    unexplored = HullStore.from_table(cached=False)
    unexplored.systems = Unexplored(store.systems)

    def place(some: Case, fit: StabilityCalibration) -> Stability:
        ions = [MOBILE_IONS[i] for i in mobile_ion_of(some.compositions)]
        return stability(some.compositions, some.energy, unexplored, calibration=fit, named=False, ions=ions)

    before = place(case, NEUTRAL)
    shift, scale = fit_energy(before, case)
    moved = replace(NEUTRAL, shift_ev_atom=shift, scale=scale)
    share = fit_depth(place, case, moved)
    partly = place(case, replace(moved, depth_share=share))
    calibration = replace(moved, depth_share=share, window_sd_v=fit_windows(partly, case))
    after = place(case, calibration)
    mean = np.load(chosen.run / "out_of_fold.npz")["mean"].mean(axis=0)
    heads = mean[case.row][:, [TASK_NAMES.index(name) for name in ("reduction_v", "oxidation_v")]].T
    low, high = calibration.window_sd_v
    text = (
        f"Calibration, fitted on the first half: energies above the hull {shift:+.3f} eV/atom, their spread "
        f"x {scale:.2f}; of a predicted depth below the hull a share of {share:.2f} widens windows; further "
        f"standard deviation of the limits {low:.2f} V (reduction) and {high:.2f} V (oxidation).\n\n"
    )
    text += stability_section(case, rows, before, after)
    windows = window_section(case, rows, heads.astype(np.float64), before, after)
    print(text, windows, sep="\n\n")
    write_section("stability-calibration", text)
    write_section("window-heads", windows)
    if chosen.write:
        values = {
            "shift_ev_atom": round(shift, 4),
            "scale": round(scale, 3),
            "window_sd_v": calibration.window_sd_v,
        }
        write_bytes(CALIBRATION_FILE, (json.dumps(values, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
