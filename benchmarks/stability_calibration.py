"""Stability and windows of phases nobody has computed: calibration and baselines; sections of RESULTS.md.

    softlyte train models/configs/composition.toml --out train-out
    python -m benchmarks.stability_calibration train-out --write

Every Li and Na compound of the formation-energy table is taken for unknown: its formation energy is predicted
by the members that have not seen its chemical system (train-out/out_of_fold.npz; without a run, those kept of
the shipped weights), and it is put on a hull that lacks all phases with exactly its elements, or it alone.
The truth is the hull of everything. Calibration and trees are fitted on one half of the chemical systems and
judged on the other; `--write` ships them.
"""

from __future__ import annotations

import argparse
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import expit
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score

from benchmarks.baselines import tabular_features
from benchmarks.coverage import save_figure
from benchmarks.hull_trees_fit import fit_trees, ship
from benchmarks.hull_trees_splits import splits_section
from benchmarks.report import markdown_table, write_section
from benchmarks.stability_fit import NEUTRAL, fit_all, probability
from benchmarks.unexplored import KNOWLEDGE, Array, Case, Mask, evidence, keep, load_case, place
from softlyte.datasets.formulas import chemical_systems
from softlyte.datasets.writing import write_bytes
from softlyte.featurize.phase_diagram import HullStore
from softlyte.models.training_data import TrainingRows, load_training_rows
from softlyte.screening.hull_evidence import with_composition
from softlyte.screening.stability import CALIBRATION_FILE, NEAR_HULL_EV_ATOM, Stability

BINS = 10
FIGURE = Path(__file__).parent.parent / "docs" / "stability_reliability.svg"
PEER = {"oxidation_v": 0.480, "reduction_v": 0.253}
"""V; hold-out errors of public notebooks with 145 Magpie features for lithium halides."""
ASKED = {"oxidation_v": 0.25, "reduction_v": 0.15}


def reliability(p: Array, near: Mask) -> list[tuple[str, int, float, float]]:
    """Return the reliability diagram: class of stated P, phases in it, mean P, share within 50 meV."""
    body = []
    for low, high in pairwise(np.linspace(0, 1, BINS + 1)):
        rows = (p >= low) & ((p < high) | (high == 1))
        if rows.any():
            body.append((f"{low:.1f}-{high:.1f}", int(rows.sum()), float(p[rows].mean()), near[rows].mean()))
    return body


def gap(diagram: list[tuple[str, int, float, float]]) -> float:
    """Return the mean distance from the diagonal, by phases."""
    count = np.array([n for _, n, _, _ in diagram])
    apart = np.array([abs(stated - seen) for _, _, stated, seen in diagram])
    return float((count * apart).sum() / count.sum())


def draw(diagrams: dict[str, list[tuple[str, int, float, float]]], path: Path = FIGURE) -> None:
    """Draw the reliability diagrams: share within 50 meV against the probability stated."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure: Any = Figure(figsize=(4.2, 3.6), layout="constrained")
    FigureCanvasSVG(figure)
    axis = figure.subplots()
    axis.plot([0, 1], [0, 1], color="grey", linewidth=0.6)
    for (name, diagram), marker in zip(diagrams.items(), "s^o", strict=False):
        stated, seen = ([row[i] for row in diagram] for i in (2, 3))
        axis.plot(stated, seen, marker=marker, markersize=4, linewidth=0.9, label=name)
    axis.set_xlabel("stated probability of lying within 50 meV/atom of the hull", fontsize=8)
    axis.set_ylabel("share that does", fontsize=8)
    axis.tick_params(labelsize=7)
    axis.legend(fontsize=7)
    save_figure(figure, path)


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


def stability_section(
    case: Case, rows: TrainingRows, routes: dict[str, Stability], figure: Path | None = FIGURE
) -> str:
    """Return reliability, Brier score and precision/recall on the half that nothing was fitted on.

    Args:
        case: the compounds.
        rows: the training data.
        routes: where the compounds stand: PLAIN, CALIBRATED, LEARNED and ALONE.
        figure: file for the reliability diagram; None draws none.
    """
    test = ~case.fit
    near = case.above <= NEAR_HULL_EV_ATOM
    direct = trees_on_decomposition(case, rows)
    formation = case.energy.mean()
    point = routes[PLAIN].e_above_hull.mean()
    forecasts = {
        "share of the fitted half": np.full(len(near), near[case.fit].mean()),
        "formation energy alone": _logistic(formation, near, case.fit),
        "ExtraTrees on CritExam's Ed": _logistic(direct, near, case.fit),
        "predicted energy on the hull, no spread": (point <= NEAR_HULL_EV_ATOM).astype(float),
        "distribution through the hull": probability(routes[PLAIN], NEAR_HULL_EV_ATOM),
        "the same, calibrated": probability(routes[CALIBRATED], NEAR_HULL_EV_ATOM),
        "**trees on hull, energy and composition**": probability(routes[LEARNED], NEAR_HULL_EV_ATOM),
        "**the same, other phases of the system known**": probability(routes[ALONE], NEAR_HULL_EV_ATOM),
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
    learned = "**trees on hull, energy and composition**"
    shown = {
        "formation energy alone": reliability(forecasts["formation energy alone"][test], near[test]),
        "through the hull, calibrated": reliability(forecasts["the same, calibrated"][test], near[test]),
        "trees": reliability(forecasts[learned][test], near[test]),
    }
    if figure is not None:
        draw(shown, figure)
    diagram, before_it = shown["trees"], shown["through the hull, calibrated"]
    return "\n\n".join(
        [
            f"{test.sum():,} Li and Na compounds of {len(set(chemical_systems(case.compositions[test]))):,} "
            f"chemical systems (the half that nothing was fitted on), {near[test].mean():.0%} of them "
            f"within 50 meV/atom of the hull.",
            markdown_table(head, body),
            "Energy above the hull as shown (from 0 up), eV/atom:",
            _distances(case, routes),
            f"Against the decomposition energies of CritExam ({critexam.sum():,} phases, "
            f"{labels[critexam].mean():.0%} at most 50 meV/atom):",
            markdown_table(head, other),
            f"Reliability of the trees (mean distance from the diagonal {gap(diagram):.3f}, without "
            f"them {gap(before_it):.3f}; drawn in docs/stability_reliability.svg):",
            markdown_table(
                ["P stated", "phases", "mean P", "share within 50 meV"],
                [[name, f"{n:,}", f"{stated:.2f}", f"{seen:.2f}"] for name, n, stated, seen in diagram],
            ),
        ]
    )


def _distances(case: Case, routes: dict[str, Stability]) -> str:
    """Return errors and coverage of the energy above the hull on the second half, as a Markdown table."""
    test, truth = ~case.fit, np.maximum(case.above, 0.0)
    body = []
    for name in (PLAIN, CALIBRATED, LEARNED, ALONE):
        above = routes[name].e_above_hull
        shown, (low, high) = np.maximum(above.mean(), 0.0), above.interval()
        error = np.abs(shown - truth)[test]
        inside = ((np.maximum(low, 0.0) <= truth) & (truth <= np.maximum(high, 0.0)))[test].mean()
        cells = [f"{error.mean():.3f}", f"{np.median(error):.3f}", f"{inside:.0%}"]
        body.append([name, *cells, f"{np.median((high - low)[test]) / 2:.3f}"])
    return markdown_table(["route", "mean error", "median error", "90% coverage", "median half width"], body)


def _logistic(value: Array, near: Mask, fit: Mask) -> Array:
    """Return P(near) from one number by logistic regression on the fitted half, [N]."""
    usable = fit & np.isfinite(value)
    model = LogisticRegression().fit(value[usable, None], near[usable])
    filled = np.where(np.isfinite(value), value, np.nanmedian(value))
    return expit(model.decision_function(filled[:, None]))


def window_section(
    case: Case, rows: TrainingRows, routes: dict[str, Stability], halves: dict[str, Array]
) -> str:
    """Return errors of the window heads, ExtraTrees, the hull and the trees on held-out systems.

    Args:
        case: the compounds.
        rows: the training data.
        routes: where the compounds stand: PLAIN, CALIBRATED, LEARNED and ALONE.
        halves: [2, N] V for LEARNED and ALONE, half widths of the trees' own 90% intervals.
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
        limits = {key: (s.reduction_v, s.oxidation_v)[side] for key, s in routes.items()}
        for subset, mask in (
            ("all, second half", known & ~case.fit),
            ("halides, second half", known & halide & ~case.fit),
            ("all, first half (fitted)", known & case.fit),
        ):
            cells = [f"{np.abs(mean - truth)[mask].mean():.3f}" for mean in (trees, case.heads[side].mean())]
            cells += [f"{np.abs(limits[key].mean() - truth)[mask].mean():.3f}" for key in (PLAIN, CALIBRATED)]
            for key in (LEARNED, ALONE):
                error, (low, high) = np.abs(limits[key].mean() - truth)[mask], limits[key].interval()
                cells += [
                    f"**{error.mean():.3f}**",
                    f"{np.median(error):.3f}",
                    f"{(error <= halves[key][side][mask]).mean():.0%}",
                    f"{((low <= truth) & (truth <= high))[mask].mean():.0%}",
                    f"{np.median((high - low)[mask]) / 2:.2f}",
                ]
            asked, peer = f"{ASKED[name]:.2f}", f"{PEER[name]:.3f}"
            body.append([name, subset, f"{mask.sum():,}", peer, *cells, asked])
    head = ["limit", "subset", "phases", "peer (other rows)", "ExtraTrees", "network heads", "hull"]
    of_trees = ["median", "coverage of the trees' 90%", "coverage as shown", "half width shown"]
    head += ["hull, calibrated", "trees", *of_trees]
    head += ["trees, rest of the system known", *of_trees]
    return markdown_table([*head, "asked for"], body)


PLAIN, CALIBRATED = "through the hull", "through the hull, calibrated"
LEARNED, ALONE = "trees, system unexplored", "trees, phase unknown"


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description="stability and windows of unexplored chemical systems")
    parser.add_argument(
        "run",
        type=Path,
        nargs="?",
        help="folder of `softlyte train`; left out: the predictions that are kept of the shipped weights",
    )
    parser.add_argument("--limit", type=int, help="try a random sample of so many compounds; writes nothing")
    parser.add_argument("--write", action="store_true", help="ship the calibration with the package")
    chosen = parser.parse_args()
    rows = load_training_rows()
    store = HullStore.from_table()
    case = load_case(chosen.run, rows, store, chosen.limit)
    system, phase = KNOWLEDGE

    calibration = fit_all(lambda some, fit: place(some, store, system, fit), case)
    found = [evidence(case, store, knowledge) for knowledge in KNOWLEDGE]
    features = [table for table, _ in found]
    described = [with_composition(table, case.compositions) for table in features]
    trees = fit_trees(case, features, described, [limits for _, limits in found])
    routes = {
        PLAIN: place(case, store, system, NEUTRAL),
        CALIBRATED: place(case, store, system, calibration),
        LEARNED: place(case, store, system, calibration, trees),
        ALONE: place(case, store, phase, calibration, trees),
    }
    low, high = calibration.window_sd_v
    text = (
        f"Calibration where the window heads say nothing, fitted on the first half: energies above the hull "
        f"{calibration.shift_ev_atom:+.3f} eV/atom, their spread x {calibration.scale:.2f}; of a predicted "
        f"depth below the hull a share of {calibration.depth_share:.2f} widens windows; standard deviation "
        f"of the limits besides {low:.2f} (reduction) and {high:.2f} V (oxidation).\n\n"
    )
    # A sample is for trying things: it leaves the results of the whole alone.
    whole = chosen.limit is None
    text += stability_section(case, rows, routes, FIGURE if whole else None)
    halves = {
        name: np.stack([trees.half_width(side, table) for side in range(2)])
        for name, table in zip((LEARNED, ALONE), features, strict=True)
    }
    windows = window_section(case, rows, routes, halves)
    print(text, windows, sep="\n\n")
    if whole:
        write_section("stability-calibration", text)
        write_section("window-heads", windows)
        if chosen.write and chosen.run is not None:
            keep(case)
        if chosen.write:
            write_bytes(CALIBRATION_FILE, (json.dumps(calibration.to_json(), indent=1) + "\n").encode())
            ship(trees)
    divisions = splits_section(case, features, described, [limits for _, limits in found])
    print(divisions)
    if whole:
        write_section("hull-trees-splits", divisions)


if __name__ == "__main__":
    main()
